import type { Adapter } from './adapter.ts'
import { JsonPicker, type JsonPicks, type JsonPickTarget } from './json-picker.ts'
import { LongEventReader } from './long-event-reader.ts'
import { isRaw, type Raw, type ReportedUsage } from './reported-usage.ts'
import { sseDocuments } from './sse-event.ts'
import type { SseFramer, SseFrames } from './sse-framer.ts'
import { READ_USAGE, type UsageShape } from './usage-shapes.ts'

/** What a reader has learned of an answer so far. */
export interface UsageReading {
  /** The provider's figures; absent as long as it stated none. */
  readonly reported: ReportedUsage | undefined
  /** Whether the figures cover all output up to the event that stated them. */
  readonly coversOutput: boolean
  readonly model: string | undefined
  /** Whether the provider goes on after this answer, and will state what it used elsewhere. */
  readonly isPending: boolean
}

/** Members that can matter, whatever the shape. */
const PICKS: JsonPicks = {
  type: true,
  model: true,
  modelVersion: true,
  usage: true,
  usageMetadata: true,
  message: { model: true, usage: true },
  response: { model: true, usage: true },
  status: true,
  x_groq: { usage: true },
}

/** Bytes without which an event states no usage; with `isObject`, an object must follow them. */
const NEEDLES: Readonly<Record<UsageShape, { readonly bytes: Buffer; readonly isObject: boolean }>> = {
  'openai-chat': { bytes: Buffer.from('"usage"'), isObject: true },
  'openai-responses': { bytes: Buffer.from('"usage"'), isObject: true },
  anthropic: { bytes: Buffer.from('"usage"'), isObject: true },
  gemini: { bytes: Buffer.from('TokenCount"'), isObject: false },
}

/** The text in the last event of a stream, and the whole of that event's line. */
const TERMINALS: Readonly<Record<UsageShape, { readonly bytes: Buffer; readonly line: RegExp } | undefined>> = {
  'openai-chat': { bytes: Buffer.from('[DONE]'), line: /(?:^|[\r\n])data: ?\[DONE\]\s*$/ },
  'openai-responses': undefined,
  anthropic: {
    bytes: Buffer.from('message_stop'),
    line: /(?:^|[\r\n])(?:event: ?message_stop *[\r\n]|data: ?\{\s*"type"\s*:\s*"message_stop"\s*\}\s*$)/,
  },
  gemini: undefined,
}

const RESPONSES_END: ReadonlySet<unknown> = new Set(['response.completed', 'response.incomplete', 'response.failed'])

const MOST_PARSED_BYTES = 16_384
/** How far from its end a piece is looked at for the text of a {@link TERMINALS} event. */
const TAIL_BYTES = 192

/** Finds the usage of one answer in the documents it consists of: one body, or the data of each event. */
abstract class DocumentReader {
  readonly #shape: UsageShape
  #raw: Raw | undefined
  #model: string | undefined
  #coversOutput = false
  #isPending = false

  constructor(shape: UsageShape) {
    this.#shape = shape
  }

  protected get shape(): UsageShape {
    return this.#shape
  }

  get reading(): UsageReading {
    const reported = this.#raw === undefined ? undefined : READ_USAGE[this.#shape](this.#raw)
    return { reported, coversOutput: this.#coversOutput, model: this.#model, isPending: this.#isPending }
  }

  /** Takes what a document says. Returns whether it stated figures that cover all output so far. */
  protected absorb(document: Raw): boolean {
    const nested = this.#shape === 'anthropic' ? document['message'] : document['response']
    this.#absorbModel(document['model'] ?? document['modelVersion'] ?? (isRaw(nested) ? nested['model'] : undefined))
    const { status } = document
    if (this.#shape === 'openai-responses' && status !== undefined)
      this.#isPending = status === 'queued' || status === 'in_progress'
    switch (this.#shape) {
      case 'anthropic': {
        // The start of a message states its input, its deltas are cumulative: the last figure of each kind counts.
        const atStart = isRaw(nested) ? nested['usage'] : undefined
        const usage = document['usage']
        if (isRaw(atStart)) this.#merge(atStart)
        if (!isRaw(usage)) return false
        this.#merge(usage)
        break
      }
      case 'gemini': {
        const usage = document['usageMetadata']
        if (!isRaw(usage) || READ_USAGE.gemini(usage) === undefined) return false
        this.#raw = usage
        break
      }
      default: {
        const inside = isRaw(nested) ? nested : document['x_groq']
        const usage = document['usage'] ?? (isRaw(inside) ? inside['usage'] : undefined)
        if (!isRaw(usage)) return false
        this.#merge(usage)
      }
    }
    this.#coversOutput = true
    return true
  }

  #absorbModel(model: unknown): void {
    if (typeof model === 'string' && model !== '') this.#model = model.slice(0, 256)
  }

  #merge(usage: Raw): void {
    const merged: Record<string, unknown> = { ...this.#raw }
    for (const [name, value] of Object.entries(usage)) {
      if (value !== null && value !== undefined) merged[name] = value
    }
    this.#raw = merged
  }
}

/** Reads the usage of an answer that is one JSON document, or an array of them, as its bytes go by. */
export class JsonUsageReader extends DocumentReader implements JsonPickTarget {
  #picker: JsonPicker | undefined

  constructor({ usage }: Adapter) {
    super(usage)
  }

  /** Takes a body that is here as a whole: a small one is parsed, which is quicker than to look through it. */
  whole(body: Buffer): void {
    const document = body.length <= MOST_PARSED_BYTES ? parsed(body) : undefined
    if (document === undefined) return this.write(body)
    for (const each of Array.isArray(document) ? document : [document]) if (isRaw(each)) this.absorb(each)
  }

  /** Takes a member that the body has; for its own picker. */
  pick(path: string, value: unknown): void {
    this.absorb(nest(path, value))
  }

  write(chunk: Buffer): void {
    this.#picker ??= new JsonPicker(PICKS, this)
    this.#picker.write(chunk)
  }

  end(): void {
    this.#picker?.end()
  }
}

/** `undefined` for what is no JSON, as a whole. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}

/** What the reader found in a piece of an event stream. */
export interface SseFinding {
  /** Index in the events from which they belong to the stream's last one; -1: not there yet. */
  readonly terminalAt: number
  /** Whether these events state figures that cover all output so far. */
  readonly coversOutput: boolean
}

const NOTHING_FOUND: SseFinding = { terminalAt: -1, coversOutput: false }

/** Reads the usage of an event stream, parsing only events that can state some. */
export class SseUsageReader extends DocumentReader implements JsonPickTarget {
  readonly #framer: SseFramer
  #long: LongEventReader | undefined
  #isTerminalNext = false
  #longCoversOutput = false

  constructor({ usage }: Adapter, framer: SseFramer) {
    super(usage)
    this.#framer = framer
  }

  /** Takes what the framer made of a piece. */
  read({ events }: SseFrames): SseFinding {
    if (events.length === 0) return NOTHING_FOUND
    if (this.#framer.isInLongEvent || this.#long !== undefined) return this.#readLong(events)
    let terminalAt = terminalEvent(events, this.shape)
    if (!statesUsage(events, this.shape)) return terminalAt === -1 ? NOTHING_FOUND : { terminalAt, coversOutput: false }
    let coversOutput = false
    const candidate = NEEDLES[this.shape].bytes.toString('latin1')
    for (const document of sseDocuments(events.toString('utf8'), candidate)) {
      if (!isRaw(document)) continue
      if (this.absorb(document)) coversOutput = true
      if (RESPONSES_END.has(document['type'])) terminalAt = lastEvent(events)
    }
    return { terminalAt, coversOutput }
  }

  /** Takes what is left at the end of a stream that does not end in a blank line. */
  end(rest: Buffer): void {
    for (const document of sseDocuments(rest.toString('utf8'))) if (isRaw(document)) this.absorb(document)
  }

  /** Takes a member of a long event; for its own picker. */
  pick(path: string, value: unknown): void {
    if (this.absorb(nest(path, value))) this.#longCoversOutput = true
    if (path === 'type') this.#isTerminalNext = RESPONSES_END.has(value)
  }

  #readLong(events: Buffer): SseFinding {
    this.#longCoversOutput = false
    this.#long ??= new LongEventReader(PICKS, this)
    this.#long.write(events)
    const coversOutput = this.#longCoversOutput
    if (this.#framer.isInLongEvent) return { terminalAt: -1, coversOutput }
    this.#long = undefined
    // Only the end of a long event can be kept back: its beginning has gone by.
    const terminalAt = this.#isTerminalNext ? 0 : terminalEvent(events, this.shape)
    this.#isTerminalNext = false
    return { terminalAt, coversOutput }
  }
}

/** `a.b` and a value as `{a: {b: value}}`. */
function nest(path: string, value: unknown): Raw {
  const dot = path.indexOf('.')
  return dot === -1 ? { [path]: value } : { [path.slice(0, dot)]: nest(path.slice(dot + 1), value) }
}

/** Whether whole events hold a member by which they could state usage. */
function statesUsage(events: Buffer, shape: UsageShape): boolean {
  const { bytes, isObject } = NEEDLES[shape]
  for (let found = events.indexOf(bytes); found !== -1; found = events.indexOf(bytes, found + bytes.length)) {
    if (!isObject) return true
    let at = found + bytes.length
    while (isGap(events[at])) at += 1
    if (events[at] === 0x7b) return true
  }
  return false
}

/** White space or the colon between a name and its value. */
function isGap(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x3a || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Where the last of whole events begins, if it is the one that ends streams of this shape; else -1. */
function terminalEvent(events: Buffer, shape: UsageShape): number {
  const terminal = TERMINALS[shape]
  if (terminal === undefined) return -1
  const tail = events.length > TAIL_BYTES ? events.subarray(events.length - TAIL_BYTES) : events
  if (!tail.includes(terminal.bytes)) return -1
  const at = lastEvent(events)
  return terminal.line.test(events.toString('latin1', at)) ? at : -1
}

/** Index at which the last of whole events begins. */
function lastEvent(events: Buffer): number {
  let end = events.length
  while (end > 0 && (events[end - 1] === 0x0a || events[end - 1] === 0x0d)) end -= 1
  for (let at = end - 1; at > 0; at -= 1) {
    const isBlank =
      events[at] === 0x0a && (events[at - 1] === 0x0a || (events[at - 1] === 0x0d && events[at - 2] === 0x0a))
    if (isBlank || (events[at] === 0x0d && events[at - 1] === 0x0d)) return at + 1
  }
  return 0
}
