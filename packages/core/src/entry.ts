import type { WithoutStore } from './decision.ts'
import type { Dimensions } from './subject.ts'
import type { Unit } from './unit.ts'
import type { Usage } from './usage.ts'

/** What an entry tells of one counter that it changed: enough to arrive at the same counter again. */
export interface EntryCharge {
  readonly owner: string
  readonly partition: string
  /** Plan and limit. */
  readonly counter: string
  readonly unit: Unit
  readonly reserved: number
  readonly actual: number
}

/** How an attempt ended. `aborted`: the caller hung up. `failed`: the provider broke off or answered with an error. */
export type UsageOutcome = 'complete' | 'aborted' | 'failed' | 'expired'

interface EntryBase {
  /** Unique in the tenant; appending an id again changes nothing, unless what is there is a call that `expired`. */
  readonly id: string
  readonly tenant: string
  /** The instant at which counters were changed, by the counter store's clock. */
  readonly atMs: number
}

/** One attempt. */
export interface UsageEntry extends EntryBase {
  readonly kind: 'usage'
  /** The logical call, which retries share. */
  readonly callId: string
  /** The run that the call is part of. */
  readonly parentId?: string | undefined
  readonly subject: string
  readonly dimensions: Dimensions
  readonly plans: readonly { readonly name: string; readonly version: string }[]
  readonly provider?: string | undefined
  readonly operation?: string | undefined
  /** As the caller asked for it. */
  readonly model?: string | undefined
  /** As the provider answered. */
  readonly responseModel?: string | undefined
  /** The provider's own id of the request, for joining with its bills. */
  readonly providerRequestId?: string | undefined
  /** HTTP status of the answer; absent where there was none. */
  readonly status?: number | undefined
  readonly outcome: UsageOutcome
  readonly streamed: boolean
  /** Time of admission by the counter store's clock. */
  readonly admittedAtMs: number
  /** From the request to the end of the answer. */
  readonly durationMs: number
  /** Absent where nothing was used, or nobody knows. */
  readonly usage?: Usage | undefined
  readonly charges: readonly EntryCharge[]
  /** The call passed a limit that flags. */
  readonly overage: boolean
  /** How the call was admitted while the counters could not be reached. Absent: they decided. */
  readonly withoutStore?: WithoutStore | undefined
}

/** A change of a counter that is not a call. History stays as it was. */
export interface AdjustmentEntry extends EntryBase {
  readonly kind: 'adjustment'
  readonly adjustment: 'reset' | 'top-up' | 'refund'
  readonly owner: string
  readonly partition: string
  readonly counter: string
  readonly unit: Unit
  /** Units added to the quota (top-up) or given back (refund); what was counted before a reset. */
  readonly amount: number
  /** The attempt that a refund is for. */
  readonly refundOf?: string | undefined
  /** Who did it. */
  readonly by?: string | undefined
}

/**
 * A window has started, at `atMs`, that starts at first use or keeps the quota or the end that it began with: without
 * this, a rebuild could not know.
 */
export interface WindowStartEntry extends EntryBase {
  readonly kind: 'window-start'
  readonly owner: string
  readonly partition: string
  readonly counter: string
  readonly endMs: number | null
  readonly quota: number | null
  /** Units that were added to its quota before it began. Default: 0. */
  readonly toppedUp?: number | undefined
}

/**
 * Other prices of a call that is in the ledger: the latest counts in reports. What was charged to counters stays. Its id
 * is that of the call, `~` and its number among those of the call, from 1, so that two can't follow the same one.
 */
export interface RepricingEntry extends EntryBase {
  readonly kind: 'repricing'
  /** Of the entry that it is about, whose `atMs` this has as well. */
  readonly repricingOf: string
  readonly repricedAtMs: number
  /** Those of the call, by which reports find it. */
  readonly subject: string
  readonly user?: string | undefined
  readonly group?: string | undefined
  /** Names of the call's plans, joined by `+`. */
  readonly plan?: string | undefined
  readonly provider?: string | undefined
  readonly operation?: string | undefined
  readonly model?: string | undefined
  /** From now on; absent where the book has no price for it. */
  readonly costNanos?: number | undefined
  readonly credits?: number | undefined
  readonly pricedBy?: string | undefined
  /** What counted until now. */
  readonly before: { readonly costNanos?: number | undefined; readonly credits?: number | undefined }
}

/** An immutable record in the ledger. */
export type Entry = UsageEntry | AdjustmentEntry | WindowStartEntry | RepricingEntry
