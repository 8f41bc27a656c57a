import { runs } from '@tallygate/testkit'
import { calendarBucket, type CalendarWindow } from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { instant, windowOfCalendar } from './calendar-arbitraries.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR

describe('calendarBucket', () => {
  const months = [
    { month: '2026-01', days: 31 },
    { month: '2026-02', days: 28 },
    { month: '2026-04', days: 30 },
    { month: '2026-12', days: 31 },
    { month: '2028-02', days: 29 },
    { month: '2000-02', days: 29 },
    { month: '2100-02', days: 28 },
  ]
  for (const { month, days } of months) {
    it(`gives ${month} its ${days} days`, () => {
      const { startMs, endMs } = calendarBucket({ kind: 'fixed', every: 'month' }, Date.parse(`${month}-15T12:00:00Z`))
      expect(iso(startMs)).to.equal(`${month}-01T00:00:00Z`)
      expect((endMs - startMs) / DAY).to.equal(days)
    })
  }

  for (const { year, days } of [
    { year: 2026, days: 365 },
    { year: 2028, days: 366 },
    { year: 2000, days: 366 },
    { year: 2100, days: 365 },
  ]) {
    it(`gives ${year} its ${days} days`, () => {
      const { startMs, endMs } = calendarBucket({ kind: 'fixed', every: 'year' }, Date.UTC(year, 5, 1))
      expect([iso(startMs), (endMs - startMs) / DAY]).to.deep.equal([`${year}-01-01T00:00:00Z`, days])
    })
  }

  const days = [
    { zone: 'Europe/Berlin', at: '2026-03-29T12:00', hours: 23, from: '2026-03-28T23:00' },
    { zone: 'Europe/Berlin', at: '2026-10-25T12:00', hours: 25, from: '2026-10-24T22:00' },
    { zone: 'America/New_York', at: '2026-03-08T12:00', hours: 23, from: '2026-03-08T05:00' },
    { zone: 'America/New_York', at: '2026-11-01T12:00', hours: 25, from: '2026-11-01T04:00' },
    { zone: 'Asia/Kolkata', at: '2026-01-15T12:00', hours: 24, from: '2026-01-14T18:30' },
    { zone: 'Asia/Kathmandu', at: '2026-01-15T12:00', hours: 24, from: '2026-01-14T18:15' },
    { zone: 'Australia/Lord_Howe', at: '2026-04-05T06:00', hours: 24.5, from: '2026-04-04T13:00' },
    // Midnight is skipped, comes twice, and a whole day is left out.
    { zone: 'America/Sao_Paulo', at: '2018-11-04T12:00', hours: 23, from: '2018-11-04T03:00' },
    { zone: 'America/Havana', at: '2026-11-01T12:00', hours: 25, from: '2026-11-01T04:00' },
    // At 00:01 the clocks went back to 23:01: the day began at the first of its two midnights.
    { zone: 'America/St_Johns', at: '2007-11-04T02:45', hours: 25, from: '2007-11-04T02:30' },
    { zone: 'America/St_Johns', at: '2007-11-04T02:29', hours: 24, from: '2007-11-03T02:30' },
    { zone: 'Pacific/Apia', at: '2011-12-30T09:00', hours: 24, from: '2011-12-29T10:00' },
    { zone: 'Pacific/Apia', at: '2011-12-30T10:00', hours: 24, from: '2011-12-30T10:00' },
  ]
  for (const { zone, at, hours, from } of days) {
    it(`gives the day of ${at}Z in ${zone} ${hours} hours`, () => {
      const { startMs, endMs } = calendarBucket({ kind: 'fixed', every: 'day', zone }, Date.parse(`${at}Z`))
      expect([iso(startMs), (endMs - startMs) / HOUR]).to.deep.equal([`${from}:00Z`, hours])
    })
  }

  const anchored: readonly (Omit<CalendarWindow, 'kind'> & { at: string; from: string; to: string })[] = [
    { every: 'month', anchor: { dayOfMonth: 12 }, at: '2026-01-11', from: '2025-12-12', to: '2026-01-12' },
    { every: 'month', anchor: { dayOfMonth: 12 }, at: '2026-01-12', from: '2026-01-12', to: '2026-02-12' },
    { every: 'month', anchor: { dayOfMonth: 31 }, at: '2026-02-15', from: '2026-01-31', to: '2026-02-28' },
    { every: 'month', anchor: { dayOfMonth: 31 }, at: '2026-02-28', from: '2026-02-28', to: '2026-03-31' },
    { every: 'month', anchor: { dayOfMonth: 30 }, at: '2028-02-29', from: '2028-02-29', to: '2028-03-30' },
    { every: 'month', anchor: { dayOfMonth: 31 }, at: '2026-04-29', from: '2026-03-31', to: '2026-04-30' },
    { every: 'month', count: 3, at: '2026-02-15', from: '2026-01-01', to: '2026-04-01' },
    { every: 'month', count: 3, anchor: { dayOfMonth: 31 }, at: '2026-01-30', from: '2025-10-31', to: '2026-01-31' },
    { every: 'year', anchor: { dayOfMonth: 15 }, at: '2026-01-14', from: '2025-01-15', to: '2026-01-15' },
    { every: 'year', count: 10, at: '2026-01-14', from: '2020-01-01', to: '2030-01-01' },
    { every: 'week', at: '2026-01-15', from: '2026-01-12', to: '2026-01-19' },
    { every: 'week', anchor: { weekday: 1 }, at: '2026-01-12', from: '2026-01-12', to: '2026-01-19' },
    { every: 'week', anchor: { weekday: 7 }, at: '2026-01-15', from: '2026-01-11', to: '2026-01-18' },
    { every: 'week', anchor: { weekday: 4 }, at: '2026-01-15', from: '2026-01-15', to: '2026-01-22' },
    { every: 'day', at: '1969-12-31', from: '1969-12-31', to: '1970-01-01' },
    { every: 'month', at: '1969-12-31', from: '1969-12-01', to: '1970-01-01' },
  ]
  for (const { at, from, to, ...window } of anchored) {
    it(`puts ${at} between ${from} and ${to} for ${JSON.stringify(window)}`, () => {
      const { startMs, endMs } = calendarBucket({ kind: 'fixed', ...window }, Date.parse(at))
      expect([iso(startMs), iso(endMs)]).to.deep.equal([`${from}T00:00:00Z`, `${to}T00:00:00Z`])
    })
  }

  it('begins a day, a week and a month at the hour of the anchor', () => {
    const at = Date.parse('2026-03-01T05:59:59.999Z')
    const from = (every: 'day' | 'week' | 'month', atMs: number): string =>
      iso(calendarBucket({ kind: 'fixed', every, anchor: { hour: 6 } }, atMs).startMs)
    expect(from('day', at)).to.equal('2026-02-28T06:00:00Z')
    expect(from('month', at)).to.equal('2026-02-01T06:00:00Z')
    expect(from('week', at)).to.equal('2026-02-23T06:00:00Z')
    expect(from('day', at + 1)).to.equal('2026-03-01T06:00:00Z')
    expect(from('month', at + 1)).to.equal('2026-03-01T06:00:00Z')
  })

  const clocks: readonly (Omit<CalendarWindow, 'kind'> & { at: string; from: string; to: string })[] = [
    {
      every: 'second',
      count: 5,
      at: '2026-01-15T12:00:07.500',
      from: '2026-01-15T12:00:05',
      to: '2026-01-15T12:00:10',
    },
    { every: 'minute', count: 15, at: '2026-01-15T12:59:59', from: '2026-01-15T12:45:00', to: '2026-01-15T13:00:00' },
    {
      every: 'hour',
      zone: 'Asia/Kathmandu',
      at: '2026-01-15T12:00:00',
      from: '2026-01-15T11:15:00',
      to: '2026-01-15T12:15:00',
    },
    {
      every: 'hour',
      count: 6,
      zone: 'Europe/Berlin',
      at: '2026-10-25T03:00:00',
      from: '2026-10-24T22:00:00',
      to: '2026-10-25T05:00:00',
    },
    {
      every: 'hour',
      count: 6,
      zone: 'Europe/Berlin',
      at: '2026-03-29T03:00:00',
      from: '2026-03-28T23:00:00',
      to: '2026-03-29T04:00:00',
    },
    // 02:00 to 02:30 is left out, and with it an edge or two.
    {
      every: 'hour',
      zone: 'Australia/Lord_Howe',
      at: '2026-10-03T15:45:00',
      from: '2026-10-03T15:30:00',
      to: '2026-10-03T16:00:00',
    },
    {
      every: 'minute',
      count: 20,
      zone: 'Australia/Lord_Howe',
      at: '2026-10-03T15:35:00',
      from: '2026-10-03T15:30:00',
      to: '2026-10-03T15:40:00',
    },
    // 02:00 to 03:00 comes twice.
    {
      every: 'hour',
      zone: 'Europe/Berlin',
      at: '2026-10-25T00:30:00',
      from: '2026-10-25T00:00:00',
      to: '2026-10-25T01:00:00',
    },
    {
      every: 'hour',
      zone: 'Europe/Berlin',
      at: '2026-10-25T01:30:00',
      from: '2026-10-25T01:00:00',
      to: '2026-10-25T02:00:00',
    },
  ]
  for (const { at, from, to, ...window } of clocks) {
    it(`puts ${at}Z between ${from}Z and ${to}Z for ${JSON.stringify(window)}`, () => {
      const { startMs, endMs } = calendarBucket({ kind: 'fixed', ...window }, Date.parse(`${at}Z`))
      expect([iso(startMs), iso(endMs)]).to.deep.equal([`${from}Z`, `${to}Z`])
    })
  }

  it('puts every instant into a bucket, and all instants of a bucket into the same', () => {
    const property = fc.property(windowOfCalendar, instant, fc.nat(1_000), (window, atMs, permille) => {
      const bucket = calendarBucket(window, atMs)
      expect(atMs).to.be.at.least(bucket.startMs).and.below(bucket.endMs)
      const withinMs = bucket.startMs + Math.floor(((bucket.endMs - bucket.startMs - 1) * permille) / 1_000)
      expect(calendarBucket(window, withinMs)).to.deep.equal(bucket)
    })
    fc.assert(property, { numRuns: runs(1_000) })
  })

  it('lets buckets meet without gap or overlap', () => {
    const property = fc.property(windowOfCalendar, instant, (window, atMs) => {
      const { startMs, endMs } = calendarBucket(window, atMs)
      expect(calendarBucket(window, endMs).startMs).to.equal(endMs)
      expect(calendarBucket(window, startMs - 1).endMs).to.equal(startMs)
    })
    fc.assert(property, { numRuns: runs(1_000) })
  })

  it('takes instants between two milliseconds', () => {
    for (const every of ['second', 'hour', 'day', 'month'] as const) {
      const window = { kind: 'fixed', every, zone: 'Europe/Berlin' } as const
      const { endMs } = calendarBucket(window, Date.UTC(2026, 0, 15))
      expect(calendarBucket(window, endMs - 0.25).endMs, every).to.equal(endMs)
      expect(calendarBucket(window, endMs + 0.25).startMs, every).to.equal(endMs)
    }
  })
})

function iso(atMs: number): string {
  return new Date(atMs).toISOString().replace('.000', '')
}
