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
  /** Hidden reasoning is not in the text: the true figure is higher. */
  | 'lower-bound'

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
  /** Part of `outputTokens`. */
  readonly reasoningTokens?: number | undefined
  readonly costNanos?: number | undefined
  readonly credits?: number | undefined
  readonly seconds?: number | undefined
  readonly images?: number | undefined
  readonly flags?: readonly UsageFlag[] | undefined
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
