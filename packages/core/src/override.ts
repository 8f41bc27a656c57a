import { assertCallerMatch, ByCaller, CALLER_LEVELS, type CallerMatch } from './caller-match.ts'
import { assertList, assertMembers, configError } from './config-error.ts'
import { assertQuota } from './limit.ts'
import type { CompiledPlan, PlanSet } from './plan.ts'
import type { Subject } from './subject.ts'

/** Whose limit is overridden: one kind of callers, or all of a tenant that have a plan. */
export interface OverrideMatch extends CallerMatch {
  /** Name of a plan; without a tenant, in all of them. */
  readonly plan?: string
}

/**
 * Another quota for a limit, for some callers. Of several that are for a caller, the first of these counts: `user`, `key`,
 * `group`, `plan`; on one level, the one that was given first. The counter stays the same.
 */
export interface Override {
  /** Exactly one of `user`, `key`, `group` and `plan`. */
  readonly for: OverrideMatch
  /** Plan and limit: `pro/tokens-per-day`. */
  readonly limit: string
  /** Whole units, or `null` for no limit; in force as the limit's `onChange` says. */
  readonly quota: number | null
  /** From this instant, by the counter store's clock, it is as if it were not there. Default: never. */
  readonly untilMs?: number
}

/** Applies overrides to the plans of callers. */
export class Overrides {
  readonly #byCaller: ByCaller<Override>
  readonly #byPlan: readonly Override[]
  readonly #numbers: ReadonlyMap<Override, number>
  readonly #sets = new WeakMap<PlanSet, Map<string, PlanSet>>()
  readonly #plans = new Map<string, CompiledPlan>()

  /** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, its value and the remedy. */
  constructor(overrides: readonly Override[], plans: readonly CompiledPlan[]) {
    assertOverrides(overrides, plans)
    this.#numbers = new Map(overrides.map((override, index) => [override, index]))
    this.#byCaller = new ByCaller(overrides.filter(({ for: { plan } }) => plan === undefined))
    this.#byPlan = overrides.filter(({ for: { plan } }) => plan !== undefined)
  }

  /** The plans of a caller with the quotas that are in force for it. The same object for the same ones. */
  applied(set: PlanSet, subject: Subject, nowMs: number): PlanSet {
    const chosen = this.#chosen(set, subject, nowMs)
    if (chosen.length === 0) return set
    const key = this.#keyOf(chosen)
    let known = this.#sets.get(set)
    if (known === undefined) this.#sets.set(set, (known = new Map()))
    let changed = known.get(key)
    if (changed === undefined) {
      changed = { ...set, plans: set.plans.map((plan) => this.#changed(plan, chosen)) }
      known.set(key, changed)
    }
    return changed
  }

  /** The override of each limit that has one. A list, as it is short and made for each call. */
  #chosen(set: PlanSet, subject: Subject, nowMs: number): readonly Override[] {
    const chosen: Override[] = []
    const choose = (override: Override): void => {
      const { limit, untilMs = Infinity } = override
      if (nowMs >= untilMs || chosen.some((other) => other.limit === limit)) return
      if (hasPlan(set, limit.slice(0, limit.indexOf('/')))) chosen.push(override)
    }
    for (const level of CALLER_LEVELS) for (const override of this.#byCaller.on(level, subject)) choose(override)
    for (const override of this.#byPlan) {
      const { plan, tenant = subject.tenant } = override.for
      if (tenant === subject.tenant && hasPlan(set, plan!)) choose(override)
    }
    return chosen
  }

  /** One object for the same quotas, so that what is worked out for a plan is kept whoever has it. */
  #changed(plan: CompiledPlan, chosen: readonly Override[]): CompiledPlan {
    const own = chosen.filter(({ limit }) => limit.startsWith(`${plan.name}/`))
    if (own.length === 0) return plan
    const key = this.#keyOf(own)
    let changed = this.#plans.get(key)
    if (changed === undefined) this.#plans.set(key, (changed = plan.overridden(own)))
    return changed
  }

  #keyOf(chosen: readonly Override[]): string {
    return chosen.map((override) => this.#numbers.get(override)).join()
  }
}

function hasPlan({ plans }: PlanSet, name: string): boolean {
  return plans.some((plan) => plan.name === name)
}

function assertOverrides(overrides: readonly Override[], plans: readonly CompiledPlan[]): void {
  assertList(overrides, 'overrides', 'overrides')
  const limits = plans.flatMap((plan) => plan.limits.map(({ name }) => `${plan.name}/${name}`))
  for (const [index, override] of overrides.entries()) {
    const at = `overrides[${index}]`
    assertMembers(override, ['for', 'limit', 'quota', 'untilMs'], at)
    assertCallerMatch(override.for, `${at}.for`, [...CALLER_LEVELS, 'plan'])
    const { plan } = override.for
    if (plan !== undefined && !plans.some(({ name }) => name === plan))
      throw configError(
        `${at}.for.plan`,
        plan,
        `use one of ${plans.map(({ name }) => name).join(', ') || 'none: there is no plan'}`,
      )
    if (!limits.includes(override.limit))
      throw configError(
        `${at}.limit`,
        override.limit,
        `use plan/limit, one of ${limits.join(', ') || 'none: there is no limit'}`,
      )
    assertQuota(override.quota, `${at}.quota`)
    if (override.untilMs !== undefined && !Number.isFinite(override.untilMs))
      throw configError(`${at}.untilMs`, override.untilMs, 'use milliseconds since 1970')
  }
}
