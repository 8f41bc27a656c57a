import type { PlanOrigin } from './assignment.ts'
import { calendarBucket } from './calendar.ts'
import { conditionHolds } from './condition.ts'
import type { Charge, ChargeWindow, Counter, CounterStoreCapability } from './counter-store.ts'
import { assertMembers, assertOneOf, assertTexts, configError } from './config-error.ts'
import { completeCountRule, type CompleteCountRule, type CountRule } from './count-rule.ts'
import { assertName, completeLimit, type CompleteLimit, type Limit } from './limit.ts'
import { digest } from './digest.ts'
import type { Override } from './override.ts'
import { partitionOf } from './partition.ts'
import type { Unpriced } from './price-book.ts'
import { QuotaError } from './quota-error.ts'
import type { CallFacts, Dimensions } from './subject.ts'
import { MAX_UNITS, type Amounts, type Unit } from './unit.ts'
import type { CalendarUnit, Window } from './window.ts'

/** A named list of limits. */
export interface Plan {
  /** 1 to 64 of `A-Z a-z 0-9 . _ : -`. Counters belong to a plan by its name. */
  readonly name: string
  /** Names this state of the plan in ledger entries. Default: a digest of its limits. */
  readonly version?: string
  readonly limits: readonly Limit[]
  /** What becomes of a reservation that was never settled, as when a process is killed. Default: `keep`. */
  readonly onExpiry?: 'keep' | 'release'
  /** Which attempts count. Default: all that went on. */
  readonly count?: CountRule
  /**
   * What becomes of calls of models without a price, where a limit counts cost or credits: they are refused, or pass and
   * are flagged, or cost as much as the dearest of their family. Default: `refuse`.
   */
  readonly unpriced?: Unpriced
  /**
   * What becomes of a call whose output ceiling has no room under a limit on tokens: it is refused, or, where so many
   * tokens of output have room, its ceiling is lowered to the room that is left. From 1. Default: `refuse`.
   */
  readonly onShortRoom?: 'refuse' | { readonly lower: number }
  /** What the host wants to know of it, as `explain` tells; nothing here goes by them. */
  readonly labels?: Readonly<Record<string, string>>
}

/** The plans of a caller. `all`: each must have room. `any`: one with room is enough, and all are charged. */
export interface PlanSet {
  readonly plans: readonly CompiledPlan[]
  readonly combine: 'all' | 'any'
  /** Why the caller has each of them, in their order; absent where the host has chosen them. */
  readonly origins?: readonly PlanOrigin[]
}

/** A limit bound to the counter of one partition: all of a charge but its amount and its time. */
export interface BoundLimit {
  readonly limit: CompiledLimit
  readonly plan: CompiledPlan
  readonly counter: Counter
  readonly alternative: number
  /** Why the caller has the plan; absent where the host has chosen it, or nobody can tell. */
  readonly origin?: PlanOrigin | undefined
}

/** Least length of a step of the calendar, in milliseconds: a day can have 23 hours. */
const UNIT_MS = {
  second: 1_000,
  minute: 60_000,
  hour: 3_600_000,
  day: 23 * 3_600_000,
  week: 167 * 3_600_000,
  month: 671 * 3_600_000,
  year: 364 * 86_400_000,
} as const satisfies Record<CalendarUnit, number>

/** Nobody's plan: no limits. */
export const NO_PLANS: PlanSet = { plans: [], combine: 'all' }

/** A plan that was checked, with what does not depend on the call worked out. */
export class CompiledPlan {
  readonly name: string
  readonly version: string
  readonly limits: readonly CompiledLimit[]
  readonly onExpiry: 'keep' | 'release'
  readonly count: CompleteCountRule
  readonly unpriced: Unpriced
  readonly onShortRoom: 'refuse' | { readonly lower: number }
  readonly labels: Readonly<Record<string, string>>
  /** Units that its limits count. */
  readonly units: ReadonlySet<Unit>
  /** Smallest quota of a limit on tokens or output tokens; `null` where there is none. */
  readonly tightestTokenQuota: number | null
  /** Facts of a call that its limits depend on. */
  readonly dependsOn: { readonly model: boolean; readonly service: boolean; readonly route: boolean }

  /** @throws QuotaError `ERR_QUOTA_CONFIG`, naming plan, limit and member. */
  constructor(plan: Plan, at = `plans.${plan.name}`, overrides: readonly Override[] = []) {
    assertMembers(plan, ['name', 'version', 'limits', 'onExpiry', 'count', 'unpriced', 'onShortRoom', 'labels'], at)
    assertName(plan.name, `${at}.name`)
    if (!Array.isArray(plan.limits)) throw configError(`${at}.limits`, plan.limits, 'use a list of limits')
    this.name = plan.name
    this.limits = plan.limits.map((limit, index) => {
      const override = overrides.find((each) => each.limit === `${plan.name}/${limit.name}`)
      return new CompiledLimit(completeLimit(limit, `${at}.limits[${index}]`), override)
    })
    this.onExpiry = plan.onExpiry ?? 'keep'
    assertOneOf(this.onExpiry, ['keep', 'release'], `${at}.onExpiry`)
    this.count = completeCountRule(plan.count, `${at}.count`)
    this.unpriced = plan.unpriced ?? 'refuse'
    assertOneOf(this.unpriced, ['refuse', 'flag', 'family-max'], `${at}.unpriced`)
    this.onShortRoom = plan.onShortRoom ?? 'refuse'
    assertShortRoom(this.onShortRoom, `${at}.onShortRoom`)
    this.labels = plan.labels ?? {}
    assertTexts(this.labels, `${at}.labels`)
    const names = this.limits.map(({ name }) => name)
    const twice = names.find((name, index) => names.indexOf(name) !== index)
    if (twice !== undefined) {
      throw new QuotaError('ERR_QUOTA_CONFIG', `${at}.limits has two limits named ${JSON.stringify(twice)}: rename one`)
    }
    const definitions = this.limits.map(({ definition }) => definition)
    this.version =
      plan.version ??
      digest(JSON.stringify(plan.count === undefined ? definitions : [definitions, this.count], withoutDefaults))
    this.units = new Set(this.limits.map(({ definition }) => definition.unit))
    const quotas = this.limits
      .filter(({ definition: { unit } }) => unit === 'tokens' || unit === 'output-tokens')
      .flatMap(({ definition: { quota } }) => quota ?? [])
    this.tightestTokenQuota = quotas.length === 0 ? null : Math.min(...quotas)
    const depends = (fact: 'model' | 'service' | 'route'): boolean =>
      this.limits.some(({ definition: { per, when } }) => per.includes(fact) || when[fact] !== undefined)
    this.dependsOn = { model: depends('model'), service: depends('service'), route: depends('route') }
  }

  /** The same plan with other quotas, and a version that tells. Its counters are the same. */
  overridden(overrides: readonly Override[]): CompiledPlan {
    const { name, onExpiry, count, unpriced, onShortRoom, labels } = this
    const quotaOf = new Map(overrides.map(({ limit, quota }) => [limit, quota]))
    const limits = this.limits.map(({ definition }) => {
      const key = `${name}/${definition.name}`
      return quotaOf.has(key) ? { ...definition, quota: quotaOf.get(key)! } : definition
    })
    const version = `${this.version}+${digest(JSON.stringify([...quotaOf]))}`
    const plan = { name, version, limits, onExpiry, count, unpriced, onShortRoom, labels }
    return new CompiledPlan(plan, `plans.${name}`, overrides)
  }

  /** What the plan asks of a counter store. */
  get needs(): ReadonlySet<CounterStoreCapability> {
    const needs = new Set<CounterStoreCapability>()
    for (const { definition } of this.limits) {
      const { window, onChange } = definition
      if (window.kind !== 'fixed') needs.add(window.kind)
      else if ('every' in window) needs.add('calendar')
      const hasNext = window.kind === 'fixed' || window.kind === 'first-use'
      if (hasNext && Object.values(onChange).includes('next-window')) needs.add('next-window')
    }
    return needs
  }
}

function assertShortRoom(given: unknown, at: string): void {
  if (given === 'refuse') return
  if (typeof given !== 'object' || given === null) throw configError(at, given, 'use refuse or { lower: 16 }')
  assertMembers(given, ['lower'], at)
  const { lower } = given as { lower?: unknown }
  if (typeof lower !== 'number' || !Number.isInteger(lower) || lower < 1 || lower > MAX_UNITS)
    throw configError(`${at}.lower`, lower, 'use a whole number of tokens from 1')
}

/** A limit that was checked. Remembers the bucket it last worked out, as most calls fall into the same. */
export class CompiledLimit {
  readonly definition: CompleteLimit
  readonly name: string
  /** What its quota comes from, where that is not the plan. */
  readonly override: Override | undefined
  #latest: ChargeWindow | undefined

  constructor(definition: CompleteLimit, override?: Override) {
    this.definition = definition
    this.name = definition.name
    this.override = override
  }

  /** The window of a charge at an instant. */
  windowAt(atMs: number): ChargeWindow {
    const latest = this.#latest
    if (latest !== undefined && (latest.kind !== 'fixed' || (atMs >= latest.startMs && atMs < latest.endMs)))
      return latest
    this.#latest = chargeWindow(this.definition.window, atMs)
    return this.#latest
  }

  /** Whether its counter outlives a call, for so long. */
  isAtLeast(durationMs: number): boolean {
    const { window } = this.definition
    if (window.kind === 'concurrent') return false
    if (window.kind === 'lifetime') return durationMs !== Infinity
    return ('durationMs' in window ? window.durationMs : UNIT_MS[window.every] * (window.count ?? 1)) >= durationMs
  }

  /** Length in milliseconds of the window that an instant lies in; `null` where it has none. */
  durationAt(atMs: number): number | null {
    const { window } = this.definition
    if ('durationMs' in window) return window.durationMs
    const bucket = this.windowAt(atMs)
    return bucket.kind === 'fixed' ? bucket.endMs - bucket.startMs : null
  }
}

/** Members that came later take no part where they say nothing, so that versions of plans stay what they were. */
function withoutDefaults(name: string, value: unknown): unknown {
  return name === 'onStream' && value === 'finish' ? undefined : value
}

/** Reduces a window to numbers for a store, as seen at an instant. */
export function chargeWindow(window: Window, atMs: number): ChargeWindow {
  switch (window.kind) {
    case 'fixed': {
      if ('durationMs' in window) {
        const startMs = Math.floor(atMs / window.durationMs) * window.durationMs
        return {
          kind: 'fixed',
          startMs,
          endMs: startMs + window.durationMs,
          nextEndMs: startMs + 2 * window.durationMs,
        }
      }
      const { startMs, endMs } = calendarBucket(window, atMs)
      return { kind: 'fixed', startMs, endMs, nextEndMs: calendarBucket(window, endMs).endMs }
    }
    case 'sliding': {
      const { durationMs, buckets = 10 } = window
      return { kind: 'sliding', bucketMs: Math.ceil(durationMs / buckets), buckets }
    }
    case 'first-use':
      return { kind: 'first-use', durationMs: window.durationMs, then: window.then }
    case 'lifetime':
    case 'concurrent':
      return { kind: window.kind }
  }
}

/**
 * Binds every limit that is for this call to the counter of the caller's partition.
 *
 * @param facts `any`: no call in particular. Then limits count in whose counters no fact of a call takes part.
 * @param ownedBy Dimensions whose values together own a slot. A limit that is shared more widely than that is owned by
 * its own partition.
 */
export function bindLimits(
  { plans, combine, origins }: PlanSet,
  dimensions: Dimensions,
  facts: CallFacts | 'any',
  ownedBy: readonly string[],
): readonly BoundLimit[] {
  const values = facts === 'any' ? dimensions : withFacts(dimensions, facts)
  const bound: BoundLimit[] = []
  for (const [index, plan] of plans.entries()) {
    for (const limit of plan.limits) {
      const { when, per } = limit.definition
      const isFor = facts === 'any' ? !OF_A_CALL.some((fact) => per.includes(fact)) : conditionHolds(when, facts)
      if (!isFor) continue
      const counter = counterOf(plan, limit, values, ownedBy)
      bound.push({ limit, plan, counter, alternative: combine === 'any' ? index + 1 : 0, origin: origins?.[index] })
    }
  }
  return bound
}

/**
 * Makes the charges of a call from its bound limits. Units without an amount are charged 0. A call is one request, or none
 * where that is its amount.
 *
 * @param rebuildsFromMs Length of the shortest window that is seeded from the ledger when it is lost. Default: none is.
 */
export function chargesOf(
  bound: readonly BoundLimit[],
  amounts: Amounts,
  atMs: number,
  rebuildsFromMs = Infinity,
): readonly Charge[] {
  return bound.map(({ limit, plan, counter, alternative }) => {
    const { quota, trip, onTrip, mode, onChange } = limit.definition
    return {
      counter,
      window: limit.windowAt(atMs),
      amount: amountOf(limit.definition, amounts),
      quota,
      trip,
      effect: mode === 'shadow' ? 'shadow' : onTrip,
      onChange,
      onExpiry: plan.onExpiry,
      alternative,
      isRebuilt: limit.isAtLeast(rebuildsFromMs),
    }
  })
}

function amountOf({ unit, window }: CompleteLimit, amounts: Amounts): number {
  if (window.kind === 'concurrent') return 1
  return unit === 'requests' ? Math.min(1, amounts.requests ?? 1) : (amounts[unit] ?? 0)
}

function counterOf(plan: CompiledPlan, limit: CompiledLimit, values: Dimensions, ownedBy: readonly string[]): Counter {
  const { per } = limit.definition
  const partition = partitionOf(values, per)
  const owner = ownedBy.every((name) => name === 'tenant' || per.includes(name))
    ? partitionOf(values, ownedBy)
    : partition
  const name = `${plan.name}/${limit.name}`
  return { slot: -1, stamp: 0, owner, partition, name, key: `${owner} ${partition} ${name}` }
}

/** Facts of a call by which its counters can be told apart, beside the dimensions of its caller. */
const OF_A_CALL = ['model', 'service', 'route'] as const

function withFacts(dimensions: Dimensions, { model, service, route }: CallFacts): Dimensions {
  return {
    ...dimensions,
    ...(model === undefined ? {} : { model: model.trim().toLowerCase() }),
    ...(service === undefined ? {} : { service }),
    ...(route === undefined ? {} : { route }),
  }
}
