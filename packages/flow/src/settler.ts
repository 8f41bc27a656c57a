import { isQuotaError, type Admission, type Amounts, type Eventually, type Reservation } from '@tallygate/core'
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
  /** Settlements that wait for the counters at most, from 1; each takes about 1 kB. Default: 100,000. */
  readonly most?: number
}

const RETRY_EVERY_MS = 1_000
const RETRIED_AT_ONCE = 16
/** So many that fail end a round of retries: where all counters are away, asking for each takes the event loop for nothing. */
const MOST_FAILURES_A_ROUND = 100

/**
 * Settles and releases reservations, and tries again while the counters are away. What it must drop is left to the
 * sweep where its counters hold something of it; where they do not, it is in the ledger alone, counted and logged.
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
  /** Dropped since settlements have begun to wait. */
  #dropped = 0

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
      this.#failed(unsettled, error)
    }
    this.#underWay -= 1
    if (this.#underWay === 0 && this.#whenIdle.length > 0) for (const resolve of this.#whenIdle.splice(0)) resolve()
  }

  #apply({ reservation, actual, atMs }: Unsettled): Eventually<unknown> {
    const { admission } = this.#options
    return actual === undefined ? admission.release(reservation) : admission.settle(reservation, actual, atMs)
  }

  #failed(unsettled: Unsettled, error: unknown): void {
    const { telemetry, logger, most = 100_000 } = this.#options
    if (!isAway(error)) return this.#reject(unsettled, error)
    telemetry.delayed('settlement')
    if (this.pending >= most) return this.#drop(unsettled)
    if (this.pending === 0) logger.error('the counters take no settlement: it is tried again', { cause: String(error) })
    this.#unsettled.push(unsettled)
    this.#scheduleRetry()
  }

  /** The counters would refuse it again. */
  #reject({ reservation: { id } }: Unsettled, error: unknown): void {
    const { telemetry, logger } = this.#options
    telemetry.dropped('settlement')
    logger.error('the counters refuse a settlement: it is dropped', { id, cause: String(error) })
  }

  /** Logged once, and again with their number when those that wait have been settled. */
  #drop({ reservation: { id } }: Unsettled): void {
    const { telemetry, logger } = this.#options
    telemetry.dropped('settlement')
    this.#dropped += 1
    if (this.#dropped > 1) return
    const message = 'too many settlements wait: from now on they are dropped'
    logger.error(`${message}; what their counters do not hold of them is in the ledger alone`, { id })
  }

  #scheduleRetry(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.#retryAll()
    }, RETRY_EVERY_MS)
    this.#retry.unref()
  }

  /** One round at a time. What fails again waits for the next. */
  #retryAll(): Promise<void> {
    this.#retrying ??= this.#tryAgain().finally(() => {
      this.#retrying = undefined
    })
    return this.#retrying
  }

  /** What fails goes behind what was not tried, so that a part of the counters that is away is in nobody's way. */
  async #tryAgain(): Promise<void> {
    const round = this.#unsettled
    this.#unsettled = []
    this.#underRetry = round.length
    const failed: Unsettled[] = []
    let next = 0
    const work = async (): Promise<void> => {
      while (next < round.length && failed.length < MOST_FAILURES_A_ROUND) {
        const unsettled = round[next]!
        next += 1
        try {
          await this.#apply(unsettled)
        } catch (error) {
          if (isAway(error)) {
            failed.push(unsettled)
            continue
          }
          this.#reject(unsettled, error)
        }
        this.#underRetry -= 1
      }
    }
    await Promise.all(Array.from({ length: Math.min(RETRIED_AT_ONCE, round.length) }, work))
    this.#unsettled = [...round.slice(next), ...failed, ...this.#unsettled]
    this.#underRetry = 0
    if (this.#unsettled.length > 0) this.#scheduleRetry()
    else this.#tellDropped()
  }

  #tellDropped(): void {
    if (this.#dropped === 0) return
    this.#options.logger.error('settlements were dropped while the counters were away', { settlements: this.#dropped })
    this.#dropped = 0
  }
}

function isAway(error: unknown): boolean {
  return isQuotaError(error, 'ERR_QUOTA_STORE_UNAVAILABLE')
}
