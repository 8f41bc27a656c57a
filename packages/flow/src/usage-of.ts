import { wholeUnits, type Usage, type UsageFlag } from '@tallygate/core'
import type {
  AdapterMatch,
  Framing,
  KeptOutput,
  RequestFacts,
  ReportedUsage,
  TokenCount,
  TokenCounter,
  UsageReading,
} from '@tallygate/metering'

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

/** Models that think without showing it: what they wrote is less than what they used. */
const REASONING = /(?:^|[/:])(?:o[1-9]|gpt-5)/

/** The figures of an answer: its provider's where it stated them, counted from the text where it did not; absent if unknown. */
export function usageOf(answer: EndedAnswer, counter: TokenCounter): Usage | Promise<Usage> | undefined {
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

async function countedUsage(answer: EndedAnswer, counter: TokenCounter): Promise<Usage> {
  const { coversOutput } = answer.reading
  const reported = chargedOf(answer.reading)
  const written = await countOutput(answer, counter)
  if (reported !== undefined && coversOutput) {
    if (written.tokens === 0) return fromReport(reported, 'reported')
    return fromReport(
      { ...reported, output: (reported.output ?? 0) + written.tokens, total: undefined },
      'reported-partial',
    )
  }
  if (reported?.input !== undefined) {
    const partial = { ...reported, output: written.tokens, total: undefined }
    return withFlags(fromReport(partial, 'reported-partial'), flagsOf(answer, [written]))
  }
  const prompt = await countPrompt(answer, counter)
  const estimated = fromReport({ input: prompt.tokens, output: written.tokens }, 'estimated')
  return withFlags(estimated, flagsOf(answer, [written, prompt]))
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

function flagsOf({ facts, kept, reading }: EndedAnswer, counts: readonly TokenCount[]): UsageFlag[] {
  const flags: UsageFlag[] = []
  if (kept.scale > 1 || counts.some(({ isComplete }) => !isComplete)) flags.push('byte-bound')
  if (REASONING.test((reading.model ?? facts.model ?? '').toLowerCase())) flags.push('lower-bound')
  return flags
}

async function countOutput(
  { match, facts, framing, reading, kept }: EndedAnswer,
  counter: TokenCounter,
): Promise<TokenCount> {
  if (kept.isEmpty || match.adapter.counts !== 'text') return { tokens: 0, bound: 0, isComplete: true }
  const model = reading.model ?? facts.model
  const count = await counter.count({ kind: 'output', shape: match.adapter.usage, framing, body: kept.body, model })
  return { ...count, tokens: Math.round(count.tokens * kept.scale) }
}

async function countPrompt(
  { match, facts, requestBody, requestBytes }: EndedAnswer,
  counter: TokenCounter,
): Promise<TokenCount> {
  if (requestBody === undefined) return { tokens: Math.ceil(requestBytes / 4), bound: requestBytes, isComplete: false }
  return counter.count({
    kind: 'prompt',
    shape: match.adapter.usage,
    body: new Uint8Array(requestBody),
    model: facts.model,
  })
}
