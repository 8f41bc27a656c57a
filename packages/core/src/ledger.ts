import type { AdjustmentEntry, Entry, UsageEntry } from './entry.ts'

/**
 * By what a report can be grouped. `key` is the subject; `plan` the names of a call's plans, joined by `+`; `day`
 * (2026-11-21) and `month` (2026-11) are calendar dates of the query's zone.
 */
export const USAGE_GROUPS = ['key', 'user', 'group', 'model', 'provider', 'operation', 'plan', 'day', 'month'] as const

/** One of {@link USAGE_GROUPS}. */
export type UsageGroup = (typeof USAGE_GROUPS)[number]

/** Which entries a report is about. Equal members are joined by AND. */
export interface UsageFilter {
  readonly tenant: string
  /** First instant, by `atMs` of the entries. */
  readonly fromMs: number
  /** The instant after the last. */
  readonly toMs: number
  /** Subject of the calls. */
  readonly key?: string | undefined
  readonly user?: string | undefined
  readonly group?: string | undefined
  readonly model?: string | undefined
  readonly provider?: string | undefined
  readonly operation?: string | undefined
  readonly plan?: string | undefined
}

/** What to sum, and which page of it. */
export interface UsageQuery {
  readonly filter: UsageFilter
  /** Empty: one row, the total. At most one of `day` and `month`. */
  readonly by: readonly UsageGroup[]
  /** IANA zone of days and months. Default: `UTC`. */
  readonly zone?: string
  /** Rows to pass over. Default: 0. */
  readonly offset?: number
  /** 1 to 10,000 rows. Default: 1,000. */
  readonly limit?: number
}

/** Sums over usage entries, priced as their latest repricing says. A token figure counts only what was known: `unknown` says how many calls it leaves out. */
export interface UsageSum {
  readonly calls: number
  /** Calls whose usage was counted by us, in whole or in part. */
  readonly estimated: number
  /** Successful calls of which nobody knows the usage. */
  readonly unknown: number
  readonly failed: number
  readonly aborted: number
  readonly overage: number
  readonly inputTokens: number
  readonly outputTokens: number
  readonly totalTokens: number
  readonly cacheReadTokens: number
  readonly cacheWriteTokens: number
  readonly reasoningTokens: number
  /** Calls whose cost is known. */
  readonly priced: number
  /** Nanodollars, or those of the price book's currency, by the latest prices. Exact up to 2^53. */
  readonly costNanos: number
  readonly credits: number
  readonly seconds: number
  readonly images: number
  readonly searches: number
}

/** Sums of one group. `null` where the calls have no such value. */
export interface UsageRow extends UsageSum {
  readonly group: Readonly<Partial<Record<UsageGroup, string | null>>>
}

/** One page of a report, in the order of its groups, with the total over all pages. */
export interface UsagePage {
  readonly rows: readonly UsageRow[]
  readonly total: UsageSum
  /** Where the next page begins; absent on the last. */
  readonly nextOffset?: number | undefined
}

/** Which of the entries that a filter lets through. */
export interface EntryPage {
  /** The place of the last one seen, whether or not it is still there. Default: from the newest. */
  readonly before?: Pick<UsageEntry, 'atMs' | 'id'>
  readonly limit?: number
}

/** Something that changed a counter, for arriving at the same counter again. `counter` is its index in the query. */
export type CounterEvent = { readonly id: string; readonly atMs: number; readonly counter: number } & (
  | { readonly kind: 'usage'; readonly admittedAtMs: number; readonly reserved: number; readonly actual: number }
  | { readonly kind: 'adjustment'; readonly adjustment: AdjustmentEntry['adjustment']; readonly amount: number }
  | {
      readonly kind: 'window-start'
      readonly endMs: number | null
      readonly quota: number | null
      readonly toppedUp?: number | undefined
    }
)

/** The start of a window: the latest of one counter. */
export type WindowStartEvent = Extract<CounterEvent, { readonly kind: 'window-start' }>

/** Which events to read. */
export interface CounterEventQuery {
  readonly tenant: string
  /** Nobody else's calls are charged to these counters: spares looking at the others'. */
  readonly subject?: string | undefined
  readonly counters: readonly { readonly partition: string; readonly name: string }[]
  /** First instant, by `atMs`. */
  readonly fromMs: number
  /** The last entry that was seen. Default: from the first. */
  readonly after?: Pick<Entry, 'atMs' | 'id'> | undefined
  /** Entries to look at, from 1. Default: 10,000. */
  readonly limit?: number
}

/** One page of events, oldest first, by `atMs`, then by id. */
export interface CounterEventPage {
  readonly events: readonly CounterEvent[]
  /** Where the next page begins; absent on the last. */
  readonly next?: Pick<Entry, 'atMs' | 'id'> | undefined
}

/** The append-only list of what happened. */
export interface Ledger {
  /**
   * Adds entries; those whose id is known already are left as they are, but for one: a call that was written as `expired`,
   * and has ended after all, replaces what was guessed of it. Durable against the process being killed when it resolves.
   *
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE`; nothing or all was written; appending again is safe.
   * `ERR_QUOTA_CONFIG` for an entry that can't be written, with nothing of its batch: it fails again.
   */
  append(entries: readonly Entry[]): Promise<void>

  /**
   * Sums usage entries, group by group; with what their repricings have changed of cost and credits.
   *
   * @throws QuotaError `ERR_QUOTA_QUERY` for a query that makes no sense.
   */
  sum(query: UsageQuery): Promise<UsagePage>

  /** Usage entries, newest first by `atMs`, then by id. At most 1,000; default 100. */
  entries(filter: UsageFilter, page?: EntryPage): Promise<readonly UsageEntry[]>

  /** What changed counters, of all that was appended before the call. */
  counterEvents(query: CounterEventQuery): Promise<CounterEventPage>

  /** The latest window that each of these counters has begun, up to an instant; without those that have begun none. */
  windowStarts(
    query: Pick<CounterEventQuery, 'tenant' | 'counters'> & { readonly toMs: number },
  ): Promise<readonly WindowStartEvent[]>

  /** The entries among these ids that are there, in no particular order. At most 1,000 ids. */
  find(tenant: string, ids: readonly string[]): Promise<readonly Entry[]>

  /** Writes what is on its way, and frees what the ledger itself opened. */
  close(): Promise<void>
}
