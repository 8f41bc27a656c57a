import type { Subject } from '@tallygate/core'
import type { Telemetry } from '@tallygate/telemetry'
import type { Drift } from './drift.ts'
import type { Logger } from './logger.ts'

export interface DriftWatchOptions {
  readonly drift: (subject: Subject) => Promise<readonly Drift[]>
  readonly telemetry: Telemetry
  readonly logger: Logger
}

const EVERY_MS = 300_000
const SUBJECTS = 4

/** Measures, every five minutes, how far the counters of a few subjects are from the ledger that called lately. */
export class DriftWatch {
  readonly #options: DriftWatchOptions
  readonly #recent: (Subject | undefined)[] = []
  #next = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: DriftWatchOptions) {
    this.#options = options
  }

  /** A call of this subject has begun. */
  began(subject: Subject | undefined): void {
    this.#next = (this.#next + 1) % SUBJECTS
    this.#recent[this.#next] = subject
    this.#timer ??= setInterval(() => void this.measure(), EVERY_MS).unref()
  }

  async measure(): Promise<void> {
    const { drift, telemetry, logger } = this.#options
    const subjects = new Map(
      this.#recent.flatMap((subject) => (subject === undefined ? [] : [[`${subject.tenant} ${subject.id}`, subject]])),
    )
    try {
      for (const subject of subjects.values()) {
        for (const { bound, drift: units } of await drift(subject)) telemetry.drifted(bound.counter.name, units)
      }
    } catch (error) {
      logger.warn('counters could not be compared with the ledger', { cause: String(error) })
    }
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
