import { instantOf, localTime, transitionBetween, zoneOffset } from './time-zone.ts'
import type { CalendarUnit, CalendarWindow } from './window.ts'

/** One occurrence of a calendar window: from `startMs`, up to but without `endMs`. */
export interface Bucket {
  readonly startMs: number
  readonly endMs: number
}

const DAY = 86_400_000
const CLOCK_UNITS: Partial<Record<CalendarUnit, number>> = { second: 1_000, minute: 60_000, hour: 3_600_000 }
/** 1970-01-01 was a Thursday, so Monday of that week is day -3. */
const FIRST_MONDAY = -3

/** The bucket of a calendar window that an instant lies in. */
export function calendarBucket(window: CalendarWindow, atMs: number): Bucket {
  const { every, count = 1, zone = 'UTC' } = window
  const clockUnit = CLOCK_UNITS[every]
  if (clockUnit !== undefined) return clockBucket(zone, clockUnit * count, atMs)
  return dateBucket(window, zone, atMs)
}

/**
 * Seconds, minutes, hours: the edges are the instants at which the zone's clocks show a multiple of `length` counted
 * from the epoch, and the instants at which they skip one. So a 6-hour window lasts 7 hours on the day that clocks go
 * back, and an hour that comes twice is two windows.
 */
function clockBucket(zone: string, length: number, atMs: number): Bucket {
  const startMs = clockEdgeAtOrBefore(zone, length, Math.floor(atMs))
  return { startMs, endMs: clockEdgeAfter(zone, length, startMs) }
}

function clockEdgeAtOrBefore(zone: string, length: number, atMs: number): number {
  const offset = zoneOffset(zone, atMs)
  const edge = atMs - floorMod(atMs + offset, length)
  const offsetAtEdge = zoneOffset(zone, edge)
  if (offsetAtEdge === offset) return edge
  const turnMs = transitionBetween(zone, edge, atMs)
  if (skipsAnEdge(turnMs, offsetAtEdge, offset, length)) return turnMs
  return turnMs - 1 - floorMod(turnMs - 1 + offsetAtEdge, length)
}

function clockEdgeAfter(zone: string, length: number, startMs: number): number {
  const offset = zoneOffset(zone, startMs)
  const edge = startMs + length - floorMod(startMs + offset, length)
  const offsetAtEdge = zoneOffset(zone, edge)
  if (offsetAtEdge === offset) return edge
  const turnMs = transitionBetween(zone, startMs, edge)
  if (skipsAnEdge(turnMs, offset, offsetAtEdge, length)) return turnMs
  return turnMs + length - floorMod(turnMs + offsetAtEdge, length)
}

/** Whether the clocks, turned at `turnMs`, show a multiple then or jump over one. */
function skipsAnEdge(turnMs: number, offsetBefore: number, offsetAfter: number, length: number): boolean {
  if (floorMod(turnMs + offsetAfter, length) === 0) return true
  if (offsetAfter < offsetBefore) return false
  return Math.floor((turnMs - 1 + offsetBefore) / length) < Math.floor((turnMs + offsetAfter) / length)
}

/** Days and longer: counted in local dates, from the epoch's, shifted by the anchor. */
function dateBucket(window: CalendarWindow, zone: string, atMs: number): Bucket {
  const local = localTime(zone, atMs)
  let index = dateIndex(window, local)
  let startMs = instantOf(zone, dateEdge(window, index))
  let endMs = instantOf(zone, dateEdge(window, index + 1))
  // A local time that comes twice around an edge can point one bucket too far.
  if (atMs < startMs) {
    index -= 1
    endMs = startMs
    startMs = instantOf(zone, dateEdge(window, index))
  } else if (atMs >= endMs) {
    index += 1
    startMs = endMs
    endMs = instantOf(zone, dateEdge(window, index + 1))
  }
  return { startMs, endMs }
}

/** Number of the bucket that a local time lies in. */
function dateIndex(window: CalendarWindow, localMs: number): number {
  const { every, count = 1, anchor = {} } = window
  const shifted = localMs - (anchor.hour ?? 0) * 3_600_000
  if (every === 'day') return Math.floor(Math.floor(shifted / DAY) / count)
  if (every === 'week') return Math.floor((Math.floor(shifted / DAY) - firstWeekday(anchor.weekday)) / 7 / count)
  const date = new Date(localMs)
  const month = (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
  const span = every === 'year' ? 12 * count : count
  const index = Math.floor(month / span)
  return localMs < dateEdge(window, index) ? index - 1 : index
}

/** The local time at which bucket `index` begins. */
function dateEdge(window: CalendarWindow, index: number): number {
  const { every, count = 1, anchor = {} } = window
  const hourMs = (anchor.hour ?? 0) * 3_600_000
  if (every === 'day') return index * count * DAY + hourMs
  if (every === 'week') return (index * count * 7 + firstWeekday(anchor.weekday)) * DAY + hourMs
  const month = index * (every === 'year' ? 12 * count : count)
  const daysInMonth = new Date(Date.UTC(1970, month + 1, 0)).getUTCDate()
  return Date.UTC(1970, month, Math.min(anchor.dayOfMonth ?? 1, daysInMonth)) + hourMs
}

function firstWeekday(weekday = 1): number {
  return FIRST_MONDAY + weekday - 1
}

function floorMod(value: number, modulus: number): number {
  return ((value % modulus) + modulus) % modulus
}
