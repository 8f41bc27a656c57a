import {
  COUNT_ATTEMPTS,
  isCounted,
  type Amounts,
  type BoundLimit,
  type Decision,
  type EndedAttempt,
  type LimitStatus,
  type Reservation,
  type WithoutStore,
} from '@tallygate/core'
import type { TokenCount } from '@tallygate/metering'
import { CallDecision, type HoldRequest } from './call-decision.ts'
import type { CallPricing } from './call-pricing.ts'
import { HeldAllowance } from './held-allowance.ts'
import type { MeteredRequest } from './metered-request.ts'
import { countOvershoot } from './overshoot-count.ts'
import { StreamAllowance } from './stream-allowance.ts'
import type { Walk } from './walk.ts'

interface Held {
  readonly reservation: Reservation
  readonly isSpared: (status: number | undefined) => boolean
  /** Where its limits stood; empty where nobody could tell. */
  readonly statuses: readonly LimitStatus[]
  /** It is held as long as a session lasts, and not only for one call of it. */
  readonly isLasting: boolean
  readonly subject: string | undefined
  extendedAtMs: number
  /** Where a stream under way buys more of it. */
  allowance?: HeldAllowance | undefined
}

const NEVER = (): boolean => false

/** What is held for one call, and where the limits stand that it was decided on. */
export class CallHolds {
  readonly #walk: Walk
  readonly #request: MeteredRequest
  readonly #decision: CallDecision
  #held: Held[] = []
  #statuses: LimitStatus[] = []
  #isOverage = false
  /** Of a session: what this call was decided under, and what it is to be decided under as those before it were. */
  readonly #asked: HoldRequest[] = []
  #inherited: readonly HoldRequest[] = []

  constructor(walk: Walk, request: MeteredRequest, pricing: CallPricing) {
    this.#walk = walk
    this.#request = request
    this.#decision = new CallDecision(walk, request, pricing)
  }

  /** What is held, with what of it does not count of an attempt that ended so. */
  ended(attempt: EndedAttempt): readonly Reservation[] {
    return this.#held.map((held) => withSpared(held, attempt))
  }

  get isEmpty(): boolean {
    return this.#held.length === 0
  }

  /** All limits that were decided on so far, as they stood then. */
  get statuses(): readonly LimitStatus[] {
    return this.#statuses
  }

  /** How the call was admitted where the counters could not be reached. */
  get withoutStore(): WithoutStore | undefined {
    return this.#held.find(({ reservation }) => reservation.withoutStore !== undefined)?.reservation.withoutStore
  }

  /** The prompt's count, where the call was decided on it. */
  get counted(): TokenCount | undefined {
    return this.#decision.counted
  }

  /** Whether the call passed a limit that flags. */
  get isOverage(): boolean {
    return this.#isOverage
  }

  /** Limits that this call of a session was decided under. */
  get asked(): readonly BoundLimit[] {
    return this.#asked.flatMap(({ bound }) => bound)
  }

  /** What the calls before this one in its session were decided under. */
  get inherited(): readonly HoldRequest[] {
    return this.#inherited
  }

  /** Gives the next call of a session what is held as long as that lasts, and what to decide under. */
  handOver(to: CallHolds): void {
    to.#held = this.#held.filter(({ isLasting }) => isLasting)
    this.#held = this.#held.filter(({ isLasting }) => !isLasting)
    to.#inherited = this.#asked.map((hold) => ({ ...hold, bound: ofEachCall(hold.bound) }))
  }

  /** Decides under further limits, and holds what they count. */
  async admit(attemptId: string, hold: HoldRequest, context: () => string): Promise<Decision> {
    if (!this.#request.isSession) return this.#admit(attemptId, hold, context)
    this.#asked.push(hold)
    const lasting = hold.bound.filter(isConcurrent)
    if (lasting.length > 0) {
      const decision = await this.#admit(attemptId, { ...hold, bound: lasting }, context, true)
      if (!decision.admitted || lasting.length === hold.bound.length) return decision
    }
    return this.#admit(attemptId, { ...hold, bound: hold.bound.filter((bound) => !isConcurrent(bound)) }, context)
  }

  async #admit(attemptId: string, hold: HoldRequest, context: () => string, isLasting = false): Promise<Decision> {
    const { bound, isSpared = NEVER, onUnavailable, subject } = hold
    const id = this.#held.length === 0 ? attemptId : `${attemptId}.${this.#held.length}`
    const request = { id, bound, context: bound.length === 0 ? '' : context(), onUnavailable, subject }
    const decision = await this.#decision.decide(request, hold)
    this.#statuses.push(...decision.statuses)
    if (!decision.admitted) {
      if (decision.reservation !== undefined) this.#walk.settler.release(decision.reservation)
      return { ...decision, statuses: this.#statuses }
    }
    if (decision.reservation !== undefined) {
      const { reservation, statuses } = decision
      this.#held.push({ reservation, isSpared, statuses, subject, isLasting, extendedAtMs: this.#walk.clock() })
    }
    if (decision.tripped.some(isFlagged)) this.#isOverage = true
    return decision
  }

  /** What a stream of this call may write before it has to buy more; `undefined` where no limit cuts streams. */
  streamAllowance(): StreamAllowance | undefined {
    const onOverage = (): void => {
      this.#isOverage = true
    }
    for (const held of this.#held) {
      const { reservation, statuses, subject } = held
      held.allowance ??= HeldAllowance.of(this.#walk, reservation, statuses, subject, onOverage)
    }
    const parts = this.#held.flatMap(({ allowance }) => allowance ?? [])
    return parts.length === 0 ? undefined : new StreamAllowance(parts)
  }

  /** Marks what limits that let everything pass would have cut, now that the figures are known. */
  watch(actual: Amounts): void {
    for (const { allowance } of this.#held) allowance?.watch(actual)
  }

  /** Keeps from expiring what has not been extended for a third of its lifetime. */
  async extend(nowMs: number): Promise<void> {
    for (const held of this.#held) {
      await held.allowance?.extend(nowMs)
      if (nowMs - held.extendedAtMs < held.reservation.lifetimeMs / 3) continue
      await this.#walk.admission.extend(held.reservation)
      held.extendedAtMs = nowMs
    }
  }

  /** Settles what an attempt has used that ended so. What does not count is given back. */
  settle(actual: Amounts, atMs: number, attempt: EndedAttempt): void {
    const { settler, telemetry } = this.#walk
    for (const held of this.#held) {
      const reservation = withSpared(held, attempt)
      settler.settle(reservation, actual, atMs)
      countOvershoot(telemetry, reservation, held.statuses, actual, held.allowance)
      held.allowance?.close()
    }
    this.#held = []
  }

  release(): void {
    for (const { reservation, allowance } of this.#held) {
      this.#walk.settler.release(reservation)
      allowance?.close()
    }
    this.#held = []
  }
}

/**
 * A reservation with the charges that the count rules of its plans, and its limiters, give back. They are settled with 0
 * and not released, so that the entry names them: a process that dies in between leaves a hold that the entry explains.
 */
function withSpared({ reservation, isSpared }: Held, attempt: EndedAttempt): Reservation {
  const { bound } = reservation
  if (isSpared(attempt.status)) return { ...reservation, spared: bound.map(() => true) }
  const isSparedRetry = reservation.amounts.requests === 0
  if (!isSparedRetry && bound.every(({ plan }) => plan.count === COUNT_ATTEMPTS)) return reservation
  const isRequest = ({ limit }: BoundLimit): boolean => limit.definition.unit === 'requests'
  const spared = bound.map((each) => (isSparedRetry && isRequest(each)) || !isCounted(each.plan.count, attempt))
  return { ...reservation, spared }
}

function isConcurrent({ limit }: BoundLimit): boolean {
  return limit.definition.window.kind === 'concurrent'
}

/**
 * What of limits counts each call of a session: not that it is a request, and not that it runs. Of alternatives one of
 * which then has nothing to count, that one has room.
 */
function ofEachCall(bound: readonly BoundLimit[]): readonly BoundLimit[] {
  const counted = bound.filter((each) => !isConcurrent(each) && each.limit.definition.unit !== 'requests')
  const left = new Set(counted.map(({ alternative }) => alternative))
  return bound.every(({ alternative }) => alternative === 0 || left.has(alternative))
    ? counted
    : counted.filter(({ alternative }) => alternative === 0)
}

/** A limit in shadow reports what it would have done, and marks nothing. */
function isFlagged({ bound: { limit } }: LimitStatus): boolean {
  return limit.definition.onTrip === 'flag' && limit.definition.mode === 'enforce'
}
