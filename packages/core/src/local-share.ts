import type { Clock } from './clock.ts'
import type { Charge, CounterStore } from './counter-store.ts'
import type { Reservation } from './decision.ts'
import { MemoryCounterStore } from './memory-counter-store.ts'
import { chargesOf, type BoundLimit } from './plan.ts'
import type { Amounts } from './unit.ts'

/**
 * Counters that come and go are away more than once: what was used of a share is forgotten only when they have answered
 * for so long since, in milliseconds.
 */
const OVER_AFTER_MS = 60_000
/** Windows made at one instant and a store's clock at the next can miss each other once. */
const MOST_TRIES = 2

/**
 * What this node may admit by itself while the counters are away: of each limit that says `local`, that share of its
 * quota, rounded down. All nodes together so admit at most nodes × share × quota in a window and outage.
 */
export class LocalShare {
  readonly #clock: Clock
  readonly #store: CounterStore
  /** Settled here. On the counters that are away it is tried for longer than ids are remembered. */
  readonly #settled = new WeakSet<Reservation>()
  #askedAtMs = -Infinity

  /** @param clock The clock of the counters, as well as this node knows it. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.#store = new MemoryCounterStore({ clock })
  }

  /** Whether the outage that it was made for is long over, seen from a decision of the counters. */
  get isOver(): boolean {
    return this.#clock() - this.#askedAtMs >= OVER_AFTER_MS
  }

  /** Whether all limits that are local have room for a call. Its amounts are set aside then. */
  async reserve({ id, owner, bound, amounts, lifetimeMs, context }: Reservation): Promise<boolean> {
    this.#askedAtMs = this.#clock()
    let atMs = this.#askedAtMs
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const charges = localCharges(bound, amounts, atMs).map(({ charge }) => charge)
      const reply = await this.#store.reserve({ id, owner, charges, lifetimeMs, context })
      if (reply.outcome !== 'stale') return reply.outcome === 'granted'
      atMs = reply.nowMs
    }
    return false
  }

  /** Replaces what was set aside by what was used, so that the rest of it has room for others. */
  settle(reservation: Reservation, actual: Amounts, atMs: number): void {
    if (this.#settled.has(reservation)) return
    this.#settled.add(reservation)
    const { id, owner, bound, amounts, spared } = reservation
    const charges = localCharges(bound, amounts, atMs).map(({ charge, unit, place }) => {
      return { charge, actual: spared?.[place] === true ? 0 : (actual[unit] ?? charge.amount) }
    })
    void this.#store.settle({ id, owner, charges, atMs })
  }

  release(id: string, owner: string): void {
    void this.#store.release({ id, owner })
  }

  extend({ id, owner, bound, amounts, lifetimeMs, context }: Reservation): void {
    const charges = localCharges(bound, amounts, this.#clock()).map(({ charge }) => charge)
    void this.#store.extend({ id, owner, charges, lifetimeMs, context })
  }
}

/** The charges of limits that are local, with their share as quota. */
function localCharges(bound: readonly BoundLimit[], amounts: Amounts, atMs: number): LocalCharge[] {
  const free = bound.filter(({ limit }) => shareOf(limit.definition) === undefined)
  const local = bound.filter(({ limit }) => shareOf(limit.definition) !== undefined)
  // An alternative without a local limit has room: then none of the others is in the way.
  const isFree = free.some(
    ({ alternative }) => alternative > 0 && !local.some((each) => each.alternative === alternative),
  )
  return chargesOf(local, amounts, atMs).map((charge, index) => {
    const { definition } = local[index]!.limit
    const quota = charge.quota === null ? null : shareOfQuota(charge.quota, shareOf(definition)!)
    const effect = isFree && charge.alternative > 0 ? 'shadow' : charge.effect
    return {
      charge: { ...charge, quota, effect, isRebuilt: false },
      unit: definition.unit,
      place: bound.indexOf(local[index]!),
    }
  })
}

interface LocalCharge {
  readonly charge: Charge
  readonly unit: BoundLimit['limit']['definition']['unit']
  /** Among all limits of the call. */
  readonly place: number
}

function shareOf({ onUnavailable }: Pick<BoundLimit['limit']['definition'], 'onUnavailable'>): number | undefined {
  return typeof onUnavailable === 'object' ? onUnavailable.local : undefined
}

/** Rounded down, but not for what binary fractions make of 0.29 × 100. */
function shareOfQuota(quota: number, share: number): number {
  return Math.min(quota, Math.floor(Number((quota * share).toPrecision(15))))
}
