import type { JsonPickTarget } from '../framing/json-picker.ts'
import { besides, mayStateInput, readFigures, statesFigures, sumOf } from './read-figures.ts'
import { isRaw, type Raw, type ReportedUsage } from './reported-usage.ts'
import { asInput, USAGE_SHAPES, type ShapeRow, type PlaceRow, type UsageShape, type UsageTake } from './usage-shapes.ts'
import type { WordsName } from './usage-words.ts'

/** What a reader has learned of an answer so far. */
export interface UsageReading {
  /** The provider's figures; absent as long as it stated none. */
  readonly reported: ReportedUsage | undefined
  /** Whether the figures cover all output up to the event that stated them. */
  readonly coversOutput: boolean
  readonly model: string | undefined
  /** Whether the provider goes on after this answer, and will state what it used elsewhere. */
  readonly isPending: boolean
  /** Whether part of the answer was damaged on its way, so that figures may be missing. */
  readonly isDamaged?: boolean
  /** What the answer shows without stating it as usage: images in it, length of its audio, its cost; absent if nothing. */
  readonly shown?: ReportedUsage | undefined
  /** The provider's own object, figures and names as they were merged; the last one where objects are added. */
  readonly raw?: Raw | undefined
}

/** Gives the value of a header by its name in lower case. */
export type HeaderValue = (name: string) => unknown

/** Figures of one rank: merged objects, or the sum of objects that were read one by one. */
interface Found {
  readonly raw: Raw
  readonly words: WordsName | undefined
  readonly sum: ReportedUsage | undefined
}

/** Headers that state usage. Sources: Amazon Bedrock user guide, InvokeModel; Text Generation Inference. */
const HEADERS = [
  { name: 'x-amzn-bedrock-input-token-count', member: 'inputTokenCount' },
  { name: 'x-amzn-bedrock-output-token-count', member: 'outputTokenCount' },
  { name: 'x-amzn-bedrock-cache-read-input-token-count', member: 'cacheReadInputTokenCount' },
  { name: 'x-amzn-bedrock-cache-write-input-token-count', member: 'cacheWriteInputTokenCount' },
  { name: 'x-prompt-tokens', member: 'input_token_count' },
  { name: 'x-generated-tokens', member: 'output_token_count' },
] as const
/** Below what a model's own words and its host's say, above the other truth of Cohere. */
const HEADER_RANK = 3
const MOST_MODEL_CHARACTERS = 256
const MOST_TEXT_CHARACTERS = 64
const MOST_ELEMENTS = 1_024

/**
 * Finds the usage of one answer in the documents it consists of: one body, the data of each event, each line, frame or
 * message. Keeps figures only, so that its memory does not grow with the answer.
 */
export class UsageCollector implements JsonPickTarget {
  readonly shape: UsageShape
  readonly #row: ShapeRow
  readonly #found: (Found | undefined)[] = []
  #reported: ReportedUsage | undefined
  #raw: Raw | undefined
  #isRead = true
  #model: string | undefined
  #tier: string | undefined
  #coversOutput = false
  #isPending = false
  #images = 0
  #seconds: number | undefined
  #cost: number | undefined

  constructor(shape: UsageShape) {
    this.shape = shape
    this.#row = USAGE_SHAPES[shape]
  }

  /** As in {@link reading}. */
  get reported(): ReportedUsage | undefined {
    if (!this.#isRead) this.#read()
    return this.#reported
  }

  /** As in {@link reading}. */
  get coversOutput(): boolean {
    return this.#coversOutput
  }

  /** As in {@link reading}. */
  get model(): string | undefined {
    return this.#model
  }

  /** Whether an input can be among the figures, so that it is worth reading them for one. */
  get mayStateInput(): boolean {
    for (const found of this.#found)
      if (found !== undefined && (found.sum !== undefined || mayStateInput(found.raw))) return true
    return this.#row.isInputOnly
  }

  get reading(): UsageReading {
    return {
      reported: this.reported,
      coversOutput: this.#coversOutput,
      model: this.#model,
      isPending: this.#isPending,
      shown: this.#shown(),
      raw: this.#raw,
    }
  }

  /** Takes what a document says. Returns whether it stated figures that cover all output so far. */
  absorb(document: Raw): boolean {
    this.#absorbNames(document)
    const { blocked, places } = this.#row
    const isBlocked = blocked !== undefined && document[blocked[0]] === blocked[1]
    let covers = false
    let rank = Infinity
    for (const place of places) {
      if (place.rank > rank || (isBlocked && place.path === '')) continue
      const value = place.steps.length === 1 ? document[place.steps[0]!] : walk(document, place.steps, 0)
      if (value === undefined || value === null || !this.#take(place, value)) continue
      // Some state the same figures in two places of one document: sums take one of them.
      if (place.take === 'sum') return this.#covered()
      rank = place.rank
      if (place.isHead !== true) covers = true
    }
    return covers ? this.#covered() : false
  }

  /** Takes a member of a document, as a picker finds it. Returns as {@link absorb}. */
  pick(path: string, value: unknown): boolean {
    if (path.includes('[]')) return this.#pickEach(path, value)
    const document = nest(path, value)
    this.#absorbNames(document)
    const { blocked, places, own } = this.#row
    if (path === 'data' && typeof value === 'number') this.#images += value
    if (blocked !== undefined && path === blocked[0] && value === blocked[1]) this.#dropOwn()
    let covers = false
    for (const place of places) {
      const isOwn = place.path === '' && own.includes(path)
      // A part of figures that stand beside it.
      if (isOwn && !statesFigures(document)) this.#put(place.rank, ownOf(document, own), place.words, 'merge')
      if ((isOwn || place.path === path) && this.#take(place, isOwn ? document : value))
        covers ||= place.isHead !== true
    }
    return covers ? this.#covered() : false
  }

  /** Takes the headers of an answer, some of which state usage. */
  absorbHeaders(header: HeaderValue): void {
    const stated: Record<string, number> = {}
    for (const { name, member } of HEADERS) {
      const value = header(name)
      if (typeof value === 'string' && /^\d{1,15}$/.test(value)) stated[member] = Number(value)
    }
    if (Object.keys(stated).length === 0) return
    this.#put(HEADER_RANK, stated, undefined, 'merge')
    this.#covered()
  }

  /** A member of the elements of an array: a usage object in each, or a figure. */
  #pickEach(path: string, value: unknown): boolean {
    const { places } = this.#row
    const place = places.find((each) => each.path === path)
    if (place !== undefined) return this.#take({ ...place, take: place.take ?? 'sum' }, value) && this.#covered()
    if (typeof value !== 'number') return false
    const end = path.lastIndexOf('[]') + 2
    const name = path.slice(end + 1)
    const list = places.find((each) => each.path === path.slice(0, end))
    if (list !== undefined) return this.#take(list, { [name]: value }) && this.#covered()
    // A list among the document's own figures: summed as it goes by.
    const own = places.find((each) => each.path === '')
    if (own === undefined) return false
    const member = path.slice(0, path.indexOf('.'))
    const before = this.#found[own.rank ?? 0]?.raw[member]
    const first: unknown = Array.isArray(before) ? before[0] : undefined
    const sum = value + (isRaw(first) && typeof first[name] === 'number' ? first[name] : 0)
    this.#put(own.rank ?? 0, { [member]: [{ [name]: sum }] }, own.words, 'merge')
    return this.#covered()
  }

  /** Takes what stands in a place. Returns whether figures do. */
  #take(place: PlaceRow, value: unknown): boolean {
    if (Array.isArray(value)) return this.#takeList(place, value)
    if (!isRaw(value)) return false
    const raw = place.path === '' ? ownOf(value, this.#row.own) : value
    if (statesFigures(raw)) {
      this.#put(place.rank, raw, place.words, place.take ?? 'merge')
      return true
    }
    this.#cost = besides(raw).cost ?? this.#cost
    return false
  }

  #takeList(place: PlaceRow, values: readonly unknown[]): boolean {
    let isStated = false
    for (const value of values) {
      if (!isRaw(value) || !statesFigures(value)) continue
      this.#put(place.rank, value, place.words, place.take ?? 'sum')
      isStated = true
    }
    return isStated
  }

  #put(rank: number, raw: Raw, words: WordsName | undefined, take: UsageTake): void {
    const before = this.#found[rank]
    this.#isRead = false
    if (take === 'sum') {
      const stated = keepFigures({}, raw)
      const all = [before?.sum, readFigures(stated, words)].filter((each) => each !== undefined)
      this.#found[rank] = { raw: stated, words, sum: sumOf(all) }
    } else if (take === 'replace' || before === undefined) {
      this.#found[rank] = { raw: isClean(raw) ? raw : keepFigures({}, raw), words, sum: undefined }
    } else this.#found[rank] = { ...before, raw: keepFigures({ ...before.raw }, raw, take === 'max') }
  }

  /** Forgets what a document has said of itself. */
  #dropOwn(): void {
    const own = this.#row.places.find(({ path }) => path === '')
    if (own !== undefined) this.#found[own.rank ?? 0] = undefined
    this.#isRead = false
  }

  #covered(): true {
    this.#coversOutput = true
    return true
  }

  #read(): void {
    this.#isRead = true
    this.#reported = undefined
    for (const found of this.#found) {
      const usage = found && asInput(found.sum ?? readFigures(found.raw, found.words), this.#row.isInputOnly)
      if (usage === undefined) continue
      this.#raw = found?.raw
      this.#reported = usage.serviceTier === undefined && this.#tier !== undefined ? this.#withTier(usage) : usage
      return
    }
  }

  #withTier(usage: ReportedUsage): ReportedUsage {
    return { ...usage, serviceTier: this.#tier }
  }

  #shown(): ReportedUsage | undefined {
    if (this.#images === 0 && this.#seconds === undefined && this.#cost === undefined) return undefined
    return { images: this.#images === 0 ? undefined : this.#images, seconds: this.#seconds, cost: this.#cost }
  }

  #absorbNames(document: Raw): void {
    const { shape } = this
    const nested = shape === 'anthropic' ? document['message'] : (document['response'] ?? document['message'])
    const model = document['model'] ?? document['modelVersion'] ?? modelIn(nested) ?? modelIn(this.#holder(document))
    if (typeof model === 'string' && model !== '') this.#model = model.slice(0, MOST_MODEL_CHARACTERS)
    if (shape === 'openai-responses' || shape === 'interactions') this.#absorbStatus(document)
    const tier = document['service_tier'] ?? (isRaw(nested) ? nested['service_tier'] : undefined)
    if (typeof tier === 'string' && tier !== 'auto') {
      this.#tier = tier.slice(0, MOST_TEXT_CHARACTERS)
      this.#isRead = false
    }
    if (shape === 'media') this.#absorbMedia(document)
  }

  /** What else can name the model. */
  #holder(document: Raw): unknown {
    if (this.shape === 'realtime') return document['session']
    return this.shape === 'interactions' ? document['interaction'] : undefined
  }

  #absorbStatus({ event_type: event, status }: Raw): void {
    // What an event says of its status is of that moment: its stream goes on.
    if (event === undefined && typeof status === 'string')
      this.#isPending = status === 'queued' || status === 'in_progress'
  }

  #absorbMedia({ data, type, duration }: Raw): void {
    if (Array.isArray(data)) this.#images += data.length
    if (type === 'image_generation.completed' || type === 'image_edit.completed') this.#images += 1
    // Old answers write the number as a text.
    const seconds = typeof duration === 'string' ? Number.parseFloat(duration) : duration
    if (typeof seconds === 'number' && seconds > 0 && seconds < Infinity) this.#seconds = seconds
  }
}

function modelIn(value: unknown): unknown {
  return isRaw(value) ? (value['model'] ?? value['modelVersion']) : undefined
}

/** A member by its path from the top, `null` taken for absent; of an array, what its elements have. */
function walk(value: unknown, steps: readonly string[], from: number): unknown {
  let found = value
  for (let at = from; at < steps.length; at += 1) {
    if (steps[at] === '[]') {
      return Array.isArray(found) ? found.map((element) => walk(element, steps, at + 1)) : undefined
    }
    if (!isRaw(found)) return undefined
    found = found[steps[at]!]
  }
  return found ?? undefined
}

/** Members that are figures, of a document that is its own usage object: never its texts. */
function ownOf(document: Raw, names: readonly string[]): Raw {
  const own: Record<string, unknown> = {}
  for (const name of names) if (Object.hasOwn(document, name)) own[name] = figuresOnly(document[name])
  return own
}

/** A number, those in an object, and those in the objects of a list. */
function figuresOnly(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, MOST_ELEMENTS).map(figuresOnly)
  if (!isRaw(value)) return typeof value === 'number' ? value : undefined
  return Object.fromEntries(Object.entries(value).filter(([, member]) => typeof member === 'number'))
}

/**
 * Adds members to those that are kept: without those that are null, which a stream writes in place of figures that it has
 * stated, and without texts.
 *
 * @param isLarger Of two figures the larger is kept, not the later.
 */
function keepFigures(kept: Record<string, unknown>, raw: Raw, isLarger = false): Record<string, unknown> {
  for (const name in raw) {
    const value = raw[name]
    if (!isKept(name, value)) continue
    const before = kept[name]
    const isLess = isLarger && typeof before === 'number' && typeof value === 'number' && value < before
    if (!isLess) kept[name] = value
  }
  return kept
}

/** Whether all members of an object are kept, so that it needs no copy. */
function isClean(raw: Raw): boolean {
  for (const name in raw) if (!isKept(name, raw[name])) return false
  return true
}

function isKept(name: string, value: unknown): boolean {
  if (value === null || value === undefined || name === '__proto__') return false
  return typeof value !== 'string' || value.length <= MOST_TEXT_CHARACTERS
}

/** `a.b` and a value as `{a: {b: value}}`. */
function nest(path: string, value: unknown): Raw {
  const dot = path.indexOf('.')
  return dot === -1 ? { [path]: value } : { [path.slice(0, dot)]: nest(path.slice(dot + 1), value) }
}
