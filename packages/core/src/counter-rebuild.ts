import { CounterHistory } from './counter-history.ts'
import type { Charge, CounterStore, SeededCounter } from './counter-store.ts'
import type { WindowStartEntry } from './entry.ts'
import type { CounterEvent, Ledger, WindowStartEvent } from './ledger.ts'
import { QuotaError } from './quota-error.ts'
import { DEFAULT_TENANT } from './subject.ts'

declare function setTimeout(callback: () => void, ms: number): number
declare function clearTimeout(timer: number): void

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
  /** How long a decision waits for it, in milliseconds. It goes on for those that come later. Default: 5 s. */
  readonly withinMs?: number
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

/** What was settled up to so long before it was read can be told by its instant; of the rest, the ids are listed. */
const COUNTED_AFTER_MS = 60_000

/** So many that the event loop is not held up by what a page brings. */
const ENTRIES_AT_ONCE = 5_000

/** Seeds the counters that a store has lost, or never had, with what the ledger says. Each is worked out once at a time. */
export class CounterRebuild {
  readonly #store: CounterStore
  readonly #options: RebuildOptions
  readonly #underWay = new Map<string, Promise<void>>()

  constructor(store: CounterStore, options: RebuildOptions) {
    this.#store = store
    this.#options = options
  }

  /**
   * Resolves when it is worth asking the store again: the counters were seeded, or the fence was void.
   *
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE`, or `ERR_QUOTA_STORE_UNAVAILABLE`, also where it takes too long.
   */
  async seed(lost: UnknownCounters): Promise<void> {
    const key = lost.unknown.map((index) => lost.charges[index]!.counter.key).join('\n')
    let underWay = this.#underWay.get(key)
    if (underWay === undefined) {
      underWay = this.#seedAll(lost).finally(() => this.#underWay.delete(key))
      this.#underWay.set(key, underWay)
    }
    await within(this.#options.withinMs ?? 5_000, underWay)
  }

  async #seedAll({ charges, unknown, fence, nowMs, subject }: UnknownCounters): Promise<void> {
    const { beforeRead } = this.#options
    await beforeRead?.()
    const lost = unknown.map((index) => charges[index]!)
    const groups = Map.groupBy(lost, ({ counter: { partition } }) => groupOf(partition, subject))
    const counters: SeededCounter[] = []
    const closed = new Set<string>()
    for (const [, group] of groups) counters.push(...(await this.#read(group, nowMs, subject, closed)))
    const byOwner = Map.groupBy(counters, ({ charge }) => charge.counter.owner)
    for (const [owner, ofOwner] of byOwner) {
      const countedUntilMs = nowMs - COUNTED_AFTER_MS
      const isSeeded = await this.#store.seed({ owner, counters: ofOwner, fence, closed: [...closed], countedUntilMs })
      if (isSeeded) this.#options.onRebuilt?.(ofOwner.length)
    }
  }

  /** What history makes of counters of one tenant, which have the same subject or none. */
  async #read(
    charges: readonly Charge[],
    nowMs: number,
    subject: string | undefined,
    closed: Set<string>,
  ): Promise<readonly SeededCounter[]> {
    const { seeded, started } = await readHistory(
      this.#options.ledger,
      charges,
      nowMs,
      subject,
      ({ id, atMs, kind }) => {
        if (kind !== 'window-start' && atMs > nowMs - COUNTED_AFTER_MS) closed.add(id)
      },
    )
    const tenant = tenantOf(charges[0]!.counter.partition)
    for (const [index, counter] of seeded.entries()) {
      if (!started.some((start) => start.counter === index)) this.#recordStart(counter, tenant)
    }
    return seeded
  }

  /** A start that nobody has written down, as its process died before it did: the next rebuild shall know it. */
  #recordStart({ charge, startMs, endMs, used, quota, toppedUp }: SeededCounter, tenant: string): void {
    if (startMs === null || used === 0 || !keepsItsStart(charge)) return
    this.#options.record?.(windowStart(charge, tenant, { startMs, endMs, quota, toppedUp }))
  }
}

/**
 * What a ledger says of counters that are of one tenant.
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
  const groups = Map.groupBy(charges, ({ counter: { partition } }) => groupOf(partition, subject))
  const read = await Promise.all([...groups.values()].map((group) => readHistory(ledger, group, nowMs, subject)))
  const all = read.flatMap(({ seeded }) => seeded)
  return charges.map(({ counter }) => all.find(({ charge }) => charge.counter.key === counter.key)!)
}

async function readHistory(
  ledger: Ledger,
  charges: readonly Charge[],
  nowMs: number,
  subject: string | undefined,
  seen?: (event: CounterEvent) => void,
): Promise<{ seeded: readonly SeededCounter[]; started: readonly WindowStartEvent[] }> {
  const counters = charges.map(({ counter: { partition, name } }) => ({ partition, name }))
  const { partition } = counters[0]!
  const tenant = tenantOf(partition)
  const started = charges.some(keepsItsStart) ? await ledger.windowStarts({ tenant, counters, toMs: nowMs }) : []
  const history = new CounterHistory(charges, nowMs, started)
  const isOfSubject = subject !== undefined && hasKey(partition, subject)
  const query = {
    tenant,
    counters,
    fromMs: history.fromMs,
    limit: ENTRIES_AT_ONCE,
    ...(isOfSubject ? { subject } : {}),
  }
  let page = await ledger.counterEvents(query)
  for (;;) {
    const { events, next } = page
    // The next page is on its way while this one is added up.
    const coming = next === undefined ? undefined : ledger.counterEvents({ ...query, after: next })
    history.add(events)
    if (seen !== undefined) for (const event of events) seen(event)
    if (coming === undefined) return { seeded: history.seeded(), started }
    page = await coming
  }
}

/** Whether a ledger has to know when a window of this kind started, and with which quota. */
export function keepsItsStart({ window, onChange }: Charge): boolean {
  if (window.kind === 'first-use') return true
  return window.kind === 'fixed' && (onChange.quota === 'next-window' || onChange.duration === 'next-window')
}

/** The entry of a window's start. Whoever finds it first writes it: its id is made of counter and instant. */
export function windowStart(
  { counter: { owner, partition, name } }: Charge,
  tenant: string,
  {
    startMs,
    endMs,
    quota,
    toppedUp,
  }: { startMs: number; endMs: number | null; quota: number | null; toppedUp: number },
): WindowStartEntry {
  const id = `${partition} ${name} ${startMs}`
  const start = {
    kind: 'window-start',
    id,
    tenant,
    atMs: startMs,
    owner,
    partition,
    counter: name,
    endMs,
    quota,
  } as const
  return toppedUp === 0 ? start : { ...start, toppedUp }
}

/** Tenant of a partition, which is always the first of its dimensions. */
export function tenantOf(partition: string): string {
  const comma = partition.indexOf(',')
  const value = partition.slice('tenant='.length, comma === -1 ? undefined : comma)
  return value === '' ? DEFAULT_TENANT : decodeURIComponent(value)
}

function groupOf(partition: string, subject: string | undefined): string {
  return `${subject !== undefined && hasKey(partition, subject)} ${tenantOf(partition)}`
}

function hasKey(partition: string, subject: string): boolean {
  return partition.split(',').includes(`key=${encodeURIComponent(subject.toWellFormed())}`)
}

async function within(ms: number, work: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const late = (): void =>
    reject(new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `counters were not rebuilt from the ledger within ${ms} ms`))
  const timer = setTimeout(late, ms)
  try {
    await Promise.race([work, promise])
  } finally {
    clearTimeout(timer)
  }
}
