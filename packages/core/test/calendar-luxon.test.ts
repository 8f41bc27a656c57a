import { runs } from '@tallygate/testkit'
import { calendarBucket, type CalendarUnit, type CalendarWindow } from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { DateTime, type DurationLikeObject } from 'luxon'
import { instant, windowOfCalendar } from './calendar-arbitraries.ts'

type DateUnit = Exclude<CalendarUnit, 'second' | 'minute' | 'hour'>
/** Zones all over the world, beside those of the arbitraries. */
const ZONES = Intl.supportedValuesOf('timeZone')
const EPOCH: Readonly<Record<DateUnit, string>> = {
  day: '1970-01-01',
  // A Monday.
  week: '1969-12-29',
  month: '1970-01-01',
  year: '1970-01-01',
}

describe('calendarBucket, beside the calendar of luxon', function () {
  this.timeout(runs(60_000))

  it('puts 10,000 dates of all zones into the same days, weeks, months and years', () => {
    const ofDates = windowOfCalendar.filter(({ every }) => every in EPOCH)
    const zone = fc.option(fc.constantFrom(...ZONES), { nil: undefined })
    const property = fc.property(ofDates, zone, instant, (drawn, elsewhere, atMs) => {
      const window = elsewhere === undefined ? drawn : { ...drawn, zone: elsewhere }
      expect(calendarBucket(window, atMs)).to.deep.equal(bucketByLuxon(window, atMs))
    })
    fc.assert(property, { numRuns: runs(10_000) })
  })

  it('puts instants around the turns of clocks of all zones into the same days', () => {
    const turn = fc.tuple(
      fc.constantFrom(...ZONES),
      fc.integer({ min: 1972, max: 2037 }),
      fc.nat(3),
      fc.nat(172_800_000),
    )
    const property = fc.property(turn, ([zone, year, which, shiftMs]) => {
      const turns = turnsOf(zone, year)
      const turnMs = turns[which % Math.max(1, turns.length)] ?? Date.UTC(year, which * 3)
      const window = { kind: 'fixed', every: 'day', zone } as const
      const atMs = turnMs - 86_400_000 + shiftMs
      expect(calendarBucket(window, atMs)).to.deep.equal(bucketByLuxon(window, atMs))
    })
    fc.assert(property, { numRuns: runs(1_000) })
  })

  it('begins hours and minutes where luxon says that the clock shows them, also where clocks are turned', () => {
    const ofClocks = windowOfCalendar.filter(({ every, count }) => every === 'hour' && count === 1)
    const property = fc.property(ofClocks, instant, (window, atMs) => {
      const { startMs, endMs } = calendarBucket(window, atMs)
      const at = DateTime.fromMillis(atMs, { zone: window.zone ?? 'UTC' })
      const isTurned = at.plus({ hours: 2 }).offset !== at.offset || at.minus({ hours: 2 }).offset !== at.offset
      if (isTurned) return
      expect(startMs).to.equal(at.startOf('hour').toMillis())
      expect(endMs).to.equal(at.startOf('hour').plus({ hours: 1 }).toMillis())
    })
    fc.assert(property, { numRuns: runs(1_000) })
  })
})

/** Counts whole windows from the epoch in local dates, as luxon adds them, to the last that has begun at an instant. */
function bucketByLuxon(window: CalendarWindow, atMs: number): { startMs: number; endMs: number } {
  const { every, count = 1, zone = 'UTC' } = window
  const epoch = DateTime.fromISO(EPOCH[every as DateUnit], { zone: 'UTC' })
  const local = DateTime.fromMillis(atMs, { zone })
  const since = local.setZone('UTC', { keepLocalTime: true }).diff(epoch, `${every as DateUnit}s`)
  let index = Math.floor(since.as(`${every as DateUnit}s`) / count) + 2
  while (edge(window, zone, epoch, index) > atMs) index -= 1
  return { startMs: edge(window, zone, epoch, index), endMs: edge(window, zone, epoch, index + 1) }
}

/** The instant at which the window of this number begins. */
function edge({ every, count = 1, anchor = {} }: CalendarWindow, zone: string, epoch: DateTime, index: number): number {
  const added: DurationLikeObject = { [`${every}s`]: index * count }
  let date = epoch.plus(added)
  if (every === 'week') date = date.plus({ days: (anchor.weekday ?? 1) - 1 })
  else if (every !== 'day') date = date.set({ day: Math.min(anchor.dayOfMonth ?? 1, date.daysInMonth!) })
  return firstShown(date.plus({ hours: anchor.hour ?? 0 }), zone)
}

/**
 * The first instant at which the clocks of a zone show a local time, or have jumped over it. Luxon takes either of two
 * where a time comes twice, and moves on one that is left out by the length of the jump.
 */
function firstShown(local: DateTime, zone: string): number {
  const wanted = local.toMillis()
  const taken = local.setZone(zone, { keepLocalTime: true })
  const shown = (instantMs: number): number => instantMs + DateTime.fromMillis(instantMs, { zone }).offset * 60_000
  const near = turnsWithin(zone, taken.toMillis() - 100_000_000, taken.toMillis() + 100_000_000, 43_200_000)
  const candidates = near.flatMap((turnMs) => {
    const before = DateTime.fromMillis(turnMs - 1, { zone }).offset * 60_000
    const after = DateTime.fromMillis(turnMs, { zone }).offset * 60_000
    return [wanted - before, wanted - after, turnMs]
  })
  const first = [taken.toMillis(), ...candidates]
    .filter((atMs) => shown(atMs) >= wanted)
    .sort((one, other) => one - other)
  return first.find((atMs) => shown(atMs) === wanted || shown(atMs - 1) < wanted)!
}

function turnsOf(zone: string, year: number): number[] {
  return turnsWithin(zone, Date.UTC(year), Date.UTC(year + 1), 20 * 86_400_000)
}

/** Instants from which on a zone has another offset, but for those that are undone within a step. */
function turnsWithin(zone: string, fromMs: number, toMs: number, stepMs: number): number[] {
  const offset = (atMs: number): number => DateTime.fromMillis(atMs, { zone }).offset
  const turns: number[] = []
  for (let lowMs = fromMs; lowMs < toMs; lowMs += stepMs) {
    let [before, after] = [lowMs, Math.min(toMs, lowMs + stepMs)]
    if (offset(before) === offset(after)) continue
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2)
      if (offset(middle) === offset(before)) before = middle
      else after = middle
    }
    turns.push(after)
  }
  return turns
}
