import { monotonicClock } from './clock.ts'
import { ENTRIES_LATE_BY_MS, inTime, readingsOf, type CounterReading, type Standing } from './counter-reading.ts'
import type { Charge, CounterStore, SeedRequest } from './counter-store.ts'
import { within } from './deadline.ts'
import type { WindowStartEntry } from './entry.ts'
import type { Ledger } from './ledger.ts'
import { isQuotaError, QuotaError } from './quota-error.ts'
import { SettlementGate } from './settlement-gate.ts'
import { keepsItsStart, windowStart } from './window-start.ts'

export interface RebuildOptions {
  readonly ledger: Ledger
  /**
   * Brings into the ledger what waits elsewhere, before it is read. Rejects where something stays behind: then counters
   * stay unknown. Default: nothing waits.
   */
  readonly beforeRead?: () => Promise<void>
  /** Takes the starts of windows that can't be told from calls. Default: nobody does. */
  readonly record?: (start: WindowStartEntry) => void
  /** Told of how many counters were seeded. */
  readonly onRebuilt?: (counters: number) => void
  /** How long a decision waits for it in all, in milliseconds. It goes on for those that come later. Default: 5 s. */
  readonly withinMs?: number
  /**
   * How long a ledger may take for one answer, in milliseconds: one that takes longer is given up, and asked again for
   * the next decision. Default: four times {@link withinMs}.
   */
  readonly answerWithinMs?: number
}

/** Counters that a store can't vouch for, as it has answered. */
export interface UnknownCounters {
  readonly charges: readonly Charge[]
  /** Indices of the charges. */
  readonly unknown: readonly number[]
  readonly fence: string
  readonly nowMs: number
  /** Nobody else's calls are charged to counters of this key. */
  readonly subject?: string | undefined
}

/** What a rebuild has read. It outlives one that has failed, so that the next one reads only what is new. */
interface Read {
  readonly readings: readonly CounterReading[]
  readAtMs: number
}

/** What a store has answered last; keys of the counters that are still unknown. */
type Asked = Pick<UnknownCounters, 'fence' | 'nowMs'> & { readonly lost: ReadonlySet<string> }

/** A script in Redis that takes more ids keeps all other calls waiting. */
const IDS_AT_ONCE = 2_000
/** What other processes settle can make seeds void again and again: then decisions are made without the counters. */
const MOST_ROUNDS = 100
const OVERTAKEN_AFTER_MS = 5_000
/** How long what was read is kept for a decision that asks again. */
const KEPT_FOR_MS = 60_000

/**
 * Seeds the counters that a store has lost, or never had, with what the ledger says. Each is worked out once at a time.
 * What is settled meanwhile makes a seed void; then only what is new is read, and this process holds its own settlements
 * back until the seed has arrived.
 */
export class CounterRebuild {
  readonly gate = new SettlementGate()
  readonly #store: CounterStore
  readonly #options: RebuildOptions
  readonly #withinMs: number
  readonly #answerWithinMs: number
  readonly #underWay = new Map<string, Promise<void>>()
  readonly #kept = new Map<string, Read>()

  constructor(store: CounterStore, options: RebuildOptions) {
    this.#store = store
    this.#options = options
    this.#withinMs = options.withinMs ?? 5_000
    this.#answerWithinMs = options.answerWithinMs ?? 4 * this.#withinMs
  }

  /** Until when a decision waits that finds counters unknown now, by the process's clock. */
  untilMs(): number {
    return monotonicClock() + this.#withinMs
  }

  /**
   * Resolves when it is worth asking the store again.
   *
   * @param untilMs From {@link untilMs}, once for each decision.
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE`, or `ERR_QUOTA_STORE_UNAVAILABLE`, also where it takes too long.
   */
  async seed(unknown: UnknownCounters, untilMs: number): Promise<void> {
    const key = keyOf(unknown)
    let underWay = this.#underWay.get(key)
    if (underWay === undefined) {
      underWay = this.#rebuild(key, unknown).finally(() => this.#underWay.delete(key))
      this.#underWay.set(key, underWay)
    }
    const late = (): QuotaError =>
      new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `counters were not rebuilt within ${this.#withinMs} ms`)
    await within(Math.max(0, untilMs - monotonicClock()), underWay, late)
  }

  async #rebuild(key: string, { charges, unknown, fence, nowMs, subject }: UnknownCounters): Promise<void> {
    const lost = unknown.map((index) => charges[index]!)
    const owners = new Set(lost.map(({ counter }) => counter.owner))
    const read = this.#readOf(key, lost, subject)
    const closeGate = (): (() => void) => this.gate.close(owners)
    let openGate = read.readings.every(({ isBegun }) => isBegun) ? closeGate() : undefined
    let overtakenAtMs: number | undefined
    try {
      let asked: Asked | undefined = { lost: keysOf(lost), fence, nowMs }
      for (let rounds = 0; asked !== undefined; rounds += 1) {
        asked = await this.#readOn(read, asked, lost)
        if (asked === undefined) break
        this.#kept.set(key, read)
        const still = await this.#ask(lost)
        if (still === undefined || (isSame(still, asked) && (await this.#seedAll(read, asked)))) break
        openGate ??= closeGate()
        overtakenAtMs ??= monotonicClock() + OVERTAKEN_AFTER_MS
        if (rounds === MOST_ROUNDS || monotonicClock() > overtakenAtMs) throw overtaken(rounds)
        asked = await this.#ask(lost)
      }
      this.#kept.delete(key)
    } finally {
      openGate?.()
    }
  }

  /** What was read of these counters for a decision that did not come to its end, or nothing yet. */
  #readOf(key: string, lost: readonly Charge[], subject: string | undefined): Read {
    const nowMs = monotonicClock()
    for (const [each, { readAtMs }] of this.#kept) if (nowMs - readAtMs > KEPT_FOR_MS) this.#kept.delete(each)
    const kept = this.#kept.get(key)
    if (kept !== undefined) return kept
    const options = { subject, answerWithinMs: this.#answerWithinMs }
    return { readings: readingsOf(this.#options.ledger, lost, options), readAtMs: nowMs }
  }

  /** Asks once more where a bucket has ended meanwhile: what was counted in the next one stands in no seed of this one. */
  async #readOn(read: Read, asked: Asked, charges: readonly Charge[]): Promise<Asked | undefined> {
    await this.#readAt(read, asked)
    if (!read.readings.some((reading) => reading.isOvertaken(asked.lost))) return asked
    const again = await this.#ask(charges)
    if (again !== undefined) await this.#readAt(read, again)
    return again
  }

  async #readAt(read: Read, { nowMs, lost }: Asked): Promise<void> {
    const { beforeRead } = this.#options
    if (beforeRead !== undefined) await inTime(beforeRead(), this.#answerWithinMs)
    for (const reading of read.readings) await reading.readOn(nowMs, lost)
    read.readAtMs = monotonicClock()
  }

  /** Those that are still unknown, with a fence that is not void yet. `undefined`: none, or their windows are over. */
  async #ask(lost: readonly Charge[]): Promise<Asked | undefined> {
    try {
      const { nowMs, unknown, fence } = await this.#store.read(lost)
      return unknown.length === 0 ? undefined : { lost: keysOf(unknown.map((index) => lost[index]!)), fence, nowMs }
    } catch (error) {
      if (isQuotaError(error, 'ERR_QUOTA_STALE')) return undefined
      throw error
    }
  }

  async #seedAll({ readings }: Read, { lost, fence, nowMs }: Asked): Promise<boolean> {
    const standings = readings
      .flatMap((reading) => reading.standings())
      .filter(({ seeded: { charge } }) => lost.has(charge.counter.key))
    const closed = [...new Set(readings.flatMap((reading) => reading.recent(lost)))]
    const countedUntilMs = nowMs - ENTRIES_LATE_BY_MS
    let isSeeded = true
    for (const [owner, ofOwner] of Map.groupBy(standings, ({ seeded }) => seeded.charge.counter.owner)) {
      const counters = ofOwner.map(({ seeded }) => seeded)
      if (!(await this.#seedOwner({ owner, counters, fence, closed, countedUntilMs }))) isSeeded = false
      else {
        this.#options.onRebuilt?.(ofOwner.length)
        for (const standing of ofOwner) this.#recordStart(standing)
      }
    }
    return isSeeded
  }

  /** The latest ids, which are the likeliest to be settled just now, go with the counters; the others follow. */
  async #seedOwner(request: SeedRequest): Promise<boolean> {
    const { owner, closed } = request
    if (closed.length <= IDS_AT_ONCE) return this.#store.seed(request)
    const openGate = this.gate.close(new Set([owner]))
    try {
      if (!(await this.#store.seed({ ...request, closed: closed.slice(-IDS_AT_ONCE) }))) return false
      for (let end = closed.length - IDS_AT_ONCE; end > 0; end -= IDS_AT_ONCE) {
        const some = closed.slice(Math.max(0, end - IDS_AT_ONCE), end)
        await this.#store.seed({ ...request, counters: [], closed: some })
      }
      return true
    } finally {
      openGate()
    }
  }

  /** A start that nobody has written down, as its process died before it did: the next rebuild shall know it. */
  #recordStart({ seeded, isStartKnown }: Standing): void {
    const { charge, startMs, endMs, used, quota, toppedUp } = seeded
    if (isStartKnown || startMs === null || used === 0 || !keepsItsStart(charge)) return
    this.#options.record?.(windowStart(charge, { startMs, endMs, quota, toppedUp }))
  }
}

/** Of the counters, and of what their windows and plans say now. */
function keyOf({ charges, unknown }: UnknownCounters): string {
  const lost = unknown.map((index) => charges[index]!)
  return JSON.stringify(lost.map(({ counter, window, quota, onChange }) => [counter.key, window, quota, onChange]))
}

/** Whether what one has asked for is what is unknown still: others may have seeded it with what they read. */
function isSame(one: Asked, other: Asked): boolean {
  return one.fence === other.fence && one.lost.size === other.lost.size
}

function keysOf(charges: readonly Charge[]): ReadonlySet<string> {
  return new Set(charges.map(({ counter: { key } }) => key))
}

function overtaken(rounds: number): QuotaError {
  const message = `what other processes settled made what was read of the ledger void ${rounds + 1} times`
  return new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', message)
}
