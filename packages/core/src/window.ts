import { isTimeZone } from './time-zone.ts'
import { assertMembers, configError } from './config-error.ts'

/** A step of the calendar. */
export type CalendarUnit = 'second' | 'minute' | 'hour' | 'day' | 'week' | 'month' | 'year'

/** Aligned to the calendar of a zone: every day, every 15 minutes, every month from the 12th. */
export interface CalendarWindow {
  readonly kind: 'fixed'
  readonly every: CalendarUnit
  /** How many of `every` make one window, from 1. Default: 1. */
  readonly count?: number
  /** IANA zone. Default: `UTC`. */
  readonly zone?: string
  readonly anchor?: WindowAnchor
}

/** Where a calendar window begins, other than at the start of its unit. */
export interface WindowAnchor {
  /** 1 to 31, for months and years; a month that is too short begins on its last day. */
  readonly dayOfMonth?: number
  /** ISO: 1 is Monday, 7 is Sunday; for weeks. */
  readonly weekday?: number
  /** 0 to 23, for days and longer. */
  readonly hour?: number
}

/** A number of milliseconds, aligned to the Unix epoch. */
export interface EpochWindow {
  readonly kind: 'fixed'
  readonly durationMs: number
}

/** Moves with time in `buckets` steps; the oldest bucket is counted whole, so no span of `durationMs` exceeds the quota. */
export interface SlidingWindow {
  readonly kind: 'sliding'
  readonly durationMs: number
  /** 1 to 1,000. A refusal lasts at most 1/buckets of the window too long. Default: 10. */
  readonly buckets?: number
}

/** Starts at the partition's first use. `restart`: anew at the first use after its end. `end`: once, and never again. */
export interface FirstUseWindow {
  readonly kind: 'first-use'
  readonly durationMs: number
  readonly then: 'restart' | 'end'
}

/** Never ends. */
export interface LifetimeWindow {
  readonly kind: 'lifetime'
}

/** Holds its amount while a call runs, and gives it back. */
export interface ConcurrentWindow {
  readonly kind: 'concurrent'
}

/** The span over which a quota applies. */
export type Window = CalendarWindow | EpochWindow | SlidingWindow | FirstUseWindow | LifetimeWindow | ConcurrentWindow

/** Bounds of durations: 1 ms to 400 years, so that every sum of two instants is exact. */
export const MAX_DURATION_MS = 400 * 366 * 86_400_000

const KINDS = 'fixed, sliding, first-use, lifetime or concurrent'
const MEMBERS_OF_KIND: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['fixed', ['kind', 'every', 'count', 'zone', 'anchor']],
  ['sliding', ['kind', 'durationMs', 'buckets']],
  ['first-use', ['kind', 'durationMs', 'then']],
  ['lifetime', ['kind']],
  ['concurrent', ['kind']],
])
const CALENDAR_UNITS: readonly string[] = ['second', 'minute', 'hour', 'day', 'week', 'month', 'year']
const MOST_OF_UNIT: Record<CalendarUnit, number> = {
  second: 86_400,
  minute: 1_440,
  hour: 168,
  day: 3_660,
  week: 522,
  month: 1_200,
  year: 400,
}

/**
 * Checks a window that came from outside.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG`, naming `at` and the member that is wrong.
 */
export function assertWindow(window: Window, at: string): void {
  if (typeof window !== 'object' || window === null) fail(at, window, `use an object with a kind: ${KINDS}`)
  const members = MEMBERS_OF_KIND.get(window.kind)
  if (members === undefined) fail(`${at}.kind`, window.kind, `use ${KINDS}`)
  assertMembers(window, 'durationMs' in window && window.kind === 'fixed' ? ['kind', 'durationMs'] : members, at)
  switch (window.kind) {
    case 'fixed':
      if ('durationMs' in window) return assertDuration(window.durationMs, at)
      return assertCalendar(window, at)
    case 'sliding': {
      assertDuration(window.durationMs, at)
      const buckets = window.buckets ?? 10
      assertWhole(buckets, 1, 1_000, `${at}.buckets`)
      if (buckets > window.durationMs)
        fail(`${at}.buckets`, buckets, `a window of ${window.durationMs} ms has at most as many buckets`)
      return
    }
    case 'first-use':
      assertDuration(window.durationMs, at)
      if (window.then !== 'restart' && window.then !== 'end') fail(`${at}.then`, window.then, "use 'restart' or 'end'")
      return
    case 'lifetime':
    case 'concurrent':
  }
}

function assertCalendar(window: CalendarWindow, at: string): void {
  const { every, count = 1, zone = 'UTC', anchor = {} } = window
  if (!CALENDAR_UNITS.includes(every)) fail(`${at}.every`, every, `use one of ${CALENDAR_UNITS.join(', ')}`)
  assertWhole(count, 1, MOST_OF_UNIT[every], `${at}.count`)
  if (!isTimeZone(zone)) fail(`${at}.zone`, zone, 'use a name of the IANA time zone database, such as Europe/Berlin')
  assertAnchor(anchor, every, `${at}.anchor`)
}

function assertAnchor(anchor: WindowAnchor, every: CalendarUnit, at: string): void {
  const allowed: Record<string, readonly [least: number, most: number, units: readonly CalendarUnit[]]> = {
    dayOfMonth: [1, 31, ['month', 'year']],
    weekday: [1, 7, ['week']],
    hour: [0, 23, ['day', 'week', 'month', 'year']],
  }
  assertMembers(anchor, Object.keys(allowed), at)
  for (const [name, value] of Object.entries(anchor)) {
    if (value === undefined) continue
    const [least, most, units] = allowed[name]!
    if (!units.includes(every)) fail(`${at}.${name}`, value, `only windows of ${units.join(', ')} have one`)
    assertWhole(value, least, most, `${at}.${name}`)
  }
}

function assertDuration(durationMs: number, at: string): void {
  assertWhole(durationMs, 1, MAX_DURATION_MS, `${at}.durationMs`)
}

function assertWhole(value: number, least: number, most: number, at: string): void {
  if (!Number.isInteger(value) || value < least || value > most)
    fail(at, value, `use a whole number from ${least} to ${most}`)
}

function fail(at: string, value: unknown, remedy: string): never {
  throw configError(at, value, remedy)
}
