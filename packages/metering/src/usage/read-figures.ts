import type { UsageFlag } from '@tallygate/core'
import { isRaw, known, type Raw, type ReportedUsage } from './reported-usage.ts'
import { USAGE_WORDS, type FigureName, type UsageWords, type WordsName } from './usage-words.ts'

/** xAI states costs in ticks, of which a US dollar has 10^10. */
const DOLLARS_PER_TICK = 1e-10

type Steps = readonly (readonly string[])[]
type Found = { -readonly [name in keyof ReportedUsage]: ReportedUsage[name] }
interface Words extends Omit<UsageWords, 'figures'> {
  readonly figures: readonly (readonly [name: FigureName, places: Steps])[]
}

const NAMES = Object.keys(USAGE_WORDS) as WordsName[]
const WORDS: readonly Words[] = Object.values<UsageWords>(USAGE_WORDS).map((words) => {
  const figures = Object.entries(words.figures) as [FigureName, readonly string[]][]
  return { ...words, figures: figures.map(([name, places]) => [name, places.map((place) => place.split('.'))]) }
})
const RESPONSES = NAMES.indexOf('responses')
/** By each mark, the place of its words among all: objects are looked through once, not once for each words. */
const MARKS = new Map<string, number>()
for (const [at, { marks }] of WORDS.entries()) for (const mark of marks) if (!MARKS.has(mark)) MARKS.set(mark, at)

/**
 * Brings a provider's usage object to one meaning, figures as stated and not clamped. `undefined`: it states none.
 *
 * @param preferred The words of its place, where its members leave open which of several they are.
 */
export function readFigures(raw: Raw, preferred?: WordsName): ReportedUsage | undefined {
  const words = wordsOf(raw, preferred)
  if (words === undefined) return undefined
  const found: Found = {}
  let isFound = false
  for (const [name, places] of words.figures) {
    const value = firstFigure(raw, places)
    if (value === undefined) continue
    found[name] = value
    isFound = true
  }
  if (!isFound) return undefined
  const usage = brought(raw, words, found)
  const runs = usage && runsOf(raw, usage, preferred)
  return runs === undefined ? usage : { ...usage, runs }
}

/** Whether an object has a member of any usage object. */
export function statesFigures(raw: Raw): boolean {
  for (const name in raw) if (MARKS.has(name) && isFigureOrHolder(raw[name])) return true
  return false
}

function wordsOf(raw: Raw, preferred: WordsName | undefined): Words | undefined {
  let first = WORDS.length
  for (const name in raw) {
    const at = MARKS.get(name)
    if (at !== undefined && at < first && isFigureOrHolder(raw[name])) first = at
  }
  // Anthropic and OpenAI name input and output alike; what is beside the input then tells them apart.
  if (first === RESPONSES && preferred === 'anthropic' && raw['input_tokens_details'] === undefined)
    first = NAMES.indexOf(preferred)
  return WORDS[first]
}

function isFigureOrHolder(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'object' && value !== null)
}

/** Figures with parts added to their wholes where they stand beside them. Takes `found` for the result. */
function brought(raw: Raw, words: Words, found: Found): ReportedUsage | undefined {
  const isOutputStated = found.output !== undefined
  for (const name of words.noneIfAbsent) if (found[name] === undefined && isUnsaid(raw, words, name)) found[name] = 0
  if (words.cache === 'beside' && found.input !== undefined)
    found.input += (found.cacheRead ?? 0) + (found.cacheWrite ?? 0)
  if (found.toolUseInput !== undefined) found.input = (found.input ?? 0) + found.toolUseInput
  if (found.input === undefined && !isOutputStated && onlyParts(found)) return undefined
  addBesides(found, raw)
  addTotal(found, words)
  return found
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
function onlyParts({ total, seconds, searches, billedInput, billedOutput }: Found): boolean {
  return [total, seconds, searches, billedInput, billedOutput].every((figure) => figure === undefined)
}

/** Holds the figures against the total that is stated, and says what had to be explained. */
function addTotal(found: Found, words: Words): void {
  const { input, total, reasoning, audioInput } = found
  const stated = found.output
  const beside = words.reasoning === 'beside' && reasoning !== undefined ? reasoning : 0
  const output = stated === undefined && beside === 0 ? undefined : (stated ?? 0) + beside
  found.output = output
  if (total === undefined) {
    if (input !== undefined || output !== undefined) found.total = (input ?? 0) + (output ?? 0)
    return
  }
  // A total is the input and what was written, where it does not say how much that is.
  if (output === undefined) {
    if (input !== undefined && total >= input) found.output = total - input
    return
  }
  const gap = total - (input ?? 0) - output
  if (gap === 0) return
  if (beside !== 0 && gap === -beside) found.output = stated
  else if (gap > 0 && beside === 0 && gap === reasoning) explain(found, 'output', gap, 'total-explained')
  else if (gap > 0 && words.gap === 'output' && gap === audioInput) explain(found, 'input', gap, 'total-explained')
  else if (gap > 0 && words.gap === 'output') explain(found, 'output', gap, 'total-gap')
  else found.flags = ['total-mismatch']
}

function explain(found: Found, name: 'input' | 'output', gap: number, flag: UsageFlag): void {
  found[name] = (found[name] ?? 0) + gap
  found.flags = [flag]
}

/**
 * Anthropic: what ran beside the answer (compaction of the conversation, an advisor's model) stands in `iterations` alone
 * and not in the sums above them. Absent where the sums have it all. Source: Anthropic documentation, compaction.
 */
function runsOf(raw: Raw, whole: ReportedUsage, preferred: WordsName | undefined): ReportedUsage | undefined {
  const { iterations } = raw
  if (!Array.isArray(iterations)) return undefined
  const each = iterations
    .filter(isRaw)
    .map((iteration) => readFigures({ ...iteration, iterations: undefined }, preferred ?? 'anthropic'))
  const sum = sumOf(each.filter((usage) => usage !== undefined))
  if (sum === undefined || (sum.total ?? 0) <= (whole.total ?? 0)) return undefined
  const { reasoning, searches, serviceTier, cost } = whole
  return { ...sum, reasoning, searches, serviceTier, cost, flags: ['iterations-summed'] }
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
  return addBesides({}, raw)
}

function addBesides(found: Found, raw: Raw): Found {
  const cost = costOf(raw)
  const tier = raw['service_tier'] ?? raw['serviceTier'] ?? raw['trafficType']
  if (cost !== undefined) found.cost = cost
  if (typeof tier === 'string') found.serviceTier = tier.slice(0, 64)
  return found
}

function costOf(raw: Raw): number | undefined {
  const ticks = raw['cost_in_usd_ticks']
  if (typeof ticks === 'number' && ticks >= 0) return ticks * DOLLARS_PER_TICK
  const cost = isRaw(raw['cost']) ? raw['cost']['total_cost'] : raw['cost']
  return typeof cost === 'number' && Number.isFinite(cost) && cost >= 0 ? cost : undefined
}

function firstFigure(raw: Raw, places: Steps): number | undefined {
  for (const place of places) {
    const value = place.length === 1 ? raw[place[0]!] : at(raw, place)
    if (typeof value === 'number' && Number.isFinite(value)) return value
  }
  return undefined
}

/** A member by its path. A list of modalities is read as an object by their names, a list of results as their sum. */
function at(raw: Raw, path: readonly string[]): unknown {
  let value: unknown = raw
  for (const name of path) {
    if (isRaw(value)) value = value[name]
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
