import {
  Admission,
  bindLimits,
  CompiledPlan,
  MemoryCounterStore,
  type Admitted,
  type Amounts,
  type BoundLimit,
  type CounterStore,
  type Decision,
  type Limit,
  type Plan,
  type Refused,
  type Reservation,
} from '@tallygate/core'
import { SettableClock } from '@tallygate/testkit'

/** Where the clocks of the tests begin: noon of a Thursday. */
export const NOON = Date.UTC(2026, 0, 15, 12)
export const MIDNIGHT = Date.UTC(2026, 0, 16)

/** Ten requests a day. */
export const DAY: Limit = { name: 'day', unit: 'requests', quota: 10, window: { kind: 'fixed', every: 'day' } }
/** A hundred tokens a day. */
export const TOKENS: Limit = { ...DAY, name: 'tokens', unit: 'tokens', quota: 100 }

/** An admission on counters in memory, by a clock that tests move, and calls that number themselves. */
export class AdmissionBed {
  readonly clock = new SettableClock(NOON)
  readonly store: CounterStore
  readonly admission: Admission
  #calls = 0

  constructor(store?: CounterStore) {
    this.store = store ?? new MemoryCounterStore({ clock: this.clock.now })
    this.admission = new Admission({ store: this.store, clock: this.clock.now })
  }

  admit(bound: readonly BoundLimit[], amounts: Amounts = {}, id = `call-${(this.#calls += 1)}`): Promise<Decision> {
    return this.admission.admit({ id, bound, amounts, context: '' })
  }

  /** As {@link admit}, where the call must be admitted under at least one limit. */
  async reserve(bound: readonly BoundLimit[], amounts: Amounts = {}): Promise<Reservation> {
    const { reservation } = admitted(await this.admit(bound, amounts))
    if (reservation === undefined) throw new Error('nothing was reserved')
    return reservation
  }

  /** As {@link admit}, where the call must be refused. */
  async refuse(bound: readonly BoundLimit[], amounts: Amounts = {}): Promise<Refused> {
    return refused(await this.admit(bound, amounts))
  }

  /** Used units, in the order of the limits. */
  async used(bound: readonly BoundLimit[]): Promise<number[]> {
    const { statuses } = await this.admission.read(bound)
    return statuses.map(({ used }) => used)
  }
}

/** The limits of one plan, bound for the key `alice`. */
export function boundTo(limits: readonly Limit[], plan: Partial<Plan> = {}): readonly BoundLimit[] {
  return boundToPlans('all', [{ name: 'pro', limits, ...plan }])
}

/** The limits of several plans, bound for the key `alice`. */
export function boundToPlans(combine: 'all' | 'any', plans: readonly Plan[]): readonly BoundLimit[] {
  const compiled = plans.map((plan) => new CompiledPlan(plan))
  return bindLimits({ plans: compiled, combine }, { tenant: 'acme', key: 'alice' }, {}, ['tenant', 'key'])
}

export function admitted(decision: Decision): Admitted {
  if (!decision.admitted) throw new Error(`refused: ${decision.reason}`)
  return decision
}

export function refused(decision: Decision): Refused {
  if (decision.admitted) throw new Error('admitted')
  return decision
}
