import type { CalendarUnit, CalendarWindow, WindowAnchor } from '@tallygate/core'
import fc from 'fast-check'

/** Zones with clocks that do something of note: half hours, two-hour turns, turns at midnight, a day left out. */
export const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/St_Johns',
  'America/Sao_Paulo',
  'America/Havana',
  'Asia/Kolkata',
  'Asia/Kathmandu',
  'Asia/Gaza',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'Africa/Casablanca',
  'Antarctica/Troll',
] as const

/** Instants at which some clock was turned, give or take. */
const TURNS = [
  '2026-03-29T01:00Z',
  '2026-10-25T01:00Z',
  '2026-03-08T07:00Z',
  '2026-11-01T06:00Z',
  '2007-11-04T02:31Z',
  '2018-11-04T03:00Z',
  '2018-02-18T02:00Z',
  '2011-12-30T10:00Z',
  '2026-04-04T15:00Z',
  '2026-10-03T15:30Z',
].map((text) => Date.parse(text))

/** From 1960 to 2100; half of them within two days of a turn of the clocks. */
export const instant = fc.oneof(
  fc.integer({ min: Date.UTC(1960), max: Date.UTC(2100) }),
  fc
    .tuple(fc.constantFrom(...TURNS), fc.integer({ min: -172_800_000, max: 172_800_000 }))
    .map(([turnMs, byMs]) => turnMs + byMs),
)

export const zone = fc.constantFrom(...ZONES)

const COUNTS: Readonly<Record<CalendarUnit, number>> = {
  second: 90,
  minute: 100,
  hour: 50,
  day: 40,
  week: 10,
  month: 15,
  year: 5,
}

export const windowOfCalendar: fc.Arbitrary<CalendarWindow> = fc
  .constantFrom(...(Object.keys(COUNTS) as CalendarUnit[]))
  .chain((every) =>
    fc.record({
      kind: fc.constant('fixed'),
      every: fc.constant(every),
      count: fc.integer({ min: 1, max: COUNTS[every] }),
      zone,
      anchor: anchorOf(every),
    }),
  )

function anchorOf(every: CalendarUnit): fc.Arbitrary<WindowAnchor> {
  if (every === 'second' || every === 'minute' || every === 'hour') return fc.constant({})
  const hour = fc.integer({ min: 0, max: 23 })
  if (every === 'day') return fc.record({ hour }, { requiredKeys: [] })
  if (every === 'week') return fc.record({ hour, weekday: fc.integer({ min: 1, max: 7 }) }, { requiredKeys: [] })
  return fc.record({ hour, dayOfMonth: fc.integer({ min: 1, max: 31 }) }, { requiredKeys: [] })
}
