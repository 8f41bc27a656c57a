import type { UsageFlag } from '@tallygate/core'
import { isRaw, known, type Raw, type ReportedUsage } from './reported-usage.ts'
import { USAGE_WORDS, type FigureName, type UsageWords, type WordsName } from './usage-words.ts'

/** xAI states costs in ticks, of which a US dollar has 10^10. */
const DOLLARS_PER_TICK = 1e-10

type Steps = readonly (readonly string[])[]
interface Words extends Omit<UsageWords, 'figures'> {
  readonly figures: readonly (readonly [name: FigureName, places: Steps])[]
}

const WORDS = new Map<string, Words>(
  Object.entries<UsageWords>(USAGE_WORDS).map(([name, words]) => {
    const figures = Object.entries(words.figures) as [FigureName, readonly string[]][]
    return [name, { ...words, figures: figures.map(([figure, places]) => [figure, places.map(steps)]) }]
  }),
)

function steps(place: string): readonly string[] {
  return place.split('.')
}

/**
 * Brings a provider's usage object to one meaning, figures as stated and not clamped. `undefined`: it states none.
 *
 * @param preferred The words of its place, where its members leave open which of several they are.
 */
export function readFigures(raw: Raw, preferred?: WordsName): ReportedUsage | undefined {
  const words = wordsOf(raw, preferred)
  if (words === undefined) return undefined
  const found: Partial<Record<FigureName, number>> = {}
  for (const [name, places] of words.figures) {
    const value = firstFigure(raw, places)
    if (value !== undefined) found[name] = value
  }
  if (Object.keys(found).length === 0) return undefined
  if (Array.isArray(raw['iterations'])) return summed(raw, preferred) ?? brought(raw, words, found)
  return brought(raw, words, found)
}

/** Whether an object has a member of any usage object. */
export function statesFigures(raw: Raw): boolean {
  return wordsOf(raw, undefined) !== undefined
}

function wordsOf(raw: Raw, preferred: WordsName | undefined): Words | undefined {
  for (const words of WORDS.values()) {
    if (!words.marks.some((mark) => isFigureOrHolder(raw[mark]))) continue
    // Anthropic and OpenAI name input and output alike; what is beside the input then tells them apart.
    if (preferred === 'anthropic' && words === WORDS.get('responses') && raw['input_tokens_details'] === undefined)
      return WORDS.get(preferred)
    return words
  }
  return undefined
}

function isFigureOrHolder(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'object' && value !== null)
}

/** Figures with parts added to their wholes where they stand beside them. */
function brought(raw: Raw, words: Words, found: Partial<Record<FigureName, number>>): ReportedUsage | undefined {
  const { input: statedInput, output: statedOutput, total, toolUseInput, ...parts } = found
  const none = (name: FigureName): number | undefined =>
    found[name] ?? (words.noneIfAbsent.includes(name) && isUnsaid(raw, words, name) ? 0 : undefined)
  const cacheRead = none('cacheRead')
  const cacheWrite = none('cacheWrite')
  const isCacheBeside = words.cache === 'beside' && statedInput !== undefined
  const input = known(statedInput, toolUseInput, ...(isCacheBeside ? [cacheRead, cacheWrite] : []))
  const output = none('output')
  if (input === undefined && statedOutput === undefined && onlyParts(found)) return undefined
  const usage = { ...parts, toolUseInput, input, output, total, cacheRead, cacheWrite, ...besides(raw) }
  return withTotal(usage, words)
}

/** Whether nothing is said, as against something that is no figure. */
function isUnsaid(raw: Raw, words: Words, name: FigureName): boolean {
  const places = words.figures.find(([figure]) => figure === name)?.[1] ?? []
  return places.every((place) => {
    const value = at(raw, place)
    return value === undefined || value === null
  })
}

/** Parts of a whole that is not stated say nothing of it. */
function onlyParts({
  total,
  seconds,
  searches,
  billedInput,
  billedOutput,
}: Partial<Record<FigureName, number>>): boolean {
  return [total, seconds, searches, billedInput, billedOutput].every((value) => value === undefined)
}

/** Holds the figures against the total that is stated, and says what had to be explained. */
function withTotal(usage: ReportedUsage, words: Words): ReportedUsage {
  const { total, reasoning, audioInput } = usage
  const beside = words.reasoning === 'beside' ? reasoning : undefined
  const input = usage.input
  const output = known(usage.output, beside)
  if (total === undefined) return { ...usage, output, total: known(input, output) }
  // A total is the input and what was written, where it does not say how much that is.
  if (output === undefined && input !== undefined && total >= input) return { ...usage, output: total - input, total }
  const gap = total - (input ?? 0) - (output ?? 0)
  if (gap === 0 || (input === undefined && output === undefined)) return { ...usage, output, total }
  if (beside !== undefined && gap === -beside) return { ...usage, output: usage.output, total }
  if (gap > 0 && beside === undefined && gap === reasoning)
    return { ...usage, output: (output ?? 0) + gap, total, flags: ['total-explained'] }
  if (gap > 0 && words.gap === 'output' && gap === audioInput)
    return { ...usage, input: (input ?? 0) + gap, output, total, flags: ['total-explained'] }
  const flags: readonly UsageFlag[] = [gap > 0 && words.gap === 'output' ? 'total-gap' : 'total-mismatch']
  return { ...usage, output: gap > 0 && words.gap === 'output' ? (output ?? 0) + gap : output, total, flags }
}

/**
 * Anthropic: runs before the answer (compaction) stand in `iterations` alone and not in the sums above them, so all are
 * summed where there is one of them.
 */
function summed(raw: Raw, preferred: WordsName | undefined): ReportedUsage | undefined {
  const iterations = (raw['iterations'] as readonly unknown[]).filter(isRaw)
  if (!iterations.some(({ type }) => type === 'compaction')) return undefined
  const each = iterations.map((iteration) =>
    readFigures({ ...iteration, iterations: undefined }, preferred ?? 'anthropic'),
  )
  const sum = sumOf(each.filter((usage) => usage !== undefined))
  if (sum === undefined) return undefined
  const whole = readFigures({ ...raw, iterations: undefined }, preferred ?? 'anthropic')
  const { searches, serviceTier, cost } = whole ?? {}
  return { ...sum, reasoning: whole?.reasoning, searches, serviceTier, cost, flags: ['iterations-summed'] }
}

/** Sum of what several objects state; what none of them states is absent. */
export function sumOf(all: readonly ReportedUsage[]): ReportedUsage | undefined {
  const [first, ...more] = all
  if (first === undefined) return undefined
  if (more.length === 0) return first
  const sum: Record<string, unknown> = {}
  for (const usage of all) {
    for (const [name, value] of Object.entries(usage)) {
      if (typeof value === 'number') sum[name] = ((sum[name] as number | undefined) ?? 0) + value
      else if (value !== undefined) sum[name] = Array.isArray(value) ? union(sum[name], value) : value
    }
  }
  return sum
}

function union(one: unknown, other: readonly unknown[]): readonly unknown[] {
  return [...new Set([...(Array.isArray(one) ? (one as readonly unknown[]) : []), ...other])]
}

/** What stands beside figures: cost in US dollars, and the class of service. */
export function besides(raw: Raw): Pick<ReportedUsage, 'cost' | 'serviceTier'> {
  const cost = costOf(raw)
  const tier = raw['service_tier'] ?? raw['serviceTier'] ?? raw['trafficType']
  return {
    ...(cost === undefined ? {} : { cost }),
    ...(typeof tier === 'string' ? { serviceTier: tier.slice(0, 64) } : {}),
  }
}

function costOf(raw: Raw): number | undefined {
  const ticks = raw['cost_in_usd_ticks']
  if (typeof ticks === 'number' && ticks >= 0) return ticks * DOLLARS_PER_TICK
  const cost = isRaw(raw['cost']) ? raw['cost']['total_cost'] : raw['cost']
  return typeof cost === 'number' && Number.isFinite(cost) && cost >= 0 ? cost : undefined
}

function firstFigure(raw: Raw, places: Steps): number | undefined {
  for (const place of places) {
    const value = at(raw, place)
    if (typeof value === 'number' && Number.isFinite(value)) return value
  }
  return undefined
}

/** A member by its path. A list of modalities is read as an object by their names, a list of results as their sum. */
function at(raw: Raw, path: readonly string[]): unknown {
  let value: unknown = raw
  for (const name of path) {
    if (isRaw(value)) value = Object.hasOwn(value, name) ? value[name] : undefined
    else if (Array.isArray(value)) return name === 'length' ? value.length : inList(value, name)
    else return undefined
  }
  return value
}

/** `[{modality, tokenCount}]` of Gemini, `[{modality, tokens}]` of Interactions, or any list with figures of that name. */
function inList(list: readonly unknown[], name: string): number | undefined {
  const figures = list.filter(isRaw).map((member) => {
    const value = member['modality'] === name ? (member['tokenCount'] ?? member['tokens']) : member[name]
    return typeof value === 'number' && Number.isFinite(value) ? value : undefined
  })
  return known(...figures)
}
