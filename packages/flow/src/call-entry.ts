import {
  amountsOf,
  wholeUnits,
  type Amounts,
  type EntryCharge,
  type PlanSet,
  type Reservation,
  type Usage,
  type UsageEntry,
  type UsageOutcome,
  type WithoutStore,
} from '@tallygate/core'
import type { CallDescription } from '@tallygate/telemetry'
import type { AnswerFacts } from './answer.ts'

/** What a handler that knows its usage tells of the call. */
export interface RecordedUsage extends Omit<Usage, 'basis'> {
  /** Default: `reported`. */
  readonly basis?: Usage['basis']
  readonly provider?: string
  readonly operation?: string
  readonly model?: string
  readonly responseModel?: string
}

const NO_TOKENS = {
  tokens: 0,
  'input-tokens': 0,
  'output-tokens': 0,
  'cached-input-tokens': 0,
  'reasoning-tokens': 0,
} as const satisfies Amounts

/** An attempt that used nothing: its provider has answered with an error. */
const NOTHING: Amounts = {
  requests: 1,
  ...NO_TOKENS,
  cost: 0,
  credits: 0,
  seconds: 0,
  images: 0,
  searches: 0,
}

const FIGURES = [
  'inputTokens',
  'outputTokens',
  'totalTokens',
  'cacheReadTokens',
  'cacheWriteTokens',
  'cacheWrite5mTokens',
  'cacheWrite1hTokens',
  'reasoningTokens',
  'audioInputTokens',
  'imageInputTokens',
  'toolUseInputTokens',
  'audioOutputTokens',
  'imageOutputTokens',
  'billedInputTokens',
  'billedOutputTokens',
  'seconds',
  'images',
  'searches',
  'costNanos',
  'credits',
  'reportedCostNanos',
] as const satisfies readonly (keyof Usage)[]

const MOST_TIER_CHARACTERS = 64

/** The figures among what a handler has told, as whole numbers from 0. What is no number is not known, which is not 0. */
export function recordedUsage(told: RecordedUsage): Usage {
  const figures: Partial<Record<(typeof FIGURES)[number], number>> = {}
  const flags = new Set(told.flags)
  for (const name of FIGURES) {
    const figure = told[name]
    if (typeof figure !== 'number' || Number.isNaN(figure)) continue
    if (figure < 0) flags.add('clamped-negative')
    figures[name] = wholeUnits(figure)
  }
  const { inputTokens, outputTokens } = figures
  if (inputTokens !== undefined || outputTokens !== undefined)
    figures.totalTokens ??= (inputTokens ?? 0) + (outputTokens ?? 0)
  const { serviceTier } = told
  return {
    ...figures,
    ...(typeof serviceTier === 'string' ? { serviceTier: serviceTier.slice(0, MOST_TIER_CHARACTERS) } : {}),
    basis: told.basis ?? 'reported',
    ...(flags.size === 0 ? {} : { flags: [...flags] }),
  }
}

/**
 * What a call is charged. Unknown is not zero: a unit that is absent stays as it was reserved.
 *
 * @param usedNothing The provider has answered with an error, or not at all.
 */
export function actualAmounts(usage: Usage | undefined, usedNothing: boolean): Amounts {
  if (usage === undefined) return usedNothing ? NOTHING : amountsOf(usage)
  return isWithoutTokens(usage) ? { ...NO_TOKENS, ...amountsOf(usage) } : amountsOf(usage)
}

/** Whether it was stated what is charged for, and that is no tokens: seconds, images or searches. */
function isWithoutTokens({ basis, inputTokens, outputTokens, totalTokens, ...units }: Usage): boolean {
  if (basis !== 'reported' || (inputTokens ?? outputTokens ?? totalTokens) !== undefined) return false
  return (units.seconds ?? units.images ?? units.searches) !== undefined
}

/**
 * What an entry says of the counters that a reservation touches. Those that could not be reached had nothing reserved:
 * all that was used is charged when the call is settled, and a rebuild must do the same.
 */
export function entryCharges({ bound, charges, withoutStore, spared }: Reservation, actual: Amounts): EntryCharge[] {
  return bound.map(({ counter, limit }, index) => {
    const { unit } = limit.definition
    const { amount } = charges[index]!
    const reserved = withoutStore === undefined ? amount : 0
    const { owner, partition, name } = counter
    const used = spared?.[index] === true ? 0 : (actual[unit] ?? amount)
    return { owner, partition, counter: name, unit, reserved, actual: used }
  })
}

/** An error of the provider's, or no answer of a provider that broke off. A caller who hung up has used something. */
export function usedNothing({ status }: AnswerFacts, outcome: UsageOutcome): boolean {
  return status === undefined ? outcome === 'failed' : status >= 400
}

/** What of an entry is neither who called nor what was asked. */
export interface EndedCall {
  readonly tenant: string
  readonly plans: PlanSet
  readonly answer: AnswerFacts
  readonly outcome: UsageOutcome
  readonly usage: Usage | undefined
  readonly responseModel: string | undefined
  readonly atMs: number
  readonly admittedAtMs: number
  readonly durationMs: number
  readonly charges: readonly EntryCharge[]
  readonly isOverage: boolean
  readonly withoutStore: WithoutStore | undefined
}

/** The entry of a call that has ended. */
export function callEntry(
  { attemptId, callId, parentId, subject, provider, operation, model }: CallDescription,
  { plans, answer, durationMs, isOverage, withoutStore, ...ended }: EndedCall,
): UsageEntry {
  return {
    kind: 'usage',
    id: attemptId,
    callId,
    parentId,
    subject: subject?.id ?? 'anonymous',
    dimensions: subject?.dimensions ?? {},
    plans: plans.plans.map(({ name, version }) => ({ name, version })),
    provider,
    operation,
    model,
    providerRequestId: answer.providerRequestId,
    status: answer.status,
    streamed: answer.isStream,
    durationMs: Math.max(0, Math.round(durationMs)),
    overage: isOverage,
    ...ended,
    ...(withoutStore === undefined ? {} : { withoutStore }),
  }
}
