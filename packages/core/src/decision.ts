import type { Charge, CounterStatus } from './counter-store.ts'
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
  /** Which charges the count rules of their plans give back: they are settled with 0. Absent: none. */
  readonly spared?: readonly boolean[]
}

/** The call may go on. */
export interface Admitted {
  readonly admitted: true
  /** Absent where no limit is for this call. */
  readonly reservation: Reservation | undefined
  readonly statuses: readonly LimitStatus[]
  /** Limits that tripped without refusing: `flag` and `shadow`. */
  readonly tripped: readonly LimitStatus[]
  /** False when the counters could not be reached and every limit admits then. */
  readonly counted: boolean
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
}

/** The yes or no to a call, with its reasons. */
export type Decision = Admitted | Refused
