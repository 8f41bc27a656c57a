import {
  chargesOf,
  type AdjustmentEntry,
  type BoundLimit,
  type CompiledPlan,
  type CounterAdjustment,
  type CounterStore,
  type Entry,
  type EntryCharge,
  type Eventually,
  type ExpiredHold,
  type Ledger,
  type UsageEntry,
} from '@tallygate/core'
import { isAnnouncement } from './announced-adjustment.ts'
import { isPurchase } from './held-allowance.ts'
import { readContext, type HoldContext } from './hold-context.ts'
import type { KnownLimits } from './known-limits.ts'
import type { Logger } from './logger.ts'

export interface SweeperOptions {
  readonly store: CounterStore
  readonly ledger: Ledger
  readonly limits: KnownLimits
  readonly logger: Logger
  /** As that of the admission: counters that it would rebuild are left alone where they are unknown. */
  readonly rebuildsFromMs: number
  /** Brings into the ledger what waits in an outbox: an entry that is there is that of a call which has ended. */
  readonly beforeRead: () => Promise<void>
  /** The store's time. */
  readonly nowMs: () => number
  /** Plans of the caller of a hold, where they come from a source that can't list them. */
  readonly plansOf: (caller: HoldContext) => Promise<readonly CompiledPlan[]>
  /** Changes a counter as its entry says, unless that was done; `false`: it was. */
  readonly adjust: (change: CounterAdjustment) => Eventually<boolean>
}

/** Holds that are swept at once. */
const SWEPT_AT_ONCE = 100
const FIRST_AFTER_MS = 1_000
const EVERY_MS = 30_000
/** What can't be done now, as nobody knows its limit or has its entry, is left so long to other nodes and later sweeps. */
const LEFT_FOR_MS = 600_000
const MOST_LEFT = 1_000
/** Shorter than stores that outlive their process remember the ids of what they have done: 15 minutes by default. */
const ADJUSTED_WITHIN_MS = 600_000

/**
 * Writes the entries of calls whose process died before it could: what expired moves from the counter store's list into
 * the ledger, under the reservation's own id, and is acknowledged when it is there. A call that has an entry already is
 * settled by it. So each charge is in one entry: the reservations of further limiters of an attempt (`.1`, `.2` …) are in
 * the attempt's, or, where that is without them, in entries of their own. An adjustment whose process died between its
 * entry and its counter is brought to an end.
 */
export class Sweeper {
  readonly #options: SweeperOptions
  #timer: NodeJS.Timeout | undefined
  #sweeping: Promise<void> | undefined
  /** When holds were seen first that are left for later, by their ids. */
  readonly #leftSinceMs = new Map<string, number>()

  constructor(options: SweeperOptions) {
    this.#options = options
  }

  /** Sweeps soon, and from then on every 30 s. */
  start(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = setInterval(() => void this.sweep(), EVERY_MS).unref()
      void this.sweep()
    }, FIRST_AFTER_MS).unref()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#sweeping
  }

  /** Sweeps until nothing is left that can be written, one sweep at a time. What fails stays for the next one. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweepAll().finally(() => {
      this.#sweeping = undefined
    })
    return this.#sweeping
  }

  async #sweepAll(): Promise<void> {
    const { store, logger, beforeRead } = this.#options
    try {
      for (;;) {
        const expired = await store.sweep(SWEPT_AT_ONCE + this.#leftSinceMs.size)
        if (expired.length === 0) return
        await beforeRead()
        const announced = expired.filter(isAnnouncement)
        // What a stream had bought was given back: nothing of it is to be written down.
        const bought = expired.filter(({ id }) => isPurchase(id))
        const ofCalls = expired.filter((hold) => !bought.includes(hold) && !announced.includes(hold))
        const written = [...(await this.#record(ofCalls)), ...(await this.#adjusted(announced)), ...bought]
        await store.acknowledge(written)
        this.#forgetLeft(written)
        if (written.length < SWEPT_AT_ONCE) return
      }
    } catch (error) {
      logger.warn('expired reservations could not be swept', { cause: String(error) })
    }
  }

  /** Brings holds into the ledger. Returns those that are there now. */
  async #record(expired: readonly ExpiredHold[]): Promise<readonly ExpiredHold[]> {
    const { ledger, logger } = this.#options
    const found = await this.#find(expired)
    const missing = expired.filter((hold) => coveringEntry(hold, found) === undefined)
    const entries = await this.#entriesOf(missing, found)
    if (entries.length > 0) {
      await ledger.append(entries)
      for (const { id, subject } of entries)
        logger.warn('a reservation expired: the process that held it is gone', { id, subject })
    }
    // Another node may have been first, and its entry without some of these.
    const now = missing.length === 0 ? found : await this.#find(expired)
    const recorded: ExpiredHold[] = []
    for (const hold of expired) {
      const entry = coveringEntry(hold, now)
      if (entry !== undefined && (await this.#settle(hold, entry))) recorded.push(hold)
    }
    return recorded
  }

  /** Entries of attempts and of reservations, by tenant and id. */
  async #find(holds: readonly ExpiredHold[]): Promise<ReadonlyMap<string, UsageEntry>> {
    const found = new Map<string, UsageEntry>()
    for (const [tenant, ofTenant] of Map.groupBy(holds, ({ context }) => readContext(context).tenant)) {
      const ids = [...new Set(ofTenant.flatMap(({ id }) => [id, attemptOf(id)]))]
      const entries: readonly Entry[] = await this.#options.ledger.find(tenant, ids)
      for (const entry of entries) if (entry.kind === 'usage') found.set(`${tenant} ${entry.id}`, entry)
    }
    return found
  }

  /** One entry for an attempt that has none, one for each reservation that its entry is without. */
  #entriesOf(missing: readonly ExpiredHold[], found: ReadonlyMap<string, UsageEntry>): Promise<UsageEntry[]> {
    const groups = Map.groupBy(missing, ({ id, context }) => {
      const { tenant } = readContext(context)
      return found.has(`${tenant} ${attemptOf(id)}`) ? `${tenant} ${id}` : `${tenant} ${attemptOf(id)}`
    })
    return Promise.all([...groups].map(([key, holds]) => this.#entryOf(key.slice(key.indexOf(' ') + 1), holds)))
  }

  async #entryOf(id: string, holds: readonly ExpiredHold[]): Promise<UsageEntry> {
    const { context, admittedAtMs } = holds[0]!
    const { tenant, subject, dimensions, callId, provider, operation, model, plans } = readContext(context)
    const atMs = Math.max(...holds.map(({ expiredAtMs }) => expiredAtMs))
    return {
      kind: 'usage',
      id,
      tenant,
      atMs,
      callId: callId === '' ? attemptOf(id) : callId,
      subject,
      dimensions,
      plans,
      provider,
      operation,
      model,
      outcome: 'expired',
      streamed: false,
      admittedAtMs,
      durationMs: Math.max(0, atMs - admittedAtMs),
      charges: (await Promise.all(holds.map((hold) => this.#chargesOf(hold)))).flat(),
      overage: false,
    }
  }

  async #chargesOf(hold: ExpiredHold): Promise<EntryCharge[]> {
    const { units = {} } = readContext(hold.context)
    const bound = await this.#limitsOf(hold, hold.kept)
    return hold.kept.map(({ owner, partition, counter, amount }, index) => {
      const unit = bound[index]?.limit.definition.unit ?? units[counter] ?? 'requests'
      return { owner, partition, counter, unit, reserved: amount, actual: amount }
    })
  }

  /**
   * The process died between its entry and its settlement: counters shall say what the entry says. `false`: a limit is not
   * known, and another node or a later sweep may know it.
   */
  async #settle(hold: ExpiredHold, { outcome, atMs, charges }: UsageEntry): Promise<boolean> {
    if (outcome === 'expired') return true
    const { id, owner, kept } = hold
    const { store, logger, rebuildsFromMs } = this.#options
    const known = await this.#limitsOf(hold, kept)
    if (known.includes(undefined)) {
      if (this.#isLeft(id)) return false
      logger.error('a call was settled without the limits that nobody knows any more: there it stays as reserved', {
        id,
      })
    }
    const settled = kept.flatMap(({ partition, counter, amount }, index) => {
      const bound = known[index]
      if (bound === undefined) return []
      const charge = { ...chargesOf([bound], {}, atMs, rebuildsFromMs)[0]!, amount }
      // What is not in the entry was given back.
      const actual = charges.find((each) => each.partition === partition && each.counter === counter)?.actual ?? 0
      return [{ charge, actual }]
    })
    await store.settle({ id, owner, charges: settled, atMs })
    return true
  }

  /** Brings adjustments to an end that were announced and not finished. Returns the holds that are done with. */
  async #adjusted(announced: readonly ExpiredHold[]): Promise<readonly ExpiredHold[]> {
    const done: ExpiredHold[] = []
    for (const hold of announced) {
      const { tenant, callId: id } = readContext(hold.context)
      const [entry] = await this.#options.ledger.find(tenant, [id])
      const isDone = entry?.kind === 'adjustment' ? await this.#adjust(hold, entry) : !this.#isLeft(hold.id)
      if (isDone) done.push(hold)
    }
    return done
  }

  async #adjust(hold: ExpiredHold, entry: AdjustmentEntry): Promise<boolean> {
    const { adjust, logger, nowMs } = this.#options
    const { id, adjustment, amount, atMs } = entry
    const [bound] = await this.#limitsOf(hold, [entry])
    // What counters take for a repeat only as long as they remember it could be done twice.
    const isTooLate = nowMs() - atMs > ADJUSTED_WITHIN_MS
    if (bound !== undefined && !isTooLate) {
      if (await adjust({ id, bound, adjustment, amount, atMs }))
        logger.warn('an adjustment was brought to an end that its process had only begun', { id })
      return true
    }
    if (!isTooLate && this.#isLeft(hold.id)) return false
    logger.error('an adjustment is in the ledger, and its counter may be without it: compare them', { id })
    return true
  }

  /** The limits of counters that a hold names; `undefined` for one that nobody knows. */
  async #limitsOf(
    { context }: ExpiredHold,
    counters: readonly Pick<EntryCharge, 'owner' | 'partition' | 'counter'>[],
  ): Promise<readonly (BoundLimit | undefined)[]> {
    const { limits, plansOf } = this.#options
    const known = counters.map(({ owner, partition, counter }) => limits.bind(owner, partition, counter))
    if (!known.includes(undefined)) return known
    let plans: readonly CompiledPlan[]
    try {
      plans = await plansOf(readContext(context))
    } catch {
      return known
    }
    return counters.map(({ owner, partition, counter }) => limits.bind(owner, partition, counter, plans))
  }

  /** Whether a hold stays on the store's list for now. */
  #isLeft(id: string): boolean {
    const nowMs = this.#options.nowMs()
    const sinceMs = this.#leftSinceMs.get(id)
    if (sinceMs === undefined) {
      if (this.#leftSinceMs.size >= MOST_LEFT) return false
      this.#leftSinceMs.set(id, nowMs)
    }
    return nowMs - (sinceMs ?? nowMs) < LEFT_FOR_MS
  }

  /** Also those that another node has taken off the list meanwhile. */
  #forgetLeft(done: readonly ExpiredHold[]): void {
    for (const { id } of done) this.#leftSinceMs.delete(id)
    const longAgoMs = this.#options.nowMs() - 2 * LEFT_FOR_MS
    for (const [id, sinceMs] of this.#leftSinceMs) if (sinceMs < longAgoMs) this.#leftSinceMs.delete(id)
  }
}

/** The entry that has the charges of a hold. One that was written when its call ended has those of all its holds. */
function coveringEntry(
  { id, context, kept }: ExpiredHold,
  found: ReadonlyMap<string, UsageEntry>,
): UsageEntry | undefined {
  const { tenant } = readContext(context)
  const own = found.get(`${tenant} ${id}`)
  const ofAttempt = found.get(`${tenant} ${attemptOf(id)}`)
  if (own !== undefined || ofAttempt === undefined || ofAttempt.outcome !== 'expired') return own ?? ofAttempt
  const isIn = ({ partition, counter }: ExpiredHold['kept'][number]): boolean =>
    ofAttempt.charges.some((charge) => charge.partition === partition && charge.counter === counter)
  return kept.every(isIn) ? ofAttempt : undefined
}

/** Id of the attempt that a reservation belongs to: its own, without `.1`. */
function attemptOf(id: string): string {
  return id.replace(/\.\d+$/, '')
}
