import {
  CompiledPlan,
  configError,
  type BoundLimit,
  type CalendarUnit,
  type Limit,
  type LimitCondition,
  type Trip,
  type Unit,
  type Window,
} from '@tallygate/core'
import type { HoldRequest, Quota } from '@tallygate/flow'
import type { Request, Response } from 'express'
import { checkLimit, checkOptions } from './check-options.ts'
import { HostValues, type HostText } from './host-values.ts'
import type { SharedOptions } from './middleware-options.ts'
import type { QuotaContext } from './quota-context.ts'
import { setFields } from './set-fields.ts'
import type { Step } from './step.ts'

export interface LimiterOptions extends SharedOptions {
  /** Units allowed in a window. A function tells it for each request: whole numbers from 0. */
  readonly limit: number | ((req: Request, res: Response) => number | Promise<number>)
  /** Length of the window in milliseconds; fixed ones are aligned to the Unix epoch. Default: one minute. */
  readonly windowMs?: number
  /** What is counted. Default: `requests`. Tokens take `meterUsage` or `req.quota.record` beside it. */
  readonly unit?: Unit
  /**
   * Name of the limit in headers and reports, and of its counters. Default: made of unit and window, with a number where
   * that is taken in this process. Limiters with the same name count together.
   */
  readonly identifier?: string
  /** Dimensions that share a counter. Default: `['key']`. */
  readonly per?: readonly string[]
  /** Tells apart who shares a counter, in place of the caller's key, which counts where it names nobody. */
  readonly keyGenerator?: (req: Request, res: Response) => HostText | Promise<HostText>
  readonly when?: LimitCondition
  readonly trip?: Trip
  /** `shadow` decides and reports, and never refuses. Default: `enforce`. */
  readonly mode?: 'enforce' | 'shadow'
  /** Of tokens: a stream under way for which nothing more is left may `finish`, or is `cut` there. Default: `finish`. */
  readonly onStream?: 'finish' | 'cut'
  /** Lets requests pass while the counters can't be reached. Default: false. */
  readonly passOnStoreError?: boolean
  /** Gives back what answers with a status from 400 on have counted. Default: false. */
  readonly skipFailedRequests?: boolean
  /** Gives back what answers with a status below 400 have counted. Default: false. */
  readonly skipSuccessfulRequests?: boolean
}

/** A fixed window can follow the calendar of a zone in place of `windowMs`. */
export interface FixedWindowOptions extends LimiterOptions {
  readonly every?: CalendarUnit
  /** IANA zone. Default: `UTC`. */
  readonly zone?: string
}

export interface SlidingWindowOptions extends LimiterOptions {
  /** In how many steps the window moves. Default: 10. */
  readonly buckets?: number
}

/** A limit that is decided on by itself, or together with others. */
export interface Limiter {
  readonly name: string
  readonly options: LimiterOptions
  /** The limit of a request, bound to its counter. */
  bind(context: QuotaContext, req: Request, res: Response): Promise<readonly BoundLimit[]>
  readonly isSpared: NonNullable<HoldRequest['isSpared']>
}

/** Options of limiters; `buckets` is for sliding windows, `every` and `zone` for fixed ones. */
const OPTIONS = [
  'limit',
  'windowMs',
  'unit',
  'identifier',
  'per',
  'keyGenerator',
  'when',
  'trip',
  'mode',
  'onStream',
  'passOnStoreError',
  'skipFailedRequests',
  'skipSuccessfulRequests',
] as const satisfies readonly (keyof LimiterOptions)[]

/** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the option, its value and the remedy. */
export function checkLimiter(
  options: FixedWindowOptions | SlidingWindowOptions,
  more: readonly string[],
  of: string,
): void {
  checkOptions(options, [...OPTIONS, ...more], of)
  checkLimit(options.limit, of)
  if ('every' in options && options.every !== undefined && options.windowMs !== undefined)
    throw configError(`${of}.windowMs`, options.windowMs, 'it is not for a window of the calendar: leave it out')
  if ('zone' in options && options.zone !== undefined && options.every === undefined)
    throw configError(`${of}.zone`, options.zone, 'it is for a window of the calendar: set every as well')
}

/** Name of the plan that limiters count under, apart from plans of callers. */
const PLAN = 'limiter'
const MOST_PLANS = 1_000

/** @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work. */
export function limiterOf(kind: 'fixed' | 'sliding', options: FixedWindowOptions & SlidingWindowOptions): Limiter {
  const { limit, keyGenerator, skipFailedRequests = false, skipSuccessfulRequests = false } = options
  const definition = limitOf(kind, options)
  const plans = new Map<number, CompiledPlan>()
  const planFor = (quota: number): CompiledPlan => {
    let plan = plans.get(quota)
    if (plan === undefined) {
      plan = new CompiledPlan(
        { name: PLAN, limits: [{ ...definition, quota }] },
        kind === 'fixed' ? 'fixedWindow()' : 'slidingWindow()',
      )
      if (plans.size >= MOST_PLANS) plans.clear()
      plans.set(quota, plan)
    }
    return plan
  }
  const general = planFor(typeof limit === 'number' ? limit : 0)
  /** Where a report can tell of this limit: it is the same for every request of a caller. */
  const isGeneral = typeof limit === 'number' && keyGenerator === undefined
  const told = new WeakSet<Quota>()

  return {
    name: definition.name,
    options,
    isSpared: (status) => (status === undefined || status >= 400 ? skipFailedRequests : skipSuccessfulRequests),
    async bind({ call, quota }, req, res) {
      if (!told.has(quota)) {
        quota.alsoLimits(general, isGeneral)
        told.add(quota)
      }
      const plan = planFor(typeof limit === 'number' ? limit : await limit(req, res))
      const dimensions = call.subject?.dimensions ?? {}
      const key = new HostValues(quota.logger).text(await keyGenerator?.(req, res), 'keyGenerator()')
      const isNamed = key !== undefined && key !== ''
      return call.bind({ plans: [plan], combine: 'all' }, isNamed ? { ...dimensions, key } : dimensions)
    },
  }
}

/** The step of one or several limiters, decided on together. Callers are identified first, if nobody has yet. */
export function limiting(limiters: readonly Limiter[]): Step {
  const isSpared = (status: number | undefined): boolean => limiters.every((limiter) => limiter.isSpared(status))
  const onUnavailable = limiters.every(({ options }) => options.passOnStoreError ?? false) ? 'admit' : 'refuse'
  const isOfSubject = limiters.every(({ options }) => options.keyGenerator === undefined)
  return async (context, req, res) => {
    const { call } = context
    const denial = call.subject === undefined ? await call.identify() : undefined
    if (denial !== undefined) return denial
    const bound = await Promise.all(limiters.map((limiter) => limiter.bind(context, req, res)))
    const refused = await call.admit({
      bound: bound.flat(),
      isSpared,
      onUnavailable,
      subject: isOfSubject ? call.subject?.id : undefined,
    })
    if (refused === undefined) setFields(res, call)
    return refused
  }
}

function limitOf(kind: 'fixed' | 'sliding', options: FixedWindowOptions & SlidingWindowOptions): Omit<Limit, 'quota'> {
  const {
    unit = 'requests',
    per = ['key'],
    when = {},
    trip = 'fits',
    mode = 'enforce',
    onStream = 'finish',
    passOnStoreError = false,
  } = options
  const { every, zone, windowMs = 60_000, buckets } = options
  const window: Window =
    kind === 'sliding'
      ? { kind, durationMs: windowMs, ...(buckets === undefined ? {} : { buckets }) }
      : every === undefined
        ? { kind, durationMs: windowMs }
        : { kind, every, ...(zone === undefined ? {} : { zone }) }
  const { identifier = nameOf(`${unit}-${kind === 'fixed' ? 'per' : 'within'}-${every ?? `${windowMs / 1_000}s`}`) } =
    options
  const onUnavailable = passOnStoreError ? 'admit' : 'refuse'
  return { name: identifier, unit, window, per, when, trip, mode, onStream, onUnavailable }
}

const named = new Map<string, number>()

/** Limiters without a name of their own count apart, by the order in which they were made. */
function nameOf(description: string): string {
  const count = (named.get(description) ?? 0) + 1
  named.set(description, count)
  return count === 1 ? description : `${description}-${count}`
}
