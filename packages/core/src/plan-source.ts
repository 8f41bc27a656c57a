import { assertAssignments, BY_DEFAULT, BY_REGISTRY, originOf, type Assignment, type PlanOrigin } from './assignment.ts'
import { ByCaller } from './caller-match.ts'
import { monotonicClock, type Clock } from './clock.ts'
import { assertOneOf } from './config-error.ts'
import { Overrides, type Override } from './override.ts'
import { CompiledPlan, NO_PLANS, type Plan, type PlanSet } from './plan.ts'
import { QuotaError } from './quota-error.ts'
import type { Subject } from './subject.ts'

/** Knows which plans a subject has. */
export interface PlanSource {
  /** All plans that it can answer with, for checking them at start; those with other quotas apart. */
  readonly plans: readonly CompiledPlan[]
  /** Whether callers can have plans of which one with room is enough. Absent: nobody can tell. */
  readonly hasAlternatives?: boolean
  /** @throws QuotaError `ERR_QUOTA_CONFIG` when a subject names a plan that does not exist. */
  plansOf(subject: Subject): PlanSet | Promise<PlanSet>
}

export interface MemoryPlanSourceOptions {
  readonly plans?: readonly Plan[]
  /** Names of the plans of a subject that has none of its own. Default: none, so that nothing is limited. */
  readonly defaults?: readonly string[]
  /** How several plans of a caller combine, where its assignment says nothing else. Default: `all`. */
  readonly combine?: 'all' | 'any'
  /** Plans of users, keys and groups. Those of the key's own record go before those of its groups. */
  readonly assignments?: readonly Assignment[]
  /**
   * What a caller has of whose groups several are assigned plans: those of the assignment that was given `first`; those
   * of `all`, each of which must have room; or of all, and `any` one with room is enough. Default: `first`.
   */
  readonly severalGroups?: 'first' | 'all' | 'any'
  /** Other quotas for some callers. */
  readonly overrides?: readonly Override[]
  /** For overrides that end. Default: the machine's. */
  readonly clock?: Clock
}

/**
 * Plans from a configuration. A caller has those of the first of these that says anything: an assignment to its user; the
 * record of its key, or an assignment to it; assignments to its groups; the defaults.
 */
export class MemoryPlanSource implements PlanSource {
  readonly plans: readonly CompiledPlan[]
  readonly hasAlternatives: boolean
  readonly #byName: ReadonlyMap<string, CompiledPlan>
  readonly #combine: 'all' | 'any'
  readonly #severalGroups: 'first' | 'all' | 'any'
  readonly #defaults: PlanSet
  readonly #assignments: ByCaller<Assignment> | undefined
  readonly #overrides: Overrides | undefined
  readonly #clock: Clock
  readonly #sets = new Map<string, PlanSet>()
  /** By the list in a key's record, or the assignment: most calls come with one that was seen before. */
  readonly #known = new WeakMap<object, PlanSet>()

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for what can't work, or names a plan that does not exist. */
  constructor(options: MemoryPlanSourceOptions = {}) {
    const { plans = [], defaults = [], combine = 'all', assignments = [], severalGroups = 'first' } = options
    const { overrides = [], clock = monotonicClock } = options
    this.plans = plans.map((plan) => new CompiledPlan(plan))
    this.#byName = new Map(this.plans.map((plan) => [plan.name, plan]))
    const twice = this.plans.find((plan) => this.#byName.get(plan.name) !== plan)
    if (twice !== undefined) {
      throw new QuotaError('ERR_QUOTA_CONFIG', `two plans have the name ${twice.name}: rename one`)
    }
    assertOneOf(combine, ['all', 'any'], 'combine')
    assertOneOf(severalGroups, ['first', 'all', 'any'], 'severalGroups')
    assertAssignments(assignments, new Set(this.#byName.keys()))
    const all = new Overrides(overrides, this.plans)
    this.#combine = combine
    this.#severalGroups = severalGroups
    this.#defaults = defaults.length === 0 ? NO_PLANS : this.#set(defaults, BY_DEFAULT)
    this.#assignments = assignments.length === 0 ? undefined : new ByCaller(assignments)
    this.#overrides = overrides.length === 0 ? undefined : all
    this.#clock = clock
    this.hasAlternatives =
      combine === 'any' || severalGroups === 'any' || assignments.some((assignment) => assignment.combine === 'any')
  }

  plansOf(subject: Subject): PlanSet {
    const set = this.#assigned(subject)
    return this.#overrides === undefined ? set : this.#overrides.applied(set, subject, this.#clock())
  }

  #assigned(subject: Subject): PlanSet {
    const { plans } = subject
    const [user] = this.#assignments?.on('user', subject) ?? []
    if (user !== undefined) return this.#ofAssignment(user)
    if (plans !== undefined) return this.#known.get(plans) ?? this.#keep(plans, this.#set(plans, BY_REGISTRY))
    if (this.#assignments === undefined) return this.#defaults
    const [key] = this.#assignments.on('key', subject)
    if (key !== undefined) return this.#ofAssignment(key)
    const groups = this.#assignments.on('group', subject)
    const [first] = groups
    if (first === undefined) return this.#defaults
    return groups.length === 1 || this.#severalGroups === 'first'
      ? this.#ofAssignment(first)
      : this.#ofGroups(groups, this.#severalGroups)
  }

  #ofAssignment(assignment: Assignment): PlanSet {
    const known = this.#known.get(assignment)
    if (known !== undefined) return known
    return this.#keep(assignment, this.#set(assignment.plans, originOf(assignment), assignment.combine))
  }

  #keep(by: object, set: PlanSet): PlanSet {
    this.#known.set(by, set)
    return set
  }

  /** The plans of several groups; one that several of them have counts once, as the first's. */
  #ofGroups(assignments: readonly Assignment[], combine: 'all' | 'any'): PlanSet {
    const origins = new Map<string, PlanOrigin>()
    for (const assignment of assignments)
      for (const name of assignment.plans) if (!origins.has(name)) origins.set(name, originOf(assignment))
    return this.#remembered([...origins.keys()], combine, [...origins.values()])
  }

  #set(names: readonly string[], origin: PlanOrigin, combine = this.#combine): PlanSet {
    // A plan that is named twice counts once.
    const once = names.length < 2 ? names : [...new Set(names)]
    return this.#remembered(
      once,
      combine,
      once.map(() => origin),
    )
  }

  /** One object for the same names, so that what is worked out for it can be kept. */
  #remembered(names: readonly string[], combine: 'all' | 'any', origins: readonly PlanOrigin[]): PlanSet {
    const key = JSON.stringify([names, combine, origins])
    let set = this.#sets.get(key)
    if (set === undefined) {
      set = { plans: names.map((name) => this.#plan(name)), combine, origins }
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
