import { wholeUnits, type Amounts } from '@tallygate/core'
import type { RequestFacts } from './request-facts.ts'

/** The most output that is assumed of an answer where a request sets no ceiling and nothing was learned of its like. */
const DEFAULT_OUTPUT_TOKENS = 1_024
/** No model writes more in one answer. A request that allows more must not hold a quota that others share. */
const MOST_OUTPUT_TOKENS = 1_048_576

export interface EstimateOptions {
  /** Smallest quota on tokens that is in force. Default: there is none. */
  readonly tightestTokenQuota?: number | undefined
  /** What was learned of the output of such calls. Default: nothing. */
  readonly learnedOutput?: number | undefined
  /** What is set aside for the output where the request sets a ceiling and its like was learned. Default: `ceiling`. */
  readonly outputEstimate?: 'ceiling' | 'learned' | undefined
}

/**
 * Upper guess of what a call will use, for reserving it. It is an upper bound for text and images under a ceiling; what
 * else a request only refers to (a long file, an earlier conversation) has no bytes here, and is charged when it is known.
 *
 * @param inputTokens Not fewer than the request can have. Its bytes will do, and `mostMediaTokens`: no encoding has more
 *   tokens than bytes.
 */
export function estimateAmounts(facts: RequestFacts, inputTokens: number, options: EstimateOptions = {}): Amounts {
  return amountsFor(inputTokens, outputEstimate(facts, options))
}

/** The output that is set aside: the ceiling, or what was learned, or a guess. At least 1. */
export function outputEstimate({ outputCeiling, answers = 1 }: RequestFacts, options: EstimateOptions = {}): number {
  const { tightestTokenQuota = Infinity, learnedOutput, outputEstimate: by = 'ceiling' } = options
  const mostOutput = wholeUnits(MOST_OUTPUT_TOKENS * answers)
  if (outputCeiling !== undefined) {
    const most = by === 'learned' ? Math.min(outputCeiling, learnedOutput ?? Infinity) : outputCeiling
    return Math.min(wholeUnits(most), mostOutput)
  }
  // A guess alone must not be in the way of a call for ever: half of a quota is free for the input.
  const half = Math.max(1, Math.floor(tightestTokenQuota / 2))
  if (learnedOutput !== undefined) return Math.max(1, Math.min(wholeUnits(learnedOutput), half, mostOutput))
  return Math.min(wholeUnits(DEFAULT_OUTPUT_TOKENS * answers), Math.max(1, Math.floor(tightestTokenQuota / 10)))
}

/** The amounts of one request of so much input and output. */
export function amountsFor(inputTokens: number, outputTokens: number): Amounts {
  const [input, output] = [wholeUnits(inputTokens), wholeUnits(outputTokens)]
  return {
    requests: 1,
    tokens: wholeUnits(input + output),
    'input-tokens': input,
    'output-tokens': output,
    'cached-input-tokens': input,
    'reasoning-tokens': output,
  }
}
