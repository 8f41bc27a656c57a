import { runs } from '@tallygate/testkit'
import { instantOf, isTimeZone, localTime, zoneOffset } from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { instant, zone } from './calendar-arbitraries.ts'

const HOUR = 3_600_000

describe('isTimeZone', () => {
  for (const name of ['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5'])
    it(`knows ${name}`, () => expect(isTimeZone(name)).to.equal(true))

  for (const name of ['', 'Mars/Olympus', 'Europe/Berlin ', 'Europe', '../UTC', undefined, null, 5, ['UTC'], {}])
    it(`knows no ${JSON.stringify(name)}`, () => expect(isTimeZone(name)).to.equal(false))
})

describe('zoneOffset', () => {
  const cases = [
    { zone: 'UTC', at: '2026-07-01T00:00Z', hours: 0 },
    { zone: 'Europe/Berlin', at: '2026-03-29T00:59:59.999Z', hours: 1 },
    { zone: 'Europe/Berlin', at: '2026-03-29T01:00Z', hours: 2 },
    { zone: 'America/New_York', at: '2026-11-01T05:59:59.999Z', hours: -4 },
    { zone: 'America/New_York', at: '2026-11-01T06:00Z', hours: -5 },
    { zone: 'Asia/Kolkata', at: '2026-01-15T12:00Z', hours: 5.5 },
    { zone: 'Asia/Kathmandu', at: '2026-01-15T12:00Z', hours: 5.75 },
    { zone: 'Australia/Lord_Howe', at: '2026-01-15T12:00Z', hours: 11 },
    { zone: 'Australia/Lord_Howe', at: '2026-07-15T12:00Z', hours: 10.5 },
    { zone: 'Europe/Berlin', at: '1969-12-31T23:59:59.999Z', hours: 1 },
  ]
  for (const { zone, at, hours } of cases) {
    it(`is ${hours} hours in ${zone} at ${at}`, () => {
      expect(zoneOffset(zone, Date.parse(at)) / HOUR).to.equal(hours)
    })
  }
})

describe('localTime', () => {
  it('is what a wall clock shows, to the millisecond, on both sides of 1970', () => {
    for (const at of ['2026-10-25T00:30:00.123Z', '1965-06-01T12:00:00.987Z']) {
      const shown = new Date(localTime('Asia/Kolkata', Date.parse(at))).toISOString()
      expect(shown).to.equal(new Date(Date.parse(at) + 5.5 * HOUR).toISOString())
    }
  })
})

describe('localTime and zoneOffset', () => {
  it('take instants between two milliseconds for the earlier one', () => {
    const turnMs = Date.parse('2026-03-29T01:00:00Z')
    for (const zone of ['UTC', 'Europe/Berlin'] as const)
      expect(localTime(zone, turnMs - 0.5)).to.equal(localTime(zone, turnMs - 1))
    expect(zoneOffset('Europe/Berlin', turnMs - 0.5)).to.equal(HOUR)
  })
})

describe('instantOf', () => {
  const cases = [
    { what: 'a local time', zone: 'Europe/Berlin', local: '2026-01-15T12:00', at: '2026-01-15T11:00' },
    { what: 'one that is skipped', zone: 'Europe/Berlin', local: '2026-03-29T02:30', at: '2026-03-29T01:00' },
    { what: 'one that comes twice', zone: 'Europe/Berlin', local: '2026-10-25T02:30', at: '2026-10-25T00:30' },
    {
      what: 'a midnight that is skipped',
      zone: 'America/Sao_Paulo',
      local: '2018-11-04T00:00',
      at: '2018-11-04T03:00',
    },
    { what: 'one of a day left out', zone: 'Pacific/Apia', local: '2011-12-30T12:00', at: '2011-12-30T10:00' },
    {
      what: 'one in a turn of half an hour',
      zone: 'Australia/Lord_Howe',
      local: '2026-10-04T02:15',
      at: '2026-10-03T15:30',
    },
    { what: 'any in UTC', zone: 'UTC', local: '2026-10-04T02:15', at: '2026-10-04T02:15' },
  ]
  for (const { what, zone, local, at } of cases) {
    it(`puts ${what} at the first instant that shows or has passed it: ${local} in ${zone}`, () => {
      expect(new Date(instantOf(zone, Date.parse(`${local}Z`))).toISOString()).to.equal(`${at}:00.000Z`)
    })
  }

  it('finds the first instant at which clocks show a local time or have passed it, anywhere', () => {
    const property = fc.property(zone, instant, (zone, localMs) => {
      const atMs = instantOf(zone, localMs)
      expect(localTime(zone, atMs)).to.be.at.least(localMs)
      expect(localTime(zone, atMs - 1)).to.be.below(localMs)
    })
    fc.assert(property, { numRuns: runs(1_000) })
  })

  it('finds the way back from what a clock shows, or the first time that it showed the same', () => {
    const property = fc.property(zone, instant, (zone, atMs) => {
      const localMs = localTime(zone, atMs)
      const firstMs = instantOf(zone, localMs)
      expect(firstMs).to.be.at.most(atMs)
      expect(localTime(zone, firstMs)).to.equal(localMs)
    })
    fc.assert(property, { numRuns: runs(1_000) })
  })
})
