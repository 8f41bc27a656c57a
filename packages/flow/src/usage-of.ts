import { wholeUnits, type Usage, type UsageFlag } from '@tallygate/core'
import {
  tokenFamily,
  type AdapterMatch,
  type Framing,
  type KeptOutput,
  type RequestFacts,
  type ReportedUsage,
  type TokenCount,
  type TokenCounter,
  type UsageReading,
} from '@tallygate/metering'

/** What counts a text where its provider states nothing. */
type Counts = Pick<TokenCounter, 'count'>

/** What is known of an answer when it has ended, in whatever way. */
export interface EndedAnswer {
  readonly match: AdapterMatch
  readonly facts: RequestFacts
  /** The request, for counting it where its provider states nothing; absent where it was too large to keep. */
  readonly requestBody: Buffer | undefined
  readonly requestBytes: number
  readonly framing: Framing
  readonly reading: UsageReading
  readonly kept: KeptOutput
  /** Whether the provider came to its end. */
  readonly isComplete: boolean
}

/** The figures of an answer: its provider's where it stated them, counted from the text where it did not; absent if unknown. */
export function usageOf(answer: EndedAnswer, counter: Counts): Usage | Promise<Usage> | undefined {
  const { match, reading, kept, isComplete } = answer
  const { coversOutput, isPending, shown } = reading
  const reported = chargedOf(reading)
  // A response in the background: what it will use is not known, and stays as it was reserved.
  if (isPending && isComplete && reported === undefined) return undefined
  if (reported !== undefined && coversOutput && (isComplete || kept.isEmpty)) return fromReport(reported, 'reported')
  // Images, sound, pages: there is no text to count.
  if (match.adapter.counts === 'nothing') {
    const stated = reported ?? shown
    return stated && fromReport(stated, isComplete ? 'reported' : 'reported-partial')
  }
  return countedUsage(answer, counter)
}

/** What an answer states: of all its runs, with what it shows beside that. */
function chargedOf({ reported, shown }: UsageReading): ReportedUsage | undefined {
  return reported && { ...shown, ...(reported.runs ?? reported) }
}

async function countedUsage(answer: EndedAnswer, counter: Counts): Promise<Usage> {
  const { coversOutput } = answer.reading
  const reported = chargedOf(answer.reading)
  const written = await countOutput(answer, counter)
  if (reported !== undefined && coversOutput) {
    if (written.tokens === 0) return fromReport(reported, 'reported')
    const output = (reported.output ?? 0) + written.tokens
    const usage = fromReport({ ...reported, output, total: undefined }, 'reported-partial')
    return withConfidence(usage, [written], answer.kept.scale)
  }
  if (reported?.input !== undefined) {
    const partial = { ...reported, output: written.tokens, total: undefined }
    const usage = withFlags(fromReport(partial, 'reported-partial'), flagsOf(answer, [written]))
    return withConfidence(usage, [written], answer.kept.scale)
  }
  const prompt = await countPrompt(answer, counter)
  const estimated = fromReport({ input: prompt.tokens, output: written.tokens }, 'estimated')
  const usage = withFlags(estimated, flagsOf(answer, [written, prompt]))
  return withConfidence(usage, [written, prompt], answer.kept.scale)
}

/** Figures as they are charged: whole numbers from 0, with a flag where they had to be bent. */
function fromReport(reported: ReportedUsage, basis: Usage['basis']): Usage {
  const { input, output, total, cacheRead, cacheWrite, reasoning, flags: stated = [] } = reported
  const flags: UsageFlag[] = [...stated]
  const least = Math.min(input ?? 0, output ?? 0, total ?? 0, cacheRead ?? 0, cacheWrite ?? 0, reasoning ?? 0)
  if (least < 0) flags.push('clamped-negative')
  if (exceeds(cacheRead, input) || exceeds(cacheWrite, input) || exceeds(reasoning, output))
    flags.push('subset-exceeds-whole')
  const inputTokens = clamped(input)
  const outputTokens = clamped(output)
  const cacheReadTokens = clamped(cacheRead)
  const cacheWriteTokens = clamped(cacheWrite)
  const reasoningTokens = clamped(reasoning)
  const sum =
    inputTokens === undefined && outputTokens === undefined ? undefined : (inputTokens ?? 0) + (outputTokens ?? 0)
  const totalTokens = clamped(total) ?? sum
  const usage = { basis, inputTokens, outputTokens, totalTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens }
  return withFlags({ ...usage, ...besideTokens(reported) }, flags)
}

/** Parts of the figures, and units that are no tokens; absent where nobody said. */
const BESIDE = [
  ['cacheWrite5m', 'cacheWrite5mTokens'],
  ['cacheWrite1h', 'cacheWrite1hTokens'],
  ['audioInput', 'audioInputTokens'],
  ['imageInput', 'imageInputTokens'],
  ['toolUseInput', 'toolUseInputTokens'],
  ['audioOutput', 'audioOutputTokens'],
  ['imageOutput', 'imageOutputTokens'],
  ['billedInput', 'billedInputTokens'],
  ['billedOutput', 'billedOutputTokens'],
  ['seconds', 'seconds'],
  ['images', 'images'],
  ['searches', 'searches'],
] as const satisfies readonly (readonly [keyof ReportedUsage, keyof Usage])[]
const NANOS_PER_DOLLAR = 1_000_000_000

function besideTokens(reported: ReportedUsage): Partial<Usage> {
  const usage: Partial<Record<(typeof BESIDE)[number][1], number>> = {}
  for (const [name, field] of BESIDE) {
    const figure = reported[name]
    if (figure !== undefined) usage[field] = wholeUnits(figure)
  }
  const { cost, serviceTier } = reported
  return {
    ...usage,
    // Rounded first, as a cost in dollars has no exact binary form.
    ...(cost === undefined ? {} : { reportedCostNanos: wholeUnits(Math.round(cost * NANOS_PER_DOLLAR)) }),
    ...(serviceTier === undefined ? {} : { serviceTier }),
  }
}

function withFlags(usage: Usage, flags: readonly UsageFlag[]): Usage {
  if (flags.length === 0) return usage
  const all = [...new Set([...(usage.flags ?? []), ...flags])]
  return { ...usage, flags: all }
}

function clamped(figure: number | undefined): number | undefined {
  return figure === undefined ? undefined : wholeUnits(figure)
}

function exceeds(part: number | undefined, whole: number | undefined): boolean {
  return part !== undefined && whole !== undefined && part > whole
}

function flagsOf({ kept }: EndedAnswer, counts: readonly TokenCount[]): UsageFlag[] {
  const flags: UsageFlag[] = []
  if (kept.scale > 1 || counts.some(({ isComplete }) => !isComplete)) flags.push('byte-bound')
  if (counts.some(({ isLowerBound }) => isLowerBound)) flags.push('lower-bound')
  return flags
}

/** What was counted is as sure as the least sure part of it. */
function withConfidence(usage: Usage, counts: readonly TokenCount[], scale: number): Usage {
  const all = counts.map(({ confidence }) => confidence)
  const confidence = scale > 1 || all.includes('low') ? 'low' : all.includes('medium') ? 'medium' : 'high'
  return { ...usage, confidence }
}

const NOTHING: TokenCount = { tokens: 0, bound: 0, isComplete: true, confidence: 'high', isLowerBound: false }

async function countOutput(
  { match, facts, requestBody, framing, reading, kept, isComplete }: EndedAnswer,
  counter: Counts,
): Promise<TokenCount> {
  if (kept.isEmpty || match.adapter.counts !== 'text') return NOTHING
  const count = await counter.count({
    kind: 'output',
    shape: match.adapter.usage,
    framing,
    body: kept.body,
    isCutOff: !isComplete,
    model: reading.model ?? facts.model,
    request: requestBody === undefined ? undefined : new Uint8Array(requestBody),
  })
  return { ...count, tokens: Math.round(count.tokens * kept.scale) }
}

async function countPrompt(
  { match, facts, reading, requestBody, requestBytes }: EndedAnswer,
  counter: Counts,
): Promise<TokenCount> {
  if (requestBody === undefined)
    return {
      ...NOTHING,
      tokens: Math.ceil(requestBytes / 4),
      bound: requestBytes,
      isComplete: false,
      confidence: 'low',
    }
  return counter.count({
    kind: 'prompt',
    shape: match.adapter.usage,
    body: new Uint8Array(requestBody),
    // A deployment's name says nothing; what answered says what it is.
    model: tokenFamily(facts.model).isKnown ? facts.model : (reading.model ?? facts.model),
  })
}
