import { CounterAccount } from './counter-account.ts'
import type { Charge, SeededCounter } from './counter-store.ts'
import type { CounterEvent, WindowStartEvent } from './ledger.ts'

/** Something that happened to a counter at one instant. Those of the same instant come in the order of their ranks. */
interface Happening {
  readonly atMs: number
  readonly rank: number
  readonly apply: (account: CounterAccount) => void
}

const RANK = { 'window-start': 0, admission: 1, settlement: 2, adjustment: 3 } as const

/**
 * Arrives at the counters that a ledger's events make, as a store that lived through them has them. Calls are added up as
 * they come, which takes no memory; only from the first adjustment of a counter on are its events kept, as from there
 * their order matters.
 */
export class CounterHistory {
  readonly #accounts: readonly CounterAccount[]
  readonly #kept: (CounterEvent[] | undefined)[]
  #latestMs = -Infinity

  /**
   * @param charges Of the counters, in the order of the events' indices.
   * @param started The latest window that each of them has begun, where the ledger knows of one.
   */
  constructor(charges: readonly Charge[], nowMs: number, started: readonly WindowStartEvent[]) {
    this.#accounts = charges.map(
      (charge, index) =>
        new CounterAccount(
          charge,
          nowMs,
          started.find(({ counter }) => counter === index),
        ),
    )
    this.#kept = this.#accounts.map(({ isOrderless }) => (isOrderless ? undefined : []))
  }

  /** The first instant of which events matter, by `atMs`. */
  get fromMs(): number {
    return Math.min(...this.#accounts.map(({ fromMs }) => fromMs))
  }

  /** Whether what was added up of a counter still is what matters at a later instant. */
  isCurrentAt(nowMs: number, counter: number): boolean {
    return this.#accounts[counter]!.isCurrentAt(nowMs)
  }

  /** Whether something came that happened after the end of the bucket that is added up. */
  isOvertaken(counter: number): boolean {
    return !this.#accounts[counter]!.isCurrentAt(this.#latestMs)
  }

  /** Whether an event can be taken although later ones were: they may come in any order, or are kept. */
  takesLate({ counter, kind }: CounterEvent): boolean {
    return kind === 'usage' || this.#kept[counter] !== undefined
  }

  /** Takes a page of events; pages come oldest first, but for those that it {@link takesLate}. */
  add(events: readonly CounterEvent[]): void {
    for (const event of events) {
      const account = this.#accounts[event.counter]!
      const kept = this.#kept[event.counter]
      if (event.atMs > this.#latestMs) this.#latestMs = event.atMs
      if (event.atMs < account.fromMs) continue
      if (kept !== undefined) kept.push(event)
      else if (event.kind === 'usage') {
        const { reserved, actual, admittedAtMs, atMs } = event
        account.settle(account.admit(reserved, admittedAtMs), reserved, actual, atMs)
      } else if (event.kind === 'adjustment') this.#kept[event.counter] = [event]
      else account.begin(event)
    }
  }

  /** What the counters stand at, by what was taken so far, at an instant at which it {@link isCurrentAt}. */
  seededAt(nowMs: number): readonly SeededCounter[] {
    return this.#accounts.map((each, index) => {
      const account = each.copyAt(nowMs)
      const happenings = (this.#kept[index] ?? []).flatMap(happeningsOf)
      happenings.sort((one, other) => one.atMs - other.atMs || one.rank - other.rank)
      for (const { apply } of happenings) apply(account)
      return account.seeded()
    })
  }
}

function happeningsOf(event: CounterEvent): Happening[] {
  const { atMs } = event
  if (event.kind === 'window-start')
    return [{ atMs, rank: RANK['window-start'], apply: (account) => account.begin(event) }]
  if (event.kind === 'adjustment') {
    const { adjustment, amount } = event
    return [{ atMs, rank: RANK.adjustment, apply: (account) => account.adjust(adjustment, amount, atMs) }]
  }
  const { reserved, actual, admittedAtMs } = event
  let bucket: number | undefined
  return [
    {
      atMs: admittedAtMs,
      rank: RANK.admission,
      apply: (account) => {
        bucket = account.admit(reserved, admittedAtMs)
      },
    },
    { atMs, rank: RANK.settlement, apply: (account) => account.settle(bucket, reserved, actual, atMs) },
  ]
}
