import {
  isQuotaError,
  QuotaError,
  type AdjustRequest,
  type Charge,
  type CounterStore,
  type CounterStoreCapability,
  type Eventually,
  type ExpiredHold,
  type HoldState,
  type ReadReply,
  type ReserveReply,
  type ReserveRequest,
  type SeedRequest,
  type SettleOutcome,
  type SettleRequest,
} from '@tallygate/core'
import type { Telemetry } from '@tallygate/telemetry'
import { Breaker } from './breaker.ts'
import { Deadlines } from './deadlines.ts'
import { LateReserves } from './late-reserves.ts'
import type { Logger } from './logger.ts'

export interface GuardedCounterStoreOptions {
  readonly store: CounterStore
  readonly telemetry: Telemetry
  readonly logger: Logger
  /** How long a decision, a reading and a seeding wait for the store, in milliseconds. Default: 250. */
  readonly decideWithinMs?: number | undefined
  /** How long that waits which no call waits for, in milliseconds. Default: 5 s. */
  readonly workWithinMs?: number | undefined
}

/** Settlements and releases that are under way at once while the store is taken for away: one that is slow takes them. */
const MOST_WHILE_AWAY = 8
/** Decisions that were told another time than their windows', and may be asked again. */
const MOST_STALE = 1_000

/**
 * A counter store that answers in time, whatever the one behind it does. What takes too long fails with
 * `ERR_QUOTA_STORE_UNAVAILABLE`; while the store is taken for away, decisions fail so at once, unasked. A store that
 * answers at once costs no timer and no promise.
 */
export class GuardedCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability>
  readonly rebuildsFromMs: number
  readonly #store: CounterStore
  readonly #telemetry: Telemetry
  readonly #logger: Logger
  readonly #decideWithinMs: number
  readonly #workWithinMs: number
  readonly #breaker: Breaker
  /** Apart, as one timer serves best those that wait equally long. */
  readonly #decisions = new Deadlines()
  readonly #works = new Deadlines()
  readonly #late = new LateReserves()
  /** When decisions are due that have to be asked again: the same decision has no more time for it. */
  readonly #staleDueAtMs = new Map<string, number>()
  #workWhileAway = 0
  #awaySinceMs = 0
  /** What is thrown while the store is taken for away. */
  #away = new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'the counter store is away', { mayHaveRun: false })

  constructor({ store, telemetry, logger, decideWithinMs = 250, workWithinMs = 5_000 }: GuardedCounterStoreOptions) {
    this.#store = store
    this.#telemetry = telemetry
    this.#logger = logger
    this.#decideWithinMs = decideWithinMs
    this.#workWithinMs = workWithinMs
    this.capabilities = store.capabilities
    this.rebuildsFromMs = store.rebuildsFromMs
    this.#breaker = new Breaker({
      probe: () => this.#probe(),
      onChange: (isAway, cause) => this.#changed(isAway, cause),
    })
  }

  /** Whether the store is taken for away just now. */
  get isAway(): boolean {
    return this.#breaker.isOpen
  }

  reserve(request: ReserveRequest): Eventually<ReserveReply> {
    if (this.#breaker.isOpen) throw this.#away
    try {
      const reply = this.#store.reserve(request)
      return reply instanceof Promise ? this.#reserveInTime(reply, request) : reply
    } catch (error) {
      throw this.#failed(error)
    }
  }

  settle(request: SettleRequest): Eventually<SettleOutcome> {
    if (this.#breaker.isOpen) return this.#whileAway(() => this.#store.settle(request))
    return this.#work(() => this.#store.settle(request))
  }

  release(request: { readonly id: string; readonly owner: string }): Eventually<void> {
    this.#late.released(request.id)
    if (this.#breaker.isOpen) return this.#whileAway(() => this.#store.release(request))
    return this.#work(() => this.#store.release(request))
  }

  extend(request: ReserveRequest): Eventually<void> {
    return this.#work(() => this.#store.extend(request))
  }

  adjust(request: AdjustRequest): Eventually<boolean> {
    return this.#work(() => this.#store.adjust(request))
  }

  seed(request: SeedRequest): Eventually<boolean> {
    return this.#ask(() => this.#store.seed(request), this.#decisions, this.#decideWithinMs)
  }

  holdState(request: { readonly id: string; readonly owner: string }): Eventually<HoldState | undefined> {
    return this.#work(() => this.#store.holdState(request))
  }

  read(charges: readonly Charge[]): Eventually<ReadReply> {
    return this.#ask(() => this.#store.read(charges), this.#decisions, this.#decideWithinMs)
  }

  sweep(most: number): Eventually<readonly ExpiredHold[]> {
    return this.#work(() => this.#store.sweep(most))
  }

  acknowledge(holds: readonly ExpiredHold[]): Eventually<void> {
    return this.#work(() => this.#store.acknowledge(holds))
  }

  /** Asks no more whether the store is back. */
  stop(): void {
    this.#breaker.stop()
  }

  async close(): Promise<void> {
    this.stop()
    await this.#store.close()
  }

  /** A reading of nothing: what fails for another reason than that nobody is there is an answer too. */
  async #probe(): Promise<void> {
    try {
      await this.#inTime(this.#store.read([]), this.#decisions, this.#decideWithinMs)
    } catch (error) {
      if (isQuotaError(error, 'ERR_QUOTA_STORE_UNAVAILABLE')) throw error
    }
  }

  #work<T>(ask: () => Eventually<T>): Eventually<T> {
    return this.#ask(ask, this.#works, this.#workWithinMs)
  }

  #ask<T>(ask: () => Eventually<T>, deadlines: Deadlines, withinMs: number): Eventually<T> {
    if (this.#breaker.isOpen) throw this.#away
    try {
      return this.#inTime(ask(), deadlines, withinMs)
    } catch (error) {
      throw this.#failed(error)
    }
  }

  /** A few at a time are asked all the same: of a store that is only slow, they are done. */
  async #whileAway<T>(ask: () => Eventually<T>): Promise<T> {
    if (this.#workWhileAway >= MOST_WHILE_AWAY) throw this.#away
    this.#workWhileAway += 1
    try {
      return await this.#inTime(ask(), this.#works, this.#workWithinMs)
    } finally {
      this.#workWhileAway -= 1
    }
  }

  #inTime<T>(answer: Eventually<T>, deadlines: Deadlines, withinMs: number): Eventually<T> {
    if (!(answer instanceof Promise)) return answer
    return new Promise((resolve, reject) => {
      const whenLate = (): void => reject(this.#failed(this.#tooLate(withinMs)))
      const number = deadlines.add(whenLate, performance.now() + withinMs)
      answer.then(
        (reply) => {
          if (deadlines.done(number)) resolve(reply)
        },
        (error: unknown) => {
          if (deadlines.done(number)) reject(this.#failed(error))
        },
      )
    })
  }

  /** As {@link #inTime}; what is granted too late, after it was released, is released again. */
  #reserveInTime(answer: Promise<ReserveReply>, { id, owner }: ReserveRequest): Promise<ReserveReply> {
    const dueAtMs = this.#dueAtMs(id)
    return new Promise((resolve, reject) => {
      const whenLate = (): void => {
        this.#late.gaveUp(id)
        reject(this.#failed(this.#tooLate(this.#decideWithinMs)))
      }
      const number = this.#decisions.add(whenLate, dueAtMs)
      answer.then(
        (reply) => {
          if (!this.#decisions.done(number)) return void this.#cameLate(reply, id, owner)
          if (reply.outcome === 'stale') this.#isStale(id, dueAtMs)
          resolve(reply)
        },
        (error: unknown) => {
          if (this.#decisions.done(number)) reject(this.#failed(error))
          else this.#late.answered(id)
        },
      )
    })
  }

  #isStale(id: string, dueAtMs: number): void {
    if (this.#staleDueAtMs.size >= MOST_STALE) this.#staleDueAtMs.clear()
    this.#staleDueAtMs.set(id, dueAtMs)
  }

  #dueAtMs(id: string): number {
    const dueAtMs = this.#staleDueAtMs.size === 0 ? undefined : this.#staleDueAtMs.get(id)
    if (dueAtMs === undefined) return performance.now() + this.#decideWithinMs
    this.#staleDueAtMs.delete(id)
    return dueAtMs
  }

  async #cameLate({ outcome }: ReserveReply, id: string, owner: string): Promise<void> {
    if (!this.#late.answered(id) || outcome !== 'granted') return
    try {
      await this.#store.release({ id, owner })
    } catch {
      // The hold expires.
    }
  }

  #tooLate(withinMs: number): QuotaError {
    return new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `the counter store said nothing for ${withinMs} ms`)
  }

  #failed(error: unknown): unknown {
    if (isQuotaError(error, 'ERR_QUOTA_STORE_UNAVAILABLE')) this.#breaker.failed()
    return error
  }

  #changed(isAway: boolean, cause: unknown): void {
    this.#telemetry.storeAway(isAway)
    if (isAway) {
      this.#awaySinceMs = performance.now()
      this.#away = new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `the counter store is away: ${reasonOf(cause)}`, {
        cause,
        mayHaveRun: false,
      })
      this.#logger.error('the counters are away: limits do what they say for that', { cause: reasonOf(cause) })
      return
    }
    const awayMs = Math.round(performance.now() - this.#awaySinceMs)
    this.#logger.warn('the counters are back', { awayMs })
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
