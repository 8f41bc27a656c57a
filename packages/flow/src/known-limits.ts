import { BY_DEFAULT, type BoundLimit, type CompiledPlan } from '@tallygate/core'

/** Limits by the names of their counters, for what comes back from a store or a ledger with nothing but a name. */
export class KnownLimits {
  readonly #plansOfCallers: () => readonly CompiledPlan[]
  readonly #others = new Map<string, CompiledPlan>()

  /** @param plansOfCallers Those in force, asked each time. */
  constructor(plansOfCallers: () => readonly CompiledPlan[]) {
    this.#plansOfCallers = plansOfCallers
  }

  /** Limits that a middleware applies beside the plans of callers. */
  add(plan: CompiledPlan): void {
    for (const { name } of plan.limits) this.#others.set(`${plan.name}/${name}`, plan)
  }

  /**
   * The limit that counts under a name, bound to a counter of that name; `undefined` where it is gone by now.
   *
   * @param more Plans to look in, too: those of one caller, where they come from a source that can't list them.
   */
  bind(owner: string, partition: string, name: string, more: readonly CompiledPlan[] = []): BoundLimit | undefined {
    const [planName, limitName] = split(name)
    const ofCallers = this.#plansOfCallers().find((each) => each.name === planName)
    const plan = this.#others.get(name) ?? ofCallers ?? more.find((each) => each.name === planName)
    const limit = plan?.limits.find((each) => each.name === limitName)
    if (plan === undefined || limit === undefined) return undefined
    const counter = { owner, partition, name, key: `${owner} ${partition} ${name}` }
    return { plan, limit, counter, alternative: 0, origin: BY_DEFAULT }
  }
}

function split(name: string): [plan: string, limit: string] {
  const slash = name.indexOf('/')
  return [name.slice(0, slash), name.slice(slash + 1)]
}
