import { MAX_UNITS, type Amounts, type Unit } from './unit.ts'

/**
 * How the figures of a {@link Usage} came about: all from the provider, some from the provider and the rest counted,
 * or all counted.
 */
export type UsageBasis = 'reported' | 'reported-partial' | 'estimated'

/** Something in a provider's figures that had to be explained, or a limit of our own counting. */
export type UsageFlag =
  /** A figure was negative and is taken as 0. */
  | 'clamped-negative'
  /** A subset (cached, reasoning) was larger than its whole. */
  | 'subset-exceeds-whole'
  /** The reported total is more than input and output: the gap is taken as output. */
  | 'total-gap'
  /** The text was not all counted: the rest is bounded by its bytes. */
  | 'byte-bound'
  /** Hidden reasoning, or state that the provider keeps, is not in the text: the true figure is higher. */
  | 'lower-bound'
  /** Audio or reasoning that the parts left out and the reported total has. */
  | 'total-explained'
  /** The total is less than its parts, or no rule explains the gap. */
  | 'total-mismatch'
  /** The answer states figures of several runs (compaction, server tools) apart from its sums; all are counted. */
  | 'iterations-summed'
  /** A frame of the stream was damaged: figures may be missing. */
  | 'damaged-frame'
  /** The stream was cut at the quota. */
  | 'cut-at-quota'
  /** The call's output ceiling was lowered to the room that was left. */
  | 'ceiling-lowered'
  /** A model without a price; its cost is what the plan says of such models. */
  | 'unpriced'
  /** A route that its provider charges for, and that nothing meters. */
  | 'unmetered'

/**
 * How far figures can be off. `exact`: the provider's. `high`: counted with the model's own tokenizer. `medium`: counted
 * with another family's, calibrated. `low`: a bound, a guess from bytes, or a text that was not all there.
 */
export type UsageConfidence = 'exact' | 'high' | 'medium' | 'low'

/**
 * What one attempt used. Whole numbers ≥ 0; absent means that nobody said, which is not 0. Input includes cache reads
 * and writes, output includes reasoning, as in OpenTelemetry's `gen_ai.usage.*`.
 */
export interface Usage {
  readonly basis: UsageBasis
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
  /** As the provider states it; input plus output where it states none. */
  readonly totalTokens?: number | undefined
  /** Part of `inputTokens`. */
  readonly cacheReadTokens?: number | undefined
  /** Part of `inputTokens`. */
  readonly cacheWriteTokens?: number | undefined
  /** Parts of `cacheWriteTokens`, by how long the cache keeps them. */
  readonly cacheWrite5mTokens?: number | undefined
  readonly cacheWrite1hTokens?: number | undefined
  /** Part of `outputTokens`. */
  readonly reasoningTokens?: number | undefined
  /** Parts of `inputTokens`, by modality and by who put them in. */
  readonly audioInputTokens?: number | undefined
  readonly imageInputTokens?: number | undefined
  readonly toolUseInputTokens?: number | undefined
  /** Parts of `outputTokens`, by modality. */
  readonly audioOutputTokens?: number | undefined
  readonly imageOutputTokens?: number | undefined
  /** What the provider bills, where it says so apart from what it counts. */
  readonly billedInputTokens?: number | undefined
  readonly billedOutputTokens?: number | undefined
  /** Audio that was read or spoken, in seconds. */
  readonly seconds?: number | undefined
  /** Images that were made. */
  readonly images?: number | undefined
  /** Searches of the web or of documents, by the provider's own tools or as its units of ranking. */
  readonly searches?: number | undefined
  /** What the call costs by the price book, in nanodollars. */
  readonly costNanos?: number | undefined
  /** What the call costs in the units of the price book's own. */
  readonly credits?: number | undefined
  /** What the provider says that the call costs, in nanodollars. */
  readonly reportedCostNanos?: number | undefined
  /** The class of service that the provider names, such as `batch` or `priority`; as it writes it, at most 64 characters. */
  readonly serviceTier?: string | undefined
  readonly confidence?: UsageConfidence | undefined
  readonly flags?: readonly UsageFlag[] | undefined
  /** The provider's own object, on request (`keepRawUsage`): figures and names, no text. */
  readonly raw?: unknown
}

const FIELD_OF_UNIT = {
  'input-tokens': 'inputTokens',
  'output-tokens': 'outputTokens',
  'cached-input-tokens': 'cacheReadTokens',
  'reasoning-tokens': 'reasoningTokens',
  cost: 'costNanos',
  credits: 'credits',
  seconds: 'seconds',
  images: 'images',
  searches: 'searches',
} as const satisfies Partial<Record<Unit, keyof Usage>>

/** The amounts that one request with this usage charges. Units that nobody stated stay absent. */
export function amountsOf(usage: Usage | undefined): Amounts {
  const amounts: Partial<Record<Unit, number>> = { requests: 1 }
  if (usage === undefined) return amounts
  for (const unit of Object.keys(FIELD_OF_UNIT) as (keyof typeof FIELD_OF_UNIT)[]) {
    const amount = usage[FIELD_OF_UNIT[unit]]
    if (amount !== undefined) amounts[unit] = wholeUnits(amount)
  }
  const tokens = tokensOf(usage)
  if (tokens !== undefined) amounts.tokens = wholeUnits(tokens)
  return amounts
}

/** Input plus output; where one of them is unknown, a stated total knows of it. */
function tokensOf({ inputTokens, outputTokens, totalTokens }: Usage): number | undefined {
  if (inputTokens === undefined && outputTokens === undefined) return totalTokens
  const sum = wholeUnits(inputTokens ?? 0) + wholeUnits(outputTokens ?? 0)
  return inputTokens === undefined || outputTokens === undefined ? Math.max(sum, totalTokens ?? 0) : sum
}

/** Rounds up to a whole number from 0 to {@link MAX_UNITS}; NaN counts as 0. */
export function wholeUnits(amount: number): number {
  if (!(amount > 0)) return 0
  return Math.min(Math.ceil(amount), MAX_UNITS)
}
