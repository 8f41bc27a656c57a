import { wholeUnits, type Amounts } from '@tallygate/core'
import type { RequestFacts } from './request-facts.ts'

/** The most output that is assumed where a request sets no ceiling and nothing was learned of its like. */
const DEFAULT_OUTPUT_TOKENS = 1_024
/** No model writes more in one call. A request that allows more must not hold a quota that others share. */
const MOST_OUTPUT_TOKENS = 1_048_576

/**
 * Upper guess of what a call will use, for reserving it. It is an upper bound for text; what a request only refers to
 * (an image by its address, a file, an earlier conversation) has no bytes here, and is charged when it is known.
 *
 * @param inputTokens Not fewer than the request can have. Its bytes will do: no encoding has more tokens than bytes.
 * @param tightestTokenQuota Smallest quota on tokens that is in force: without a ceiling, the output is taken for the
 *   smaller of 1,024 and a tenth of it. `null`: there is none.
 */
export function estimateAmounts(
  { outputCeiling }: RequestFacts,
  inputTokens: number,
  tightestTokenQuota: number | null,
): Amounts {
  const tenth = Math.max(1, Math.floor((tightestTokenQuota ?? Infinity) / 10))
  const output = Math.min(wholeUnits(outputCeiling ?? Math.min(DEFAULT_OUTPUT_TOKENS, tenth)), MOST_OUTPUT_TOKENS)
  const input = wholeUnits(inputTokens)
  return {
    requests: 1,
    tokens: wholeUnits(input + output),
    'input-tokens': input,
    'output-tokens': output,
    'cached-input-tokens': input,
    'reasoning-tokens': output,
  }
}
