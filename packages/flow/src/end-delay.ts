import { QuotaError } from '@tallygate/core'

/** What becomes of the end of an answer whose entry takes too long: it leaves, or the connection breaks. */
export type LateEntry = 'leave' | 'break'

/**
 * Waits for entries, each as long as the end of an answer may wait. All wait equally long, so one timer serves them all;
 * an entry that is written in time costs its place in a queue.
 */
export class EndDelay {
  readonly #mostMs: number
  readonly #onLate: LateEntry
  /** Side by side: when each must have been written, and whom to tell otherwise; the oldest first. */
  #dueAtMs: number[] = []
  #whenLate: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(mostMs: number, onLate: LateEntry) {
    this.#mostMs = mostMs
    this.#onLate = onLate
  }

  /** Rejects with `ERR_QUOTA_LEDGER_UNAVAILABLE` where the end must not leave without its entry. */
  wait(written: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#dueAtMs.push(performance.now() + this.#mostMs)
      this.#whenLate.push(this.#onLate === 'leave' ? resolve : () => reject(this.#late()))
      if (this.#timer === undefined) this.#timer = setTimeout(() => this.#tell(), this.#mostMs)
      written.then(resolve, reject)
    })
  }

  /** Tells all that are due; most of them have long been answered, and don't listen any more. */
  #tell(): void {
    const nowMs = performance.now()
    let first = 0
    for (; first < this.#dueAtMs.length && this.#dueAtMs[first]! <= nowMs; first += 1) this.#whenLate[first]!()
    const next = this.#dueAtMs[first]
    this.#timer = next === undefined ? undefined : setTimeout(() => this.#tell(), Math.max(1, next - nowMs))
    this.#dueAtMs = this.#dueAtMs.slice(first)
    this.#whenLate = this.#whenLate.slice(first)
  }

  #late(): QuotaError {
    return new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `the entry was not written within ${this.#mostMs} ms`)
  }
}
