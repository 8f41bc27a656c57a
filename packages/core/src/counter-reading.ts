import { CounterHistory } from './counter-history.ts'
import type { Charge, SeededCounter } from './counter-store.ts'
import { within } from './deadline.ts'
import type { CounterEvent, CounterEventPage, CounterEventQuery, Ledger, WindowStartEvent } from './ledger.ts'
import { hasKey, tenantOf } from './partition.ts'
import { QuotaError } from './quota-error.ts'
import { keepsItsStart } from './window-start.ts'

export interface ReadingOptions {
  /** Nobody else's calls are charged to counters of this key. */
  readonly subject?: string | undefined
  /** How long a ledger may take for one answer, in milliseconds. Default: 20 s. */
  readonly answerWithinMs?: number | undefined
}

/** Where a counter stands by the ledger. */
export interface Standing {
  readonly seeded: SeededCounter
  /** Whether the ledger has an entry of when its window started. */
  readonly isStartKnown: boolean
}

/** Entries come in the order of their instants only roughly: one that is so much older than the newest can still come. */
export const ENTRIES_LATE_BY_MS = 60_000
const ANSWER_WITHIN_MS = 20_000

/** So many that the event loop is not held up by what a page brings. */
const ENTRIES_AT_ONCE = 5_000

/**
 * What a ledger says of counters of one tenant, which have the same subject or none. It is read once, however long that
 * takes; from then on only what is new.
 */
export class CounterReading {
  readonly charges: readonly Charge[]
  readonly #ledger: Ledger
  readonly #options: ReadingOptions
  readonly #query: CounterEventQuery
  /** Absent until all of it was read once. */
  #history: CounterHistory | undefined
  #started: readonly WindowStartEvent[] = []
  /** Ids of events that were taken and may be met again, by counter. */
  #taken: readonly Set<string>[] = []
  /** Of them, what may still be settled again: of the last minute before the reading, and since. */
  #recent: readonly Set<string>[] = []
  #takenFromMs = 0
  #readAtMs = 0

  constructor(ledger: Ledger, charges: readonly Charge[], options: ReadingOptions = {}) {
    this.#ledger = ledger
    this.charges = charges
    this.#options = options
    const { subject } = options
    const counters = charges.map(({ counter: { partition, name } }) => ({ partition, name }))
    const { partition } = counters[0]!
    const isOfSubject = subject !== undefined && hasKey(partition, subject)
    const of = isOfSubject ? { subject } : {}
    this.#query = { tenant: tenantOf(partition), counters, fromMs: 0, limit: ENTRIES_AT_ONCE, ...of }
  }

  /** Whether only what is new is left to be read. */
  get isBegun(): boolean {
    return this.#history !== undefined
  }

  /**
   * Reads on, up to what was appended before the call.
   *
   * @param nowMs The counter store's time, at the latest when this is called.
   * @param asked Keys of the counters that matter by now. Where a bucket of theirs is over, all is read again.
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE`; what was read before is kept.
   */
  async readOn(nowMs: number, asked: ReadonlySet<string>): Promise<void> {
    const history = this.#history
    const isRead =
      history !== undefined &&
      this.#all(asked, (counter) => history.isCurrentAt(nowMs, counter)) &&
      (await this.#take(history, this.#readAtMs - ENTRIES_LATE_BY_MS, this.#isUntaken))
    if (!isRead) await this.#readAll(nowMs)
    this.#readAtMs = nowMs
  }

  /** Whether something was read that happened after the end of a bucket that stands here. */
  isOvertaken(asked: ReadonlySet<string>): boolean {
    const history = this.#history!
    return !this.#all(asked, (counter) => !history.isOvertaken(counter))
  }

  /** Where the counters stand at the instant up to which was read. */
  standings(): readonly Standing[] {
    return this.#history!.seededAt(this.#readAtMs).map((seeded, index) => {
      return { seeded, isStartKnown: this.#started.some(({ counter }) => counter === index) }
    })
  }

  /** Ids of what may still be settled again on these counters, the latest last. */
  recent(asked: ReadonlySet<string>): readonly string[] {
    return this.charges.flatMap(({ counter: { key } }, index) => (asked.has(key) ? [...this.#recent[index]!] : []))
  }

  #all(asked: ReadonlySet<string>, holds: (counter: number) => boolean): boolean {
    return this.charges.every(({ counter: { key } }, index) => !asked.has(key) || holds(index))
  }

  async #readAll(nowMs: number): Promise<void> {
    this.#history = undefined
    const { charges } = this
    const { tenant, counters } = this.#query
    this.#started = charges.some(keepsItsStart)
      ? await this.#answer(this.#ledger.windowStarts({ tenant, counters, toMs: nowMs }))
      : []
    this.#taken = charges.map(() => new Set())
    this.#recent = charges.map(() => new Set())
    this.#takenFromMs = nowMs - ENTRIES_LATE_BY_MS
    const history = new CounterHistory(charges, nowMs, this.#started)
    await this.#take(history, history.fromMs, () => true)
    this.#history = history
  }

  /** `false`: something can't be taken so late, as it is not known any more what was before and what after it. */
  async #take(history: CounterHistory, fromMs: number, isNew: (event: CounterEvent) => boolean): Promise<boolean> {
    const isFirst = history !== this.#history
    const query = { ...this.#query, fromMs: Math.max(fromMs, history.fromMs) }
    let page = await this.#page(query)
    for (;;) {
      const { next } = page
      // The next page is on its way while this one is added up.
      const coming = next === undefined ? undefined : this.#page({ ...query, after: next })
      const events = page.events.filter(isNew)
      if (!isFirst && !events.every((event) => history.takesLate(event))) {
        // Nobody waits for it any more.
        coming?.catch(() => {})
        return false
      }
      history.add(events)
      for (const event of events) this.#remember(event)
      if (coming === undefined) return true
      page = await coming
    }
  }

  readonly #isUntaken = ({ counter, id }: CounterEvent): boolean => !this.#taken[counter]!.has(id)

  #remember({ counter, id, kind, atMs }: CounterEvent): void {
    if (atMs < this.#takenFromMs) return
    this.#taken[counter]!.add(id)
    if (kind !== 'window-start') this.#recent[counter]!.add(id)
  }

  #page(query: CounterEventQuery): Promise<CounterEventPage> {
    return this.#answer(this.#ledger.counterEvents(query))
  }

  #answer<T>(answer: Promise<T>): Promise<T> {
    const { answerWithinMs = ANSWER_WITHIN_MS } = this.#options
    return inTime(answer, answerWithinMs)
  }
}

/**
 * What a ledger says of counters.
 *
 * @param subject Nobody else's calls are charged to those of them that are of its key.
 * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE`.
 */
export async function readCounters(
  ledger: Ledger,
  charges: readonly Charge[],
  nowMs: number,
  subject?: string,
): Promise<readonly SeededCounter[]> {
  const readings = readingsOf(ledger, charges, { subject })
  await Promise.all(readings.map((reading) => reading.readOn(nowMs, new Set())))
  const all = readings.flatMap((reading) => reading.standings().map(({ seeded }) => seeded))
  return charges.map(({ counter }) => all.find(({ charge }) => charge.counter.key === counter.key)!)
}

/** One reading for each tenant's counters of the subject, and one for its others. */
export function readingsOf(
  ledger: Ledger,
  charges: readonly Charge[],
  options: ReadingOptions,
): readonly CounterReading[] {
  const groups = Map.groupBy(charges, ({ counter: { partition } }) => groupOf(partition, options.subject))
  return [...groups.values()].map((group) => new CounterReading(ledger, group, options))
}

/** @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE` where a ledger, or what is to be brought into it, takes too long. */
export function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = (): QuotaError =>
    new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `nothing was heard of the ledger for ${ms} ms`)
  return within(ms, work, late)
}

function groupOf(partition: string, subject: string | undefined): string {
  return `${subject !== undefined && hasKey(partition, subject)} ${tenantOf(partition)}`
}
