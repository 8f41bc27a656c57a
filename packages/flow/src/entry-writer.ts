import { isQuotaError, QuotaError, type Entry, type Ledger, type Outbox } from '@tallygate/core'
import type { Telemetry } from '@tallygate/telemetry'
import type { Logger } from './logger.ts'

export interface EntryWriterOptions {
  readonly ledger: Ledger
  readonly outbox: Outbox
  readonly telemetry: Telemetry
  readonly logger: Logger
  /** A ledger that says nothing for so long is away, in milliseconds; appending again is safe. Default: 10 s. */
  readonly appendWithinMs?: number
}

/**
 * Appends follow each other no faster than this, so that under load many entries share one. What comes after a pause is
 * written at once.
 */
const LEAST_BETWEEN_APPENDS_MS = 1
/** Entries in one append: more take the event loop too long where the ledger writes in this thread. */
const MOST_AT_ONCE = 100
const RETRY_EVERY_MS = 1_000
/** More entries than that wait only for a ledger that takes none. */
const MOST_WAITING = 10_000

/**
 * Brings entries into the ledger, together with those that come at the same time, in order. While the ledger is away they
 * wait in the outbox; when that is full too, in memory, and {@link isBlocked} says so: then no new call should begin.
 */
export class EntryWriter {
  readonly #options: EntryWriterOptions
  /** Side by side with who waits for them. */
  #waiting: Entry[] = []
  #whenWritten: (() => void)[] = []
  #overflow: Entry[] = []
  #working: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #draining: Promise<void> | undefined
  /** The ledger took nothing the last time: entries go to the outbox at once. */
  #isAway = false
  #appendedAtMs = -Infinity

  /** What an earlier process has left in the outbox goes into the ledger first. */
  constructor(options: EntryWriterOptions) {
    this.#options = options
    if (options.outbox.size > 0) void this.#drainOutbox()
  }

  /** Whether entries wait that nothing bounded can take. */
  get isBlocked(): boolean {
    return this.#overflow.length > 0 || this.#waiting.length > MOST_WAITING
  }

  /** Entries that are not in the ledger yet. */
  get pending(): number {
    return this.#waiting.length + this.#overflow.length + this.#options.outbox.size
  }

  /** Resolves when the entry is in the ledger, or in the outbox. Never rejects. */
  write(entry: Entry): Promise<void> {
    return new Promise((written) => {
      this.#waiting.push(entry)
      this.#whenWritten.push(written)
      this.#working ??= this.#work()
    })
  }

  /** Writes what is on its way; what the ledger does not take stays in the outbox. */
  async flush(): Promise<void> {
    await this.#working
    await this.#drainOutbox()
  }

  /**
   * Brings in what waits for the ledger, so that all is there that was written before.
   *
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE` where something stays behind.
   */
  async bringIn(): Promise<void> {
    if (this.#overflow.length + this.#options.outbox.size === 0) return
    await this.#drainOutbox()
    const left = this.#overflow.length + this.#options.outbox.size
    if (left > 0) throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `${left} entries wait in the outbox`)
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#nextTurn()
      const entries = this.#waiting.splice(0, MOST_AT_ONCE)
      const whenWritten = this.#whenWritten.splice(0, MOST_AT_ONCE)
      try {
        if (this.#isAway) await this.#keep(entries)
        else await this.#append(entries)
      } catch (error) {
        this.#isAway = true
        this.#options.logger.error('the ledger takes no entries: they wait in the outbox', { cause: reasonOf(error) })
        await this.#keep(entries)
      }
      for (const written of whenWritten) written()
    }
    this.#working = undefined
  }

  /** Resolves when the next append is due: with those that end in this turn of the event loop, or a little later. */
  async #nextTurn(): Promise<void> {
    const waitMs = this.#appendedAtMs + LEAST_BETWEEN_APPENDS_MS - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, Math.ceil(waitMs)))
    else await new Promise((resolve) => setImmediate(resolve))
    this.#appendedAtMs = performance.now()
  }

  async #append(entries: readonly Entry[]): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>()
    const { appendWithinMs = 10_000 } = this.#options
    const late = (): void => reject(new Error(`nothing was heard of it for ${appendWithinMs} ms`))
    const timer = setTimeout(late, appendWithinMs)
    try {
      await Promise.race([this.#options.ledger.append(entries), promise])
    } finally {
      clearTimeout(timer)
    }
  }

  /** Puts entries where they can wait; there is always a place. */
  async #keep(entries: readonly Entry[]): Promise<void> {
    const { outbox, telemetry, logger } = this.#options
    telemetry.delayed('entry', entries.length)
    try {
      await outbox.put(entries)
    } catch (error) {
      if (!isQuotaError(error, 'ERR_QUOTA_OUTBOX_FULL')) logger.error('the outbox failed', { cause: reasonOf(error) })
      this.#overflow.push(...entries)
    }
    this.#scheduleRetry()
  }

  #scheduleRetry(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      void this.#drainOutbox()
    }, RETRY_EVERY_MS)
    this.#retry.unref()
  }

  /** One at a time, as each takes away what it has written. */
  #drainOutbox(): Promise<void> {
    this.#draining ??= this.#drainAll().finally(() => {
      this.#draining = undefined
    })
    return this.#draining
  }

  async #drainAll(): Promise<void> {
    const { outbox, logger } = this.#options
    try {
      for (;;) {
        const overflow = this.#overflow.slice(0, MOST_AT_ONCE)
        const entries = overflow.length > 0 ? overflow : await outbox.peek(MOST_AT_ONCE)
        if (entries.length === 0) {
          // A retry that is due stays: an entry may have been put there since.
          this.#isAway = false
          return
        }
        await this.#append(entries)
        if (overflow.length > 0) this.#overflow = this.#overflow.slice(overflow.length)
        else await outbox.remove(entries)
      }
    } catch (error) {
      if (!this.#isAway) logger.error('entries stay in the outbox', { cause: reasonOf(error) })
      this.#isAway = true
      this.#scheduleRetry()
    }
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
