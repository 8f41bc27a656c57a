import { isQuotaError, QuotaError, type Entry, type Ledger, type Outbox } from '@tallygate/core'
import type { Telemetry } from '@tallygate/telemetry'
import type { Logger } from './logger.ts'
import { isRefusal, takeApart } from './taken-apart.ts'

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
/** An entry that fails so often, while the ledger takes others, is set aside. */
const MOST_STRIKES = 8

/**
 * Brings entries into the ledger, together with those that come at the same time, in order. While the ledger is away they
 * wait in the outbox; when that is full too, in memory, and {@link isBlocked} says so: then no new call should begin. An
 * entry that the ledger will never take is in nobody's way: it is set aside, and its id is logged.
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
  /** The outbox took nothing the last time. */
  #isOutboxFull = false
  /** The last one that the ledger took: taking it again tells whether it is there, and changes nothing. */
  #lastTaken: Entry | undefined
  /** How often entries have failed that the ledger may never take, by tenant and id. */
  readonly #strikes = new Map<string, number>()
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
        await this.#failed(entries, error)
      }
      for (const written of whenWritten) written()
    }
    this.#working = undefined
  }

  async #failed(entries: readonly Entry[], cause: unknown): Promise<void> {
    let left = entries
    try {
      if (isRefusal(cause)) left = await this.#sort(entries, cause)
    } catch {
      // Away after all, in the middle of it: appending again is safe.
    }
    if (left.length === 0) return
    this.#isAway = true
    this.#options.logger.error('the ledger takes no entries: they wait in the outbox', { cause: reasonOf(cause) })
    await this.#keep(left)
  }

  /**
   * Appends by itself what failed together, and sets aside what the ledger will never take. Returns those of which nobody
   * can tell yet: they fail while the ledger takes others.
   *
   * @throws The cause, where the ledger seems to be away; what it took meanwhile can be appended again.
   */
  async #sort(entries: readonly Entry[], cause: unknown): Promise<readonly Entry[]> {
    if (!isRefusal(cause) && this.#lastTaken !== undefined && !(await this.#isThere())) throw cause
    const { taken, failed } = await takeApart(entries, (part) => this.#append(part), isSilence)
    const refused = failed.filter(({ error }) => isRefusal(error))
    const doubtful = failed.filter((each) => !refused.includes(each))
    const fresh = doubtful.filter(({ entry }) => !this.#strikes.has(keyOf(entry))).length
    // One that takes less than half is away, or comes and goes.
    if (fresh > taken.length + 1 || (doubtful.length > 0 && !(await this.#isThere()))) throw cause
    const again: typeof doubtful = []
    for (const each of doubtful) if (!(await this.#isTaken(each.entry))) again.push(each)
    if (again.length > 0 && !(await this.#isThere())) throw cause
    const struckOut = again.filter(({ entry }) => this.#isStruckOut(entry))
    for (const { entry, error } of [...refused, ...struckOut]) await this.#setAside(entry, error)
    return again.filter((each) => !struckOut.includes(each)).map(({ entry }) => entry)
  }

  async #isThere(): Promise<boolean> {
    return this.#lastTaken !== undefined && (await this.#isTaken(this.#lastTaken))
  }

  async #isTaken(entry: Entry): Promise<boolean> {
    try {
      await this.#append([entry])
      return true
    } catch {
      return false
    }
  }

  #isStruckOut(entry: Entry): boolean {
    const key = keyOf(entry)
    const strikes = (this.#strikes.get(key) ?? 0) + 1
    if (strikes < MOST_STRIKES) this.#strikes.set(key, strikes)
    else this.#strikes.delete(key)
    return strikes >= MOST_STRIKES
  }

  /** Neither the entry nor the ledger's words go to the log: they can hold what only reports may show. */
  async #setAside(entry: Entry, error: unknown): Promise<void> {
    const { outbox, logger } = this.#options
    const code = isQuotaError(error) ? error.code : undefined
    logger.error('the ledger refuses an entry: it is set aside', { id: entry.id, kind: entry.kind, code })
    try {
      await outbox.setAside?.(entry)
    } catch (cause) {
      logger.error('what was set aside could not be kept', { id: entry.id, cause: reasonOf(cause) })
    }
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
    const late = (): void => reject(new Silence(`nothing was heard of it for ${appendWithinMs} ms`))
    const timer = setTimeout(late, appendWithinMs)
    try {
      await Promise.race([this.#options.ledger.append(entries), promise])
      this.#lastTaken = entries.at(-1)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Puts entries where they can wait; there is always a place. */
  async #keep(entries: readonly Entry[]): Promise<void> {
    const { outbox, telemetry } = this.#options
    telemetry.delayed('entry', entries.length)
    try {
      await outbox.put(entries)
    } catch (error) {
      this.#overflow.push(...entries)
      this.#outboxTakes(false, error)
    }
    this.#scheduleRetry()
  }

  /** Logs each change once. Only when nothing waits any more it takes entries again: a few could have found a place before. */
  #outboxTakes(isTaking: boolean, error?: unknown): void {
    const { logger } = this.#options
    if (isTaking !== this.#isOutboxFull) return
    this.#isOutboxFull = !isTaking
    if (isTaking) logger.warn('entries have a place again')
    else logger.error('the outbox takes no entries: they stay in memory', { cause: reasonOf(error) })
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
    const { logger } = this.#options
    try {
      const doubtful = new Set<string>()
      for (;;) {
        const entries = await this.#next(doubtful)
        if (entries.length === 0) break
        for (const entry of await this.#bring(entries)) doubtful.add(keyOf(entry))
      }
      this.#isAway = false
      // A retry that is due stays: an entry may have been put there since.
      if (doubtful.size > 0) return this.#scheduleRetry()
      this.#strikes.clear()
      this.#outboxTakes(true)
    } catch (error) {
      if (!this.#isAway) logger.error('entries stay in the outbox', { cause: reasonOf(error) })
      this.#isAway = true
      this.#scheduleRetry()
    }
  }

  /** The oldest entries that wait, but for those of which nobody can tell yet whether the ledger will ever take them. */
  async #next(doubtful: ReadonlySet<string>): Promise<readonly Entry[]> {
    const isNext = (entry: Entry): boolean => !doubtful.has(keyOf(entry))
    const overflow = this.#overflow.slice(0, MOST_AT_ONCE + doubtful.size).filter(isNext)
    if (overflow.length > 0) return overflow.slice(0, MOST_AT_ONCE)
    return (await this.#options.outbox.peek(MOST_AT_ONCE + doubtful.size)).filter(isNext).slice(0, MOST_AT_ONCE)
  }

  /** Appends entries that have waited. Returns those that go on waiting. */
  async #bring(entries: readonly Entry[]): Promise<readonly Entry[]> {
    let left: readonly Entry[] = []
    try {
      await this.#append(entries)
    } catch (cause) {
      if (isSilence(cause)) throw cause
      left = await this.#sort(entries, cause)
    }
    const gone = new Set(entries.filter((entry) => !left.includes(entry)))
    const overflow = this.#overflow.filter((entry) => !gone.has(entry))
    // What is in memory is not in the outbox.
    if (overflow.length === this.#overflow.length) await this.#options.outbox.remove([...gone])
    this.#overflow = overflow
    return left
  }
}

/** A ledger that has not answered in time. */
class Silence extends Error {}

function isSilence(error: unknown): boolean {
  return error instanceof Silence
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function keyOf({ tenant, id }: Entry): string {
  return `${tenant} ${id}`
}
