import { CompiledPlan, NO_PLANS, type Plan, type PlanSet } from './plan.ts'
import { assertOneOf } from './config-error.ts'
import { QuotaError } from './quota-error.ts'
import type { Subject } from './subject.ts'

/** Knows which plans a subject has. */
export interface PlanSource {
  /** All plans that it can answer with, for checking them at start. */
  readonly plans: readonly CompiledPlan[]
  /** @throws QuotaError `ERR_QUOTA_CONFIG` when a subject names a plan that does not exist. */
  plansOf(subject: Subject): PlanSet | Promise<PlanSet>
}

export interface MemoryPlanSourceOptions {
  readonly plans?: readonly Plan[]
  /** Names of the plans of a subject that has none of its own. Default: none, so that nothing is limited. */
  readonly defaults?: readonly string[]
  /** Default: `all`. */
  readonly combine?: 'all' | 'any'
}

/** Plans from a configuration: those that the subject's key names, else the defaults. */
export class MemoryPlanSource implements PlanSource {
  readonly plans: readonly CompiledPlan[]
  readonly #byName: ReadonlyMap<string, CompiledPlan>
  readonly #combine: 'all' | 'any'
  readonly #defaults: PlanSet
  readonly #sets = new Map<string, PlanSet>()

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a plan that can't work, or a default that does not exist. */
  constructor({ plans = [], defaults = [], combine = 'all' }: MemoryPlanSourceOptions = {}) {
    this.plans = plans.map((plan) => new CompiledPlan(plan))
    this.#byName = new Map(this.plans.map((plan) => [plan.name, plan]))
    const twice = this.plans.find((plan) => this.#byName.get(plan.name) !== plan)
    if (twice !== undefined) {
      throw new QuotaError('ERR_QUOTA_CONFIG', `two plans have the name ${twice.name}: rename one`)
    }
    assertOneOf(combine, ['all', 'any'], 'combine')
    this.#combine = combine
    this.#defaults = defaults.length === 0 ? NO_PLANS : this.#set(defaults)
  }

  plansOf({ plans }: Subject): PlanSet {
    return plans === undefined ? this.#defaults : this.#set(plans)
  }

  /** One object for the same names, so that what is worked out for it can be kept. */
  #set(names: readonly string[]): PlanSet {
    const key = JSON.stringify(names)
    let set = this.#sets.get(key)
    if (set === undefined) {
      // A plan that is named twice counts once.
      set = { plans: [...new Set(names)].map((name) => this.#plan(name)), combine: this.#combine }
      this.#sets.set(key, set)
    }
    return set
  }

  #plan(name: string): CompiledPlan {
    const plan = this.#byName.get(name)
    if (plan === undefined) {
      const known = [...this.#byName.keys()].join(', ') || 'none'
      throw new QuotaError('ERR_QUOTA_CONFIG', `there is no plan named ${JSON.stringify(name)}: use one of ${known}`)
    }
    return plan
  }
}
