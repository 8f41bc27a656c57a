import {
  PRICED_UNITS,
  type AdmitRequest,
  type Amounts,
  type BoundLimit,
  type Decision,
  type LimitStatus,
  type Refused,
  type Unit,
} from '@tallygate/core'
import { amountsFor, outputEstimate, type TokenCount, type TokenTask } from '@tallygate/metering'
import { calibrationKey, conservativeInput } from './calibrated-counter.ts'
import type { CallPricing } from './call-pricing.ts'
import type { MeteredRequest } from './metered-request.ts'
import { roomLeft } from './room-left.ts'
import type { Walk } from './walk.ts'

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
  /** Whose calls teach what its counts are off by. */
  readonly tenant?: string | undefined
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

/** Decides on one call under limits, with as little work as tells. */
export class CallDecision {
  readonly #walk: Walk
  readonly #request: MeteredRequest
  readonly #pricing: CallPricing
  #counted: TokenCount | undefined

  constructor(walk: Walk, request: MeteredRequest, pricing: CallPricing) {
    this.#walk = walk
    this.#request = request
    this.#pricing = pricing
  }

  /** The prompt's count, where the call was decided on it. */
  get counted(): TokenCount | undefined {
    return this.#counted
  }

  /**
   * First on a bound that costs nothing: the bytes of the request. Only where that has no room, on counted tokens; and only
   * where those have none, and the plans say so, with a lower ceiling.
   */
  async decide(request: Omit<AdmitRequest, 'amounts'>, hold: HoldRequest): Promise<Decision> {
    const { admission } = this.#walk
    const { body, inputBound, match, canBeLowered } = this.#request
    const lowers = canBeLowered && request.bound.some(({ plan }) => plan.onShortRoom !== 'refuse')
    const output = this.#output(hold, lowers)
    const asked = { bound: request.bound, isSparedRetry: hold.isSparedRetry === true, input: inputBound, output }
    let decision = await admission.admit({ ...request, amounts: this.#amounts(asked) })
    if (decision.admitted || match === undefined || body === undefined) return decision
    let input = inputBound
    if (couldFit(decision, output, lowers)) {
      input = Math.min(inputBound, await this.#countedInput(body, hold.provider ?? match.adapter.provider, hold.tenant))
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
      const room = roomLeft(decision, asked.input, (unit, remaining) => this.#outputFor(unit, remaining, asked))
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

  /** Most output, up to what is asked for, whose cost beside the input's is no more than that. */
  #outputFor(unit: Unit, remaining: number, asked: Asked): number {
    let [fits, exceeds] = [-1, asked.output + 1]
    while (exceeds - fits > 1) {
      const output = Math.floor((fits + exceeds) / 2)
      if ((this.#amounts({ ...asked, output })[unit] ?? 0) <= remaining) fits = output
      else exceeds = output
    }
    return fits
  }

  async #countedInput(body: Buffer, provider: string, tenant: string | undefined): Promise<number> {
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
    return conservativeInput(learned.calibration, calibrationKey({ tenant, provider, kind }, task), this.#counted)
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
