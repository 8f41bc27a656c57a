import { monotonicClock } from './clock.ts'
import type { Reservation } from './decision.ts'

/** What waits that long while seeds are made one after the other waits for no further one. */
const HELD_FOR_MS = 10_000

type Held = Pick<Reservation, 'charges' | 'withoutStore'>

/**
 * Holds settlements back that would make a seed void, from when the ledger is asked for what is new until the seed has
 * arrived. Without it, calls that end all the time would keep counters from ever being known again. What was held back is
 * settled then: its entry was among what was read, or it is charged.
 */
export class SettlementGate {
  /** Owners, and for how many seeds each of them waits. */
  readonly #owners = new Map<string, number>()
  #closings = 0
  #opening = Promise.withResolvers<void>()

  get isOpen(): boolean {
    return this.#closings === 0
  }

  /** Until what it returns is called, once. */
  close(owners: ReadonlySet<string>): () => void {
    this.#closings += 1
    for (const owner of owners) this.#owners.set(owner, (this.#owners.get(owner) ?? 0) + 1)
    return () => {
      this.#closings -= 1
      for (const owner of owners) {
        const left = this.#owners.get(owner)! - 1
        if (left === 0) this.#owners.delete(owner)
        else this.#owners.set(owner, left)
      }
      this.#opening.resolve()
      this.#opening = Promise.withResolvers<void>()
    }
  }

  /** Also what was admitted without the store, whoever's it is: in memory, one fence stands for all unknown counters. */
  holds({ charges, withoutStore }: Held): boolean {
    if (this.isOpen) return false
    return withoutStore !== undefined || charges.some(({ counter }) => this.#owners.has(counter.owner))
  }

  /** Resolves when it may be settled. */
  async pass(held: Held): Promise<void> {
    const untilMs = monotonicClock() + HELD_FOR_MS
    while (this.holds(held) && monotonicClock() < untilMs) await this.#opening.promise
  }
}
