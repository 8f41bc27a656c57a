import type { Admission, Amounts, Reservation } from '@tallygate/core'
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

  constructor(options: SettlerOptions) {
    this.#options = options
  }

  /** Reservations that wait for the counters to come back. */
  get pending(): number {
    return this.#unsettled.length
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
    clearTimeout(this.#retry)
    this.#retry = undefined
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

  #apply({ reservation, actual, atMs }: Unsettled): Promise<unknown> {
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
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.#retryAll()
    }, RETRY_EVERY_MS)
    this.#retry.unref()
  }

  async #retryAll(): Promise<void> {
    const unsettled = this.#unsettled
    this.#unsettled = []
    for (const [index, each] of unsettled.entries()) {
      try {
        await this.#apply(each)
      } catch (error) {
        for (const left of unsettled.slice(index)) this.#keep(left, error)
        return
      }
    }
  }
}
