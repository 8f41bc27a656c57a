import { assertWindow, type Window } from './window.ts'
import { assertMembers, assertOneOf, configError } from './config-error.ts'
import { MAX_UNITS, UNITS, type Unit } from './unit.ts'

/**
 * When a limit refuses, where *used* includes what other calls hold reserved. `fits`: used plus this call's estimate is
 * over the quota. `reached`: used is at the quota. `exceeded`: used is over the quota.
 */
export type Trip = 'fits' | 'reached' | 'exceeded'

/** When a change of a limit's quota or duration comes into force. */
export type Change = 'now' | 'next-window'

/**
 * What a limit does while the counters can't be reached: `refuse` calls, `admit` them uncounted, or let each node admit by
 * itself `local` times the quota, from above 0 to 1. Of the limits of a call, one that refuses is enough.
 */
export type WhileUnavailable = 'refuse' | 'admit' | { readonly local: number }

/** Which calls a limit is for. Absent members match everything; `*` in a pattern stands for any characters. */
export interface LimitCondition {
  readonly model?: readonly string[]
  readonly service?: readonly string[]
  readonly route?: readonly string[]
}

/** One thing that a plan counts, and how much of it is allowed in which window. */
export interface Limit {
  /** 1 to 64 of `A-Z a-z 0-9 . _ : -`; unique in its plan; shown to callers. */
  readonly name: string
  readonly unit: Unit
  /** Whole units from 0, which blocks; `null` counts without a limit. */
  readonly quota: number | null
  readonly window: Window
  /**
   * Dimensions that share a counter, beside the tenant. Callers without such a dimension share one counter, so that
   * leaving it out is no way around a limit. Default: `['key']`.
   */
  readonly per?: readonly string[]
  readonly when?: LimitCondition
  /** Default: `fits`. */
  readonly trip?: Trip
  /** `flag` lets the call pass and marks it as overage. Default: `refuse`. */
  readonly onTrip?: 'refuse' | 'flag'
  /** `shadow` decides and reports, and never refuses. Default: `enforce`. */
  readonly mode?: 'enforce' | 'shadow'
  /**
   * What becomes of a stream under way for which the quota gives nothing more: it may `finish`, or is `cut` there. Only
   * for tokens and output tokens, which a stream uses up as it runs. Default: `finish`.
   */
  readonly onStream?: 'finish' | 'cut'
  /** Default: both `now`. */
  readonly onChange?: { readonly quota?: Change; readonly duration?: Change }
  /** What happens while the counters can't be reached. Default: `refuse`, so that an outage spends nothing. */
  readonly onUnavailable?: WhileUnavailable
}

/** A {@link Limit} with its defaults filled in. */
export interface CompleteLimit extends Required<Omit<Limit, 'onChange'>> {
  readonly onChange: { readonly quota: Change; readonly duration: Change }
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/
const MEMBERS = [
  'name',
  'unit',
  'quota',
  'window',
  'per',
  'when',
  'trip',
  'onTrip',
  'mode',
  'onStream',
  'onChange',
  'onUnavailable',
]
/** What a stream uses up as it runs, so that it can be told while it does. */
const CUTTING_UNITS: readonly Unit[] = ['tokens', 'output-tokens']
const DIMENSION = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/

/**
 * Fills in defaults and checks a limit.
 *
 * @param at Where it stands, for messages: `plans.pro.limits[0]`.
 * @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, its value and the remedy.
 */
export function completeLimit(limit: Limit, at: string): CompleteLimit {
  assertMembers(limit, MEMBERS, at)
  const { name, unit, quota, window, per = ['key'], when = {}, trip = 'fits', onTrip = 'refuse' } = limit
  const { mode = 'enforce', onStream = 'finish', onChange = {}, onUnavailable = 'refuse' } = limit
  assertName(name, `${at}.name`)
  assertOneOf(unit, UNITS, `${at}.unit`)
  assertQuota(quota, `${at}.quota`)
  assertWindow(window, `${at}.window`)
  assertDimensions(per, `${at}.per`)
  assertCondition(when, `${at}.when`)
  assertOneOf(trip, ['fits', 'reached', 'exceeded'], `${at}.trip`)
  assertOneOf(onTrip, ['refuse', 'flag'], `${at}.onTrip`)
  assertOneOf(mode, ['enforce', 'shadow'], `${at}.mode`)
  assertOnStream(onStream, limit, `${at}.onStream`)
  assertWhileUnavailable(onUnavailable, `${at}.onUnavailable`)
  assertMembers(onChange, ['quota', 'duration'], `${at}.onChange`)
  const { quota: quotaChange = 'now', duration: durationChange = 'now' } = onChange
  assertOneOf(quotaChange, ['now', 'next-window'], `${at}.onChange.quota`)
  assertOneOf(durationChange, ['now', 'next-window'], `${at}.onChange.duration`)
  return {
    name,
    unit,
    quota,
    window,
    per: [...new Set(per)].filter((dimension) => dimension !== 'tenant').sort(),
    when,
    trip,
    onTrip,
    mode,
    onStream,
    onChange: { quota: quotaChange, duration: durationChange },
    onUnavailable,
  }
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for a name that could not stand in a header, a key or a report as it is. */
export function assertName(name: unknown, at: string): asserts name is string {
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw configError(at, name, 'use 1 to 64 letters, digits or . _ : - and begin with a letter or digit')
  }
}

/** @throws QuotaError `ERR_QUOTA_CONFIG` for what is neither a number of units nor `null`. */
export function assertQuota(quota: number | null, at: string): void {
  if (quota !== null && !(Number.isInteger(quota) && quota >= 0 && quota <= MAX_UNITS))
    throw configError(at, quota, `use a whole number from 0 to ${MAX_UNITS}, or null for no limit`)
}

function assertOnStream(given: unknown, { unit, window }: Limit, at: string): void {
  assertOneOf(given, ['finish', 'cut'], at)
  if (given === 'finish' || (CUTTING_UNITS.includes(unit) && window.kind !== 'concurrent')) return
  throw configError(at, given, `use it for ${CUTTING_UNITS.join(' or ')}: a stream does not use up ${unit} as it runs`)
}

function assertDimensions(per: unknown, at: string): void {
  if (!Array.isArray(per)) throw configError(at, per, 'use a list of dimensions, such as [key]')
  for (const [index, dimension] of per.entries()) {
    if (typeof dimension !== 'string' || !DIMENSION.test(dimension))
      throw configError(`${at}[${index}]`, dimension, 'use a dimension such as key, user or model')
  }
}

function assertWhileUnavailable(given: unknown, at: string): void {
  if (given === 'refuse' || given === 'admit') return
  if (typeof given !== 'object' || given === null) throw configError(at, given, 'use refuse, admit or { local: 0.25 }')
  assertMembers(given, ['local'], at)
  const { local } = given as { local?: unknown }
  if (typeof local !== 'number' || !(local > 0 && local <= 1))
    throw configError(`${at}.local`, local, 'use a share of the quota above 0 and up to 1')
}

/** A condition that could never hold would leave the limit out without a word. */
function assertCondition(when: unknown, at: string): void {
  assertMembers(when, ['model', 'service', 'route'], at)
  for (const [name, patterns] of Object.entries(when)) {
    if (patterns === undefined) continue
    const isList = Array.isArray(patterns) && patterns.length > 0
    if (!isList || patterns.some((pattern) => typeof pattern !== 'string' || pattern.trim() === '')) {
      throw configError(`${at}.${name}`, patterns, 'use a list of patterns, such as [gpt-4*]')
    }
  }
}
