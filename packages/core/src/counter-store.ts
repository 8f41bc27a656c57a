import type { Change, Trip } from './limit.ts'

/**
 * Where one limit's units are counted for one partition. Never changes, so it can be kept and used again; but for what a
 * store in memory notes on it, so as to find it at once when it comes again.
 */
export interface Counter {
  /** All counters of an owner live together (in Redis: in one slot) and are decided in one step. */
  readonly owner: string
  /** The dimension values that share this counter. Counters of a partition can be stored as one value. */
  readonly partition: string
  /** Plan and limit; unique in the partition. */
  readonly name: string
  /** Owner, partition and name in one string. */
  readonly key: string
  /**
   * Opaque: a note of a store in memory. -1 or absent: nothing is noted. A copy that is to be another counter must leave
   * it out.
   */
  slot?: number
  /** Opaque, as {@link slot}: whose note that is. */
  stamp?: number
}

/**
 * The window of a charge, in numbers that a store applies without knowing calendars. Instants and durations in whole
 * milliseconds. A calendar window comes with the edges of the current and of the next bucket: the store picks the one
 * that its own clock is in, or answers `stale`.
 */
export type ChargeWindow =
  | { readonly kind: 'fixed'; readonly startMs: number; readonly endMs: number; readonly nextEndMs: number }
  | { readonly kind: 'sliding'; readonly bucketMs: number; readonly buckets: number }
  | { readonly kind: 'first-use'; readonly durationMs: number; readonly then: 'restart' | 'end' }
  | { readonly kind: 'lifetime' }
  | { readonly kind: 'concurrent' }

/** One limit reduced to what a store applies. */
export interface Charge {
  readonly counter: Counter
  readonly window: ChargeWindow
  /** Whole units to reserve, from 0. */
  readonly amount: number
  /** Whole units allowed in the window; `null` for no limit. */
  readonly quota: number | null
  readonly trip: Trip
  /** `refuse` can refuse the call; `flag` and `shadow` only say that they tripped. */
  readonly effect: 'refuse' | 'flag' | 'shadow'
  /**
   * When a changed quota or duration comes into force: `next-window` goes by what the bucket began with. Sliding windows
   * and those without an end have no next one: they change now.
   */
  readonly onChange: { readonly quota: Change; readonly duration: Change }
  /** What becomes of the amount when the hold expires unsettled. `concurrent` is always released. */
  readonly onExpiry: 'keep' | 'release'
  /**
   * 0: must have room. From 1: charges with the same number stand together, and one number whose charges all have room
   * is enough. All are charged.
   */
  readonly alternative: number
  /**
   * The counter outlives its store: where the store can't vouch for it, because it has lost it or never had it, the
   * answer is `unknown` until it was seeded from the ledger. Otherwise such a counter begins at 0. A first-use window that
   * is over counts as one that was never there: whether a store has cleared it away can't be told.
   */
  readonly isRebuilt: boolean
}

/** Asks to set amounts aside: all charges or none. */
export interface ReserveRequest {
  /** Idempotency key, 1 to 128 characters; one reservation, however often it is sent. */
  readonly id: string
  /** Owner of the hold: that of the first charge. */
  readonly owner: string
  /** Distinct counters, at least one. */
  readonly charges: readonly Charge[]
  /** How long the hold lives without an extension, in milliseconds. */
  readonly lifetimeMs: number
  /** Kept with the hold and handed back if it expires. At most 4,096 characters. Never a prompt, never a secret. */
  readonly context: string
}

/** Where one counter stands, by the store's clock. */
export interface CounterStatus {
  /** Units counted in the window, settled and reserved; after this call's own where it was granted. */
  readonly used: number
  /** The quota in force, with what was topped up. */
  readonly quota: number | null
  /** When the bucket in force began; `null` where it has no beginning: sliding, lifetime and concurrent. */
  readonly startMs: number | null
  /** Whether this charge had no room: decisive only where its effect is `refuse`. */
  readonly tripped: boolean
  /** When used units next come back; `null`: not by time. */
  readonly resetAtMs: number | null
  /** When this charge's amount would have room if nothing else happened; now if it has; `null`: never. */
  readonly roomAtMs: number | null
}

/** What a store answers to {@link CounterStore.reserve}. `statuses` are in the order of the charges. */
export type ReserveReply =
  | { readonly outcome: 'granted'; readonly nowMs: number; readonly statuses: readonly CounterStatus[] }
  | { readonly outcome: 'refused'; readonly nowMs: number; readonly statuses: readonly CounterStatus[] }
  /**
   * The store can't vouch for the counters of the charges at these indices. Nothing was charged: seed them with what the
   * ledger says, and ask again.
   */
  | { readonly outcome: 'unknown'; readonly nowMs: number; readonly unknown: readonly number[]; readonly fence: string }
  /** The store's time is outside the edges that were sent: send those of `nowMs`. */
  | { readonly outcome: 'stale'; readonly nowMs: number }
  /** This reservation was settled or released before: a repeat that came too late. Nothing was charged. */
  | { readonly outcome: 'closed'; readonly nowMs: number }

/** One charge of a reservation with what was really used. `window` is that of `SettleRequest.atMs`. */
export interface SettledCharge {
  readonly charge: Charge
  /** Whole units really used, from 0. */
  readonly actual: number
}

/** Asks to replace what is held by what was used. */
export interface SettleRequest {
  readonly id: string
  readonly owner: string
  readonly charges: readonly SettledCharge[]
  /** The instant of settlement by the store's clock; replay and rebuild use the same. */
  readonly atMs: number
}

/**
 * `settled`: the hold was open. `late`: it had expired, or the store never had it; the difference was charged.
 * `closed`: it was settled or released before; nothing was charged.
 */
export type SettleOutcome = 'settled' | 'late' | 'closed'

/** What a hold has set aside in one counter, or keeps there since it expired. */
export interface HeldUnits {
  readonly owner: string
  readonly partition: string
  /** Name of the counter: plan and limit. */
  readonly counter: string
  readonly amount: number
}

/** A hold whose lifetime ran out before it was settled. Stays listed until it is acknowledged. */
export interface ExpiredHold {
  readonly id: string
  readonly owner: string
  readonly context: string
  /** The store's time when it was made. */
  readonly admittedAtMs: number
  readonly expiredAtMs: number
  /** What it had set aside; what was given back stands there with amount 0. */
  readonly kept: readonly HeldUnits[]
}

/** Where a reservation is in its life. `settled` and `released` are remembered for a bounded time. */
export type HoldState =
  | { readonly state: 'reserved'; readonly expiresAtMs: number; readonly held: readonly HeldUnits[] }
  | { readonly state: 'expired'; readonly held: readonly HeldUnits[] }
  | { readonly state: 'settled' | 'released' }

/**
 * Asks to change a counter otherwise than by a call. `reset`: nothing is used any more; a window that began at first use
 * has not begun, and keeps its top-up. `top-up`: `amount` is added to the quota, in the bucket that is current (for
 * `lifetime`, for good; before a first use, for the window that it begins, however late). `refund`: `amount` is given
 * back, down to 0; of a sliding window from its newest step on.
 */
export interface AdjustRequest {
  /** Idempotency key, as that of a reservation. */
  readonly id: string
  /** Of the counter; its `amount` does not matter, its window is that of `atMs`. */
  readonly charge: Charge
  readonly adjustment: 'reset' | 'top-up' | 'refund'
  /** Whole units from 0. */
  readonly amount: number
  /** The instant by the store's clock; replay and rebuild use the same. */
  readonly atMs: number
}

/** What the ledger says of one counter. */
export interface SeededCounter {
  /** Its `amount` does not matter. */
  readonly charge: Charge
  /** Start of the bucket; for a first-use window `null` where it has not begun. Others than fixed and first-use: 0. */
  readonly startMs: number | null
  /** Its end; `null` where it has none. */
  readonly endMs: number | null
  /** Units used in the bucket; for a sliding window, those of {@link steps}. */
  readonly used: number
  /** The quota that the bucket began with. */
  readonly quota: number | null
  /** Units topped up in the bucket. */
  readonly toppedUp: number
  /** Sliding only: amounts by number of the step (instant / `bucketMs`, rounded down). */
  readonly steps?: readonly (readonly [step: number, amount: number])[]
}

/**
 * Seeds counters that were `unknown`. Where something was settled on them since, its entry may be missing from what was
 * read: then nothing happens, and the ledger has to be read again.
 */
export interface SeedRequest {
  readonly owner: string
  readonly counters: readonly SeededCounter[]
  /** From the answer `unknown`. */
  readonly fence: string
  /**
   * Ids among the seeded units that may still be settled again: a settlement answers `closed`. Where they are many, most
   * follow in pieces, without counters.
   */
  readonly closed: readonly string[]
  /** A settlement of up to this instant whose hold is not there is among the seeded units, and charges nothing. */
  readonly countedUntilMs: number
}

/** Everything that a counter store can do. */
export const COUNTER_STORE_CAPABILITIES = [
  'calendar',
  'sliding',
  'first-use',
  'lifetime',
  'concurrent',
  'alternatives',
  'next-window',
  'expiry',
  'top-up',
  'rebuild',
] as const

/**
 * What a store can do beyond fixed windows of a number of milliseconds. A plan that needs what is missing is refused when
 * it is loaded. `next-window`: it keeps the quota and the end that a window began with. `rebuild`: it knows which counters
 * it has lost, and can be seeded.
 */
export type CounterStoreCapability = (typeof COUNTER_STORE_CAPABILITIES)[number]

/** A value, or a promise of it: a store in memory answers at once, and nobody waits for what is there. */
export type Eventually<T> = T | Promise<T>

/**
 * Counts. Every call is atomic over all its charges, safe to repeat, and decided by the store's own clock, which never
 * goes back. A method that fails throws `ERR_QUOTA_STORE_UNAVAILABLE`, and may have run all the same.
 */
export interface CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability>
  /** Windows of at least this length, in milliseconds, are seeded from the ledger after a loss; shorter ones begin at 0. */
  readonly rebuildsFromMs: number

  /** Sets every amount aside, or none. A refusal changes no counter. A repeat is granted again and adds nothing. */
  reserve(request: ReserveRequest): Eventually<ReserveReply>

  /**
   * Lets a hold live `lifetimeMs` from now. A hold that the store doesn't have is made again, without a decision, but for
   * counters that are unknown.
   */
  extend(request: ReserveRequest): Eventually<void>

  /**
   * Replaces the reserved by the actual amounts, once. An excess is charged to the bucket of `atMs`; a surplus is given
   * back only to a bucket that is still open then. Counters that are unknown are left alone: the entry of the call, which
   * is written first, is among what they are seeded with.
   */
  settle(request: SettleRequest): Eventually<SettleOutcome>

  /** Gives back all that is held, as if the call had never been. Unknown and closed ids are left alone. */
  release(request: { readonly id: string; readonly owner: string }): Eventually<void>

  /** Changes a counter, once. `false`: the id was known already, or the counter is unknown and will be seeded. */
  adjust(request: AdjustRequest): Eventually<boolean>

  /**
   * `false`: something was settled on these counters meanwhile, or one of them is known by now; nothing was done. Ask
   * again, and read the ledger again.
   */
  seed(request: SeedRequest): Eventually<boolean>

  /** Where a reservation is in its life; `undefined` where the store has never heard of it, or not for long. */
  holdState(request: { readonly id: string; readonly owner: string }): Eventually<HoldState | undefined>

  /**
   * Where the counters of these charges stand, changing nothing: not even holds that are due to expire. Amounts are
   * looked at for `tripped` and `roomAtMs`. Unknown counters stand at 0, and their indices are listed.
   */
  read(charges: readonly Charge[]): Eventually<ReadReply>

  /** Expires what is due, at most `most` holds, and lists up to `most` expired ones that nobody acknowledged. */
  sweep(most: number): Eventually<readonly ExpiredHold[]>

  /** Takes holds off the list of {@link sweep}, after their entries were written. */
  acknowledge(holds: readonly ExpiredHold[]): Eventually<void>

  /** Frees what the store itself opened. */
  close(): Promise<void>
}

/** What a store answers to {@link CounterStore.read}. */
export interface ReadReply {
  readonly nowMs: number
  readonly statuses: readonly CounterStatus[]
  readonly unknown: readonly number[]
  /** For seeding those that are unknown; empty where none is. */
  readonly fence: string
}
