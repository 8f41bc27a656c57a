import {
  chargesOf,
  type CounterStore,
  type Entry,
  type EntryCharge,
  type ExpiredHold,
  type Ledger,
  type UsageEntry,
} from '@tallygate/core'
import { readContext } from './hold-context.ts'
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
}

/** Holds that are swept at once. */
const SWEPT_AT_ONCE = 100
const FIRST_AFTER_MS = 1_000
const EVERY_MS = 30_000

/**
 * Writes the entries of calls whose process died before it could: what expired moves from the counter store's list into
 * the ledger, under the reservation's own id, and is acknowledged when it is there. A call that has an entry already is
 * settled by it. So each charge is in one entry: the reservations of further limiters of an attempt (`.1`, `.2` …) are in
 * the attempt's, or, where that is without them, in entries of their own.
 */
export class Sweeper {
  readonly #options: SweeperOptions
  #timer: NodeJS.Timeout | undefined
  #sweeping: Promise<void> | undefined

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
        const expired = await store.sweep(SWEPT_AT_ONCE)
        if (expired.length === 0) return
        await beforeRead()
        const written = await this.#record(expired)
        await store.acknowledge(written)
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
    const entries = this.#entriesOf(missing, found)
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
      if (entry === undefined) continue
      await this.#settle(hold, entry)
      recorded.push(hold)
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
  #entriesOf(missing: readonly ExpiredHold[], found: ReadonlyMap<string, UsageEntry>): UsageEntry[] {
    const groups = Map.groupBy(missing, ({ id, context }) => {
      const { tenant } = readContext(context)
      return found.has(`${tenant} ${attemptOf(id)}`) ? `${tenant} ${id}` : `${tenant} ${attemptOf(id)}`
    })
    return [...groups].map(([key, holds]) => this.#entryOf(key.slice(key.indexOf(' ') + 1), holds))
  }

  #entryOf(id: string, holds: readonly ExpiredHold[]): UsageEntry {
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
      charges: holds.flatMap((hold) => this.#chargesOf(hold)),
      overage: false,
    }
  }

  #chargesOf({ kept }: ExpiredHold): EntryCharge[] {
    return kept.map(({ owner, partition, counter, amount }) => {
      const unit = this.#options.limits.bind(owner, partition, counter)?.limit.definition.unit ?? 'requests'
      return { owner, partition, counter, unit, reserved: amount, actual: amount }
    })
  }

  /** The process died between its entry and its settlement: counters shall say what the entry says. */
  async #settle({ id, owner, kept }: ExpiredHold, { outcome, atMs, charges }: UsageEntry): Promise<void> {
    if (outcome === 'expired') return
    const { store, limits, rebuildsFromMs } = this.#options
    const settled = kept.flatMap(({ owner, partition, counter, amount }) => {
      const bound = limits.bind(owner, partition, counter)
      if (bound === undefined) return []
      const charge = { ...chargesOf([bound], {}, atMs, rebuildsFromMs)[0]!, amount }
      // What is not in the entry was given back.
      const actual = charges.find((each) => each.partition === partition && each.counter === counter)?.actual ?? 0
      return [{ charge, actual }]
    })
    await store.settle({ id, owner, charges: settled, atMs })
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
