import type { Charge } from './counter-store.ts'
import type { CounterState } from './counter-view.ts'

/** Tells which counters a store that began empty can't vouch for, and whether what the ledger said of them still holds. */
export class CounterFence {
  readonly #sinceMs: number
  #skipped = 0
  #skippedSlidingAtMs = -Infinity

  /** @param sinceMs When the store began; what was used before, it does not know. */
  constructor(sinceMs: number) {
    this.#sinceMs = sinceMs
  }

  /** Changes with each settlement and adjustment that was left to the ledger. */
  get value(): string {
    return String(this.#skipped)
  }

  /**
   * Whether a counter may have been used in its window before this store began: it is not there, and its window is older.
   * A first-use window that is over counts as not there, so that it does not matter when it is cleared away.
   */
  isUnknown({ window, isRebuilt }: Charge, state: CounterState | undefined, atMs: number): boolean {
    if (!isRebuilt || state?.kind === window.kind) return false
    switch (window.kind) {
      case 'fixed':
        return (atMs >= window.endMs ? window.endMs : window.startMs) < this.#sinceMs
      case 'sliding': {
        const oldestMs = (Math.floor(atMs / window.bucketMs) - window.buckets) * window.bucketMs
        return oldestMs < this.#sinceMs || oldestMs <= this.#skippedSlidingAtMs
      }
      case 'first-use':
      case 'lifetime':
        return true
      case 'concurrent':
        return false
    }
  }

  /**
   * Something was left to the ledger: an unknown counter can't be seeded with what was read before. A sliding one, which
   * could be vouched for soon by its age alone, has been used since.
   */
  skip({ window }: Charge, nowMs: number): void {
    this.#skipped += 1
    if (window.kind === 'sliding') this.#skippedSlidingAtMs = nowMs
  }
}
