import {
  COUNT_ATTEMPTS,
  isCounted,
  PRICED_UNITS,
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
import type { CallPricing } from './call-pricing.ts'
import { amountsFor, outputEstimate, type TokenCount, type TokenTask } from '@tallygate/metering'
import { calibrationKey, conservativeInput } from './calibrated-counter.ts'
import type { MeteredRequest } from './metered-request.ts'
import { countOvershoot } from './overshoot-count.ts'
import { roomLeft } from './room-left.ts'
import { HeldAllowance } from './held-allowance.ts'
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
  /** Name of the provider, where that is not the one of the operation. */
  readonly provider?: string | undefined
  /** What was learned of the output of such calls. */
  readonly learnedOutput?: number | undefined
}

/** What a call is decided on: how much goes in, and how much may come out. */
interface Asked {
  readonly bound: readonly BoundLimit[]
  readonly isSparedRetry: boolean
  readonly input: number
  readonly output: number
}

/**
 * What a call without a ceiling is taken to want where plans lower ceilings. Every model may be told to write no more than
 * that; a higher number, set in the caller's place, can be more than a model allows.
 */
const UNSTATED_OUTPUT_TOKENS = 4_096
/** Others may take the room between two decisions; that often in a row means that there is none. */
const MOST_LOWERINGS = 3

/** Units that the input of a call does not count in. */
const OUTPUT_ALONE: ReadonlySet<string> = new Set(['output-tokens', 'reasoning-tokens'])
const NEVER = (): boolean => false

/** What is held for one call, and where the limits stand that it was decided on. */
export class CallHolds {
  readonly #walk: Walk
  readonly #request: MeteredRequest
  readonly #pricing: CallPricing
  #held: Held[] = []
  #statuses: LimitStatus[] = []
  #isOverage = false
  /** Of a session: what this call was decided under, and what it is to be decided under as those before it were. */
  readonly #asked: HoldRequest[] = []
  #inherited: readonly HoldRequest[] = []
  #counted: TokenCount | undefined

  constructor(walk: Walk, request: MeteredRequest, pricing: CallPricing) {
    this.#walk = walk
    this.#pricing = pricing
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

  /** The prompt's count, where the call was decided on it. */
  get counted(): TokenCount | undefined {
    return this.#counted
  }

  /** Whether the call passed a limit that flags. */
  get isOverage(): boolean {
    return this.#isOverage
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
    const decision = await this.#decide(request, hold)
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

  /**
   * First on a bound that costs nothing: the bytes of the request. Only where that has no room, on counted tokens; and only
   * where those have none, and the plans say so, with a lower ceiling.
   */
  async #decide(request: Omit<AdmitRequest, 'amounts'>, hold: HoldRequest): Promise<Decision> {
    const { admission } = this.#walk
    const { body, inputBound, match, canBeLowered } = this.#request
    const lowers = canBeLowered && request.bound.some(({ plan }) => plan.onShortRoom !== 'refuse')
    const output = this.#output(hold, lowers)
    const asked = { bound: request.bound, isSparedRetry: hold.isSparedRetry === true, input: inputBound, output }
    let decision = await admission.admit({ ...request, amounts: this.#amounts(asked) })
    if (decision.admitted || match === undefined || body === undefined) return decision
    let input = inputBound
    if (couldFit(decision, output, lowers)) {
      input = Math.min(inputBound, await this.#countedInput(body, hold.provider ?? match.adapter.provider))
      // A count that is no lower changes nothing.
      if (input < inputBound)
        decision = await admission.admit({ ...request, amounts: this.#amounts({ ...asked, input }) })
    }
    return decision.admitted || !lowers ? decision : this.#lowered(request, { ...asked, input }, decision)
  }

  /** Decides again, with as much output as has room beside the input. */
  async #lowered(request: Omit<AdmitRequest, 'amounts'>, asked: Asked, refused: Refused): Promise<Decision> {
    const { outputCeiling, answers = 1 } = this.#request.facts
    let decision: Decision = refused
    for (let tries = 0; tries < MOST_LOWERINGS && !decision.admitted; tries += 1) {
      const room = roomLeft(decision, asked.input)
      const each = room === undefined ? 0 : Math.floor(Math.min(room.tokens, asked.output) / answers)
      if (room === undefined || each < room.least) return decision
      decision = await this.#walk.admission.admit({
        ...request,
        amounts: this.#amounts({ ...asked, output: each * answers }),
      })
      if (decision.admitted && (outputCeiling !== undefined || each < UNSTATED_OUTPUT_TOKENS))
        this.#request.lowerCeiling(each)
    }
    return decision
  }

  async #countedInput(body: Buffer, provider: string): Promise<number> {
    const { counter, learned } = this.#walk
    const { match, facts, kind } = this.#request
    const task: TokenTask = {
      kind: 'prompt',
      shape: match!.adapter.usage,
      body: new Uint8Array(body),
      model: facts.model,
      provider,
    }
    this.#counted ??= await counter.count(task)
    return conservativeInput(learned.calibration, calibrationKey({ provider, kind }, task), this.#counted)
  }

  #output({ bound, learnedOutput }: HoldRequest, lowers: boolean): number {
    const { facts } = this.#request
    const tightestTokenQuota = Math.min(...bound.map(({ plan }) => plan.tightestTokenQuota ?? Infinity))
    const { outputEstimate: by } = this.#walk
    const output = outputEstimate(facts, { tightestTokenQuota, learnedOutput, outputEstimate: by })
    const wanted = lowers && facts.outputCeiling === undefined ? Math.max(output, UNSTATED_OUTPUT_TOKENS) : output
    const { loweredCeiling = Infinity } = this.#request
    return Math.min(wanted, loweredCeiling * (facts.answers ?? 1))
  }

  #amounts({ bound, isSparedRetry, input, output }: Asked): Amounts {
    const requests = isSparedRetry ? 0 : 1
    if (this.#request.match === undefined) return { requests }
    const amounts = this.#pricing.amounts(bound, amountsFor(input, output), this.#walk.admission.nowMs())
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

/**
 * Whether a refusal could turn if the input were counted: it is for input, and the output alone has room, or may be less.
 */
function couldFit({ reason, statuses }: Refused, output: number, lowers: boolean): boolean {
  if (reason === 'unavailable') return false
  const inTheWay = statuses.filter(({ tripped }) => tripped)
  const isForInput = inTheWay.some(({ bound: { limit } }) => !OUTPUT_ALONE.has(limit.definition.unit))
  return isForInput && inTheWay.every((status) => couldTurn(status, output, lowers))
}

function couldTurn({ bound, remaining }: LimitStatus, output: number, lowers: boolean): boolean {
  const { unit, trip } = bound.limit.definition
  if (trip !== 'fits' || remaining === null) return false
  if (OUTPUT_ALONE.has(unit)) return lowers && remaining > 0
  if (PRICED_UNITS.has(unit)) return remaining > 0
  if (unit === 'tokens') return (lowers ? 0 : output) < remaining
  return (unit === 'input-tokens' || unit === 'cached-input-tokens') && remaining > 0
}
