import { hash } from 'node:crypto'
import type { Clock } from '@tallygate/core'
import { RecentCache } from '@tallygate/identity'

interface Failed {
  /** Of the first attempt that failed: from here on the time is counted, however often it is tried again. */
  readonly firstAtMs: number
  isSpent: boolean
}

const MOST_REMEMBERED = 10_000

/**
 * Which attempts try again what has failed: they are charged no further request, once for each failure and within a time.
 * What they use is charged all the same. Remembered by this process alone: elsewhere a retry counts.
 */
export class SparedRetries {
  readonly #withinMs: number
  readonly #clock: Clock
  readonly #failed = new RecentCache<string, Failed>(MOST_REMEMBERED)

  constructor(withinMs: number, clock: Clock) {
    this.#withinMs = withinMs
    this.#clock = clock
  }

  /** What attempts must have in common: the logical call, which is one subject's, the route and the body. */
  keyOf(callId: string, url: string, body: Buffer): string {
    return `${callId} ${hash('sha256', body)} ${url}`
  }

  /** Whether an attempt is spared: then the failure is spent. */
  spend(key: string): boolean {
    const failed = this.#failed.get(key)
    if (failed === undefined || failed.isSpent || this.#isOver(failed)) return false
    failed.isSpent = true
    return true
  }

  /** An attempt has failed, or one that was spared was never made. */
  failed(key: string): void {
    const known = this.#failed.get(key)
    if (known === undefined || this.#isOver(known)) this.#failed.set(key, { firstAtMs: this.#clock(), isSpent: false })
    else known.isSpent = false
  }

  #isOver({ firstAtMs }: Failed): boolean {
    return this.#clock() - firstAtMs > this.#withinMs
  }
}

/** One attempt, as far as it tries again what has failed. */
export class SparedAttempt {
  readonly #retries: SparedRetries
  /** What other attempts of the same have in common; absent before it is known. */
  #key: string | undefined
  #isSpared = false

  constructor(retries: SparedRetries) {
    this.#retries = retries
  }

  /** Whether it is charged no further request. */
  get isSpared(): boolean {
    return this.#isSpared
  }

  /** Looks for a failure of the same logical call; once, when its body is there to tell. */
  look(callId: string, url: string, body: Buffer | undefined): void {
    if (body === undefined || this.#key !== undefined) return
    this.#key = this.#retries.keyOf(callId, url, body)
    this.#isSpared = this.#retries.spend(this.#key)
  }

  /** It has failed: the next one may be spared. */
  failed(): void {
    if (this.#key !== undefined) this.#retries.failed(this.#key)
  }

  /** It was never made, and has spent nothing. */
  givenBack(): void {
    if (this.#isSpared) this.failed()
    this.#isSpared = false
  }
}
