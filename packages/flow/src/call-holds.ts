import {
  COUNT_ATTEMPTS,
  isCounted,
  type AdmitRequest,
  type Amounts,
  type BoundLimit,
  type Decision,
  type EndedAttempt,
  type LimitStatus,
  type Refused,
  type Reservation,
  type WithoutStore,
} from '@tallygate/core'
import { estimateAmounts } from '@tallygate/metering'
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
  readonly subject: string | undefined
  extendedAtMs: number
  /** Where a stream under way buys more of it. */
  allowance?: HeldAllowance | undefined
}

/** Limits to decide under. */
export interface HoldRequest {
  readonly bound: readonly BoundLimit[]
  /** Whether an answer with this status is given back and not counted. Default: none is. */
  readonly isSpared?: (status: number | undefined) => boolean
  /** Goes before what the limits say for when the counters can't be reached. */
  readonly onUnavailable?: 'refuse' | 'admit' | undefined
  /** Where counters of this key are charged by nobody else's calls. */
  readonly subject?: string | undefined
  /** Tries again what has failed, and is charged no further request. */
  readonly isSparedRetry?: boolean
}

const NEVER = (): boolean => false

/** What is held for one call, and where the limits stand that it was decided on. */
export class CallHolds {
  readonly #walk: Walk
  readonly #request: MeteredRequest
  #held: Held[] = []
  #statuses: LimitStatus[] = []
  #isOverage = false

  constructor(walk: Walk, request: MeteredRequest) {
    this.#walk = walk
    this.#request = request
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

  /** Whether the call passed a limit that flags. */
  get isOverage(): boolean {
    return this.#isOverage
  }

  /** Decides under further limits, and holds what they count. */
  async admit(attemptId: string, hold: HoldRequest, context: () => string): Promise<Decision> {
    const { bound, isSpared = NEVER, onUnavailable, subject, isSparedRetry = false } = hold
    const id = this.#held.length === 0 ? attemptId : `${attemptId}.${this.#held.length}`
    const request = { id, bound, context: bound.length === 0 ? '' : context(), onUnavailable, subject }
    const decision = await this.#decide(request, isSparedRetry)
    this.#statuses.push(...decision.statuses)
    if (!decision.admitted) {
      if (decision.reservation !== undefined) this.#walk.settler.release(decision.reservation)
      return { ...decision, statuses: this.#statuses }
    }
    if (decision.reservation !== undefined) {
      const { reservation, statuses } = decision
      this.#held.push({ reservation, isSpared, statuses, subject, extendedAtMs: this.#walk.clock() })
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

  /** First on a bound that costs nothing: the bytes of the request. Only where that has no room, on counted tokens. */
  async #decide(request: Omit<AdmitRequest, 'amounts'>, isSparedRetry: boolean): Promise<Decision> {
    const { admission, counter } = this.#walk
    const { body, inputBound, facts, match } = this.#request
    const amounts = this.#estimate(request.bound, inputBound, isSparedRetry)
    const decision = await admission.admit({ ...request, amounts })
    if (decision.admitted || match === undefined || body === undefined || !couldFit(decision, amounts)) return decision
    const task = { kind: 'prompt', shape: match.adapter.usage, body: new Uint8Array(body), model: facts.model } as const
    const count = await counter.count(task)
    if (count.bound >= inputBound) return decision
    return admission.admit({ ...request, amounts: this.#estimate(request.bound, count.bound, isSparedRetry) })
  }

  #estimate(bound: readonly BoundLimit[], inputTokens: number, isSparedRetry: boolean): Amounts {
    const requests = isSparedRetry ? 0 : 1
    if (this.#request.match === undefined) return { requests }
    const tightest = Math.min(...bound.map(({ plan }) => plan.tightestTokenQuota ?? Infinity))
    const amounts = estimateAmounts(this.#request.facts, inputTokens, Number.isFinite(tightest) ? tightest : null)
    return isSparedRetry ? { ...amounts, requests } : amounts
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

/** A limit in shadow reports what it would have done, and marks nothing. */
function isFlagged({ bound: { limit } }: LimitStatus): boolean {
  return limit.definition.onTrip === 'flag' && limit.definition.mode === 'enforce'
}

/** Whether a refusal could turn if the input were counted: it is for input, and the output alone has room. */
function couldFit({ reason, statuses }: Refused, amounts: Amounts): boolean {
  if (reason === 'unavailable') return false
  return statuses
    .filter(({ tripped }) => tripped)
    .every(({ bound: { limit }, remaining }) => {
      const { unit, trip } = limit.definition
      if (trip !== 'fits' || remaining === null) return false
      if (unit === 'tokens') return (amounts['output-tokens'] ?? 0) < remaining
      return (unit === 'input-tokens' || unit === 'cached-input-tokens') && remaining > 0
    })
}
