export interface BreakerOptions {
  /** Asks the other side something cheap; rejects where it does not answer in time. */
  readonly probe: () => Promise<unknown>
  /** Told of each change, once. */
  readonly onChange: (isOpen: boolean, cause: unknown) => void
}

/** While open, the other side is asked so long after the last answer whether it is back. */
const PROBE_EVERY_MS = 200
/** While closed, failures lead to no more than a probe in this time. */
const LEAST_BETWEEN_PROBES_MS = 100

/**
 * Knows whether another side is away. A failure alone says little: one call was slow, one connection dropped. It leads to
 * a probe; where that fails too, the breaker opens, and closes at the first probe that is answered. One at a time.
 */
export class Breaker {
  readonly #options: BreakerOptions
  #isOpen = false
  #isProbing = false
  #isStopped = false
  #next: NodeJS.Timeout | undefined
  #probedAtMs = -Infinity

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Whether the other side is taken for away: nothing should be asked of it. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Something that was asked failed, or was not answered in time. */
  failed(): void {
    if (this.#isOpen || this.#isProbing || this.#next !== undefined) return
    this.#probeIn(this.#probedAtMs + LEAST_BETWEEN_PROBES_MS - performance.now())
  }

  /** Probes no more. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#next)
  }

  #probeIn(ms: number): void {
    if (this.#isStopped) return
    if (ms <= 0) return void this.#probe()
    this.#next = setTimeout(() => {
      this.#next = undefined
      void this.#probe()
    }, ms).unref()
  }

  /** Never rejects. */
  async #probe(): Promise<void> {
    this.#isProbing = true
    let cause: unknown
    let isAway = false
    try {
      await this.#options.probe()
    } catch (error) {
      isAway = true
      cause = error
    }
    this.#isProbing = false
    this.#probedAtMs = performance.now()
    if (isAway) this.#probeIn(PROBE_EVERY_MS)
    if (isAway === this.#isOpen) return
    this.#isOpen = isAway
    this.#options.onChange(isAway, cause)
  }
}
