import type { Admission, Amounts, Eventually, Reservation } from '@tallygate/core'
import type { Telemetry } from '@tallygate/telemetry'
import type { Logger } from './logger.ts'

interface Unsettled {
  readonly reservation: Reservation
  /** `undefined`: give back what it holds. */
  readonly actual: Amounts | undefined
  readonly atMs: number
}

export interface SettlerOptions {
  readonly admission: Admission
  readonly telemetry: Telemetry
  readonly logger: Logger
}

const MOST_UNSETTLED = 10_000
const RETRY_EVERY_MS = 1_000

/**
 * Settles and releases reservations, and tries again while the counters are away. What it must drop is left to the
 * reservation's own expiry.
 */
export class Settler {
  readonly #options: SettlerOptions
  #unsettled: Unsettled[] = []
  #underWay = 0
  #whenIdle: (() => void)[] = []
  #retry: NodeJS.Timeout | undefined
  #retrying: Promise<void> | undefined
  /** Being tried again just now. */
  #underRetry = 0

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /** Reservations that wait for the counters to come back. */
  get pending(): number {
    return this.#unsettled.length + this.#underRetry
  }

  settle(reservation: Reservation, actual: Amounts, atMs: number): void {
    void this.#begin({ reservation, actual, atMs })
  }

  release(reservation: Reservation): void {
    void this.#begin({ reservation, actual: undefined, atMs: reservation.admittedAtMs })
  }

  /** Waits for what is under way, and tries once more what failed. */
  async flush(): Promise<void> {
    if (this.#underWay > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve))
    await this.#retryAll()
  }

  async #begin(unsettled: Unsettled): Promise<void> {
    this.#underWay += 1
    try {
      await this.#apply(unsettled)
    } catch (error) {
      this.#keep(unsettled, error)
    }
    this.#underWay -= 1
    if (this.#underWay === 0 && this.#whenIdle.length > 0) for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  #apply({ reservation, actual, atMs }: Unsettled): Eventually<unknown> {
    const { admission } = this.#options
    return actual === undefined ? admission.release(reservation) : admission.settle(reservation, actual, atMs)
  }

  #keep(unsettled: Unsettled, error: unknown): void {
    const { telemetry, logger } = this.#options
    telemetry.delayed('settlement')
    if (this.#unsettled.length >= MOST_UNSETTLED) {
      logger.error('too many reservations wait to be settled: one is left to its expiry', {
        id: unsettled.reservation.id,
      })
      return
    }
    if (this.#unsettled.length === 0)
      logger.error('the counters take no settlement: it is tried again', { cause: String(error) })
    this.#unsettled.push(unsettled)
    this.#scheduleRetry()
  }

  #scheduleRetry(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.#retryAll()
    }, RETRY_EVERY_MS)
    this.#retry.unref()
  }

  /** One at a time. What fails again waits for the next. */
  #retryAll(): Promise<void> {
    this.#retrying ??= this.#tryAgain().finally(() => {
      this.#retrying = undefined
    })
    return this.#retrying
  }

  async #tryAgain(): Promise<void> {
    const unsettled = this.#unsettled
    this.#unsettled = []
    this.#underRetry = unsettled.length
    for (const [index, each] of unsettled.entries()) {
      try {
        await this.#apply(each)
        this.#underRetry -= 1
      } catch {
        this.#unsettled.unshift(...unsettled.slice(index))
        this.#underRetry = 0
        this.#scheduleRetry()
        return
      }
    }
  }
}
