import type { Clock } from '@tallygate/core'
import type { Call } from './call.ts'
import type { Logger } from './logger.ts'

/** How often holds are looked at; a hold is extended when a third of its lifetime is over. */
const MOST_BETWEEN_BEATS_MS = 5_000
/** So that a hold is extended before half of its lifetime is over, and there is time for two beats that fail. */
const BEATS_IN_A_LIFETIME = 6

/** The calls that hold something or will be recorded: one heartbeat for all of them, and a way to wait until they have ended. */
export class ActiveCalls {
  /** An array, and each call's place in it: of a set, V8 would keep all calls until its next major collection. */
  readonly #calls: Call[] = []
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #beatEveryMs: number
  #heartbeat: NodeJS.Timeout | undefined
  #isBeating = false
  #whenIdle: (() => void)[] = []

  /** @param lifetimeMs Of holds. */
  constructor(clock: Clock, logger: Logger, lifetimeMs: number) {
    this.#clock = clock
    this.#logger = logger
    this.#beatEveryMs = Math.min(MOST_BETWEEN_BEATS_MS, lifetimeMs / BEATS_IN_A_LIFETIME)
  }

  get size(): number {
    return this.#calls.length
  }

  add(call: Call): void {
    if (call.place !== -1) return
    call.place = this.#calls.push(call) - 1
    this.#heartbeat ??= setInterval(() => void this.beat(), this.#beatEveryMs).unref()
  }

  delete(call: Call): void {
    if (call.place === -1) return
    const last = this.#calls.pop()!
    if (last !== call) {
      this.#calls[call.place] = last
      last.place = call.place
    }
    call.place = -1
    if (this.#calls.length > 0) return
    for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  /** Extends what is due. A store that does not answer is tried again at the next beat. */
  async beat(): Promise<void> {
    if (this.#isBeating) return
    this.#isBeating = true
    const nowMs = this.#clock()
    let failed = 0
    let cause: unknown
    for (const call of this.#calls.slice()) {
      try {
        await call.extend(nowMs)
      } catch (error) {
        // What this node holds by itself while the store is away is extended all the same.
        failed += 1
        cause = error
      }
    }
    if (failed > 0) this.#logger.warn('holds could not be extended', { calls: failed, cause: String(cause) })
    this.#isBeating = false
  }

  /** Resolves when no call is active, or after a time. */
  async idle(withinMs: number): Promise<void> {
    if (this.#calls.length === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#whenIdle.push(resolve)
    const timer = setTimeout(resolve, withinMs)
    await promise
    clearTimeout(timer)
  }

  stop(): void {
    clearInterval(this.#heartbeat)
    this.#heartbeat = undefined
  }
}
