import type { Charge, CounterStatus } from './counter-store.ts'
import type { LocalShare } from './local-share.ts'
import type { BoundLimit } from './plan.ts'
import type { Amounts } from './unit.ts'

/** Where one limit stands for a caller. */
export interface LimitStatus extends CounterStatus {
  readonly bound: BoundLimit
  /** Units that are left, from 0; `null` where there is no limit. */
  readonly remaining: number | null
}

/** What was set aside for a call, and all that settling it later takes. */
export interface Reservation {
  readonly id: string
  readonly owner: string
  readonly bound: readonly BoundLimit[]
  readonly charges: readonly Charge[]
  readonly amounts: Amounts
  readonly lifetimeMs: number
  readonly context: string
  /** The store's time of admission. */
  readonly admittedAtMs: number
  /** The node's clock when it learned of it: what has passed since is counted from here. */
  readonly learnedAtMs: number
  /** Set where the counters could not be reached: they hold nothing of it, or nobody knows. */
  readonly withoutStore?: WithoutStore | undefined
  /** Where this node counts it meanwhile. */
  readonly localShare?: LocalShare | undefined
  /** Which charges the count rules of their plans give back: they are settled with 0. Absent: none. */
  readonly spared?: readonly boolean[]
}

/** How a call was decided while the counters could not be reached: it passed (`admit`), or by this node's share (`local`). */
export type WithoutStore = 'admit' | 'local'

/** The call may go on. */
export interface Admitted {
  readonly admitted: true
  /** Absent where no limit is for this call. */
  readonly reservation: Reservation | undefined
  readonly statuses: readonly LimitStatus[]
  /** Limits that tripped without refusing: `flag` and `shadow`. */
  readonly tripped: readonly LimitStatus[]
  /** False when the counters could not be reached. */
  readonly counted: boolean
  /** Set where {@link counted} is false. */
  readonly withoutStore?: WithoutStore | undefined
  readonly atMs: number
}

/** Why a call was refused: there is no room now, there never will be for so much at once, or nobody could count. */
export type RefusalReason = 'no-room' | 'never-fits' | 'unavailable'

/** The call must not go on; nothing was charged. */
export interface Refused {
  readonly admitted: false
  readonly reason: RefusalReason
  /** The limit that is in the way longest; absent when the counters could not be reached. */
  readonly binding: LimitStatus | undefined
  readonly statuses: readonly LimitStatus[]
  /** When there would be room if nothing else happened; `null`: not by time. */
  readonly retryAtMs: number | null
  readonly atMs: number
  /** `local`: the counters could not be reached, and this node's share of a quota is used up. */
  readonly withoutStore?: 'local' | undefined
  /** What the counters may hold all the same, as nobody knows whether they have heard: to be released. */
  readonly reservation?: Reservation | undefined
}

/** The yes or no to a call, with its reasons. */
export type Decision = Admitted | Refused
