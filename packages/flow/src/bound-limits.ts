import { bindLimits, type BoundLimit, type CallFacts, type Dimensions, type PlanSet } from '@tallygate/core'
import { RecentCache } from '@tallygate/identity'

interface Bound {
  readonly plans: PlanSet
  readonly dimensions: Dimensions
  readonly limits: readonly BoundLimit[]
}

const MOST_REMEMBERED = 10_000

/** Binds limits to counters, and remembers it for callers who come again. */
export class BoundLimits {
  readonly #slotOwner: readonly string[]
  readonly #recent = new RecentCache<string, Bound>(MOST_REMEMBERED)

  constructor(slotOwner: readonly string[]) {
    this.#slotOwner = slotOwner
  }

  /** Dimensions and plans are remembered by identity: those of a subject are the same object while it is cached. */
  of(plans: PlanSet, dimensions: Dimensions, facts: CallFacts): readonly BoundLimit[] {
    const key = keyOf(plans, dimensions, facts)
    const known = this.#recent.get(key)
    if (known !== undefined && known.plans === plans && known.dimensions === dimensions) return known.limits
    const limits = bindLimits(plans, dimensions, facts, this.#slotOwner)
    this.#recent.set(key, { plans, dimensions, limits })
    return limits
  }
}

function keyOf({ plans }: PlanSet, dimensions: Dimensions, { model, service, route }: CallFacts): string {
  let key = `${dimensions['tenant']} ${dimensions['key']}`
  for (const { dependsOn } of plans) {
    if (dependsOn.model) key += ` m${model}`
    if (dependsOn.service) key += ` s${service}`
    if (dependsOn.route) key += ` r${route}`
  }
  return key
}
