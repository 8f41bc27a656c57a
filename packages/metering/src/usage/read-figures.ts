import type { UsageFlag } from '@tallygate/core'
import { isRaw, type Raw, type ReportedUsage } from './reported-usage.ts'
import { USAGE_WORDS, type FigureName, type UsageWords, type WordsName } from './usage-words.ts'

/** xAI states costs in ticks, of which a US dollar has 10^10. */
const DOLLARS_PER_TICK = 1e-10

type Found = { -readonly [name in keyof ReportedUsage]: ReportedUsage[name] }
/** A figure that a member states, and how many members come before this one that can. */
interface Place {
  readonly name: FigureName
  readonly order: number
  /** No other member can state it. */
  readonly isOnly: boolean
}
/** What a member of a usage object is: a figure, or what holds some. */
interface Entry {
  /** What it states. Of several members that state one figure, the first in its words counts. */
  readonly figures: Place[]
  inside?: Map<string, Entry>
}
interface Words extends UsageWords {
  readonly entries: ReadonlyMap<string, Entry>
}

const NAMES = Object.keys(USAGE_WORDS) as WordsName[]
const WORDS: readonly Words[] = Object.values<UsageWords>(USAGE_WORDS).map((words) => {
  return { ...words, entries: entriesOf(words) }
})
const RESPONSES = NAMES.indexOf('responses')
/** By each mark, the place of its words among all: objects are looked through once, not once for each words. */
const MARKS = new Map<string, number>()
for (const [at, { marks }] of WORDS.entries()) for (const mark of marks) if (!MARKS.has(mark)) MARKS.set(mark, at)

/** What an input is told by, or explained by. */
const INPUT_FIGURES = ['input', 'toolUseInput', 'audioInput'] as const
/** Members of which one is in each object that tells an input, whatever its words. */
const INPUT_MEMBERS = new Set(
  Object.values<UsageWords>(USAGE_WORDS).flatMap(({ figures, marks, noneIfAbsent }) => [
    ...INPUT_FIGURES.flatMap((name) => (figures[name] ?? []).map((place) => place.split('.')[0]!)),
    ...(noneIfAbsent.includes('input') ? marks : []),
  ]),
)

/** Whether an object can state an input: costs a part of reading it. */
export function mayStateInput(raw: Raw): boolean {
  for (const name in raw) if (INPUT_MEMBERS.has(name)) return true
  return false
}

/**
 * Brings a provider's usage object to one meaning, figures as stated and not clamped. `undefined`: it states none.
 *
 * @param preferred The words of its place, where its members leave open which of several they are.
 */
export function readFigures(raw: Raw, preferred?: WordsName): ReportedUsage | undefined {
  const words = wordsOf(raw, preferred)
  if (words === undefined) return undefined
  const found: Found = {}
  if (!collect(raw, words.entries, found, {})) return undefined
  const usage = brought(raw, words, found)
  const runs = usage && runsOf(raw, usage, preferred)
  return runs === undefined ? usage : { ...usage, runs }
}

function entriesOf({ figures }: UsageWords): Map<string, Entry> {
  const entries = new Map<string, Entry>()
  for (const [figure, places] of Object.entries(figures) as [FigureName, readonly string[]][]) {
    for (const [order, place] of places.entries()) {
      let inside = entries
      const steps = place.split('.')
      for (const [at, step] of steps.entries()) {
        const entry = inside.get(step) ?? { figures: [] }
        inside.set(step, entry)
        if (at === steps.length - 1) entry.figures.push({ name: figure, order, isOnly: places.length === 1 })
        else inside = entry.inside ??= new Map()
      }
    }
  }
  return entries
}

/** Takes the figures that an object states, in one look at its members. Returns whether there are any. */
function collect(
  raw: Raw,
  entries: ReadonlyMap<string, Entry>,
  found: Found,
  orders: Partial<Record<FigureName, number>>,
): boolean {
  let isFound = false
  for (const name in raw) {
    const entry = entries.get(name)
    if (entry === undefined) continue
    const { figures, inside } = entry
    const value = raw[name]
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) continue
      for (const { name: figure, order, isOnly } of figures) {
        isFound = true
        if (!isOnly && order > (orders[figure] ?? order)) continue
        found[figure] = value
        if (!isOnly) orders[figure] = order
      }
    } else if (inside !== undefined && typeof value === 'object' && value !== null) {
      const members = Array.isArray(value) ? inList(value, inside) : (value as Raw)
      if (collect(members, inside, found, orders)) isFound = true
    }
  }
  return isFound
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
function isUnsaid(raw: Raw, { figures }: Words, name: FigureName): boolean {
  return (figures[name] ?? []).every((place) => (raw[place] ?? null) === null)
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

/** A list of modalities (Gemini) as an object by their names, one of results as their sum; and its length. */
function inList(list: readonly unknown[], names: ReadonlyMap<string, Entry>): Raw {
  const object: Record<string, number> = {}
  if (names.has('length')) object['length'] = list.length
  for (const member of list) {
    if (!isRaw(member)) continue
    const { modality } = member
    const named = typeof modality === 'string' ? { [modality]: member['tokenCount'] ?? member['tokens'] } : member
    for (const name of names.keys()) {
      const value = named[name]
      if (typeof value === 'number' && Number.isFinite(value)) object[name] = (object[name] ?? 0) + value
    }
  }
  return object
}
