import { JsonPicker, type JsonPickTarget } from '../framing/json-picker.ts'
import { LongEventReader } from '../framing/long-event-reader.ts'
import { sseDocuments } from '../framing/sse-event.ts'
import type { SseFramer, SseFrames } from '../framing/sse-framer.ts'
import type { Adapter } from '../table/operation-table.ts'
import { isRaw, type Raw } from './reported-usage.ts'
import { UsageCollector, type UsageReading } from './usage-collector.ts'
import { USAGE_SHAPES, type Needle, type UsageShape } from './usage-shapes.ts'

/** Reads one answer as it passes. */
interface UsageReader {
  readonly reading: UsageReading
}

const MOST_PARSED_BYTES = 16_384
/** How far from its end a piece is looked at for the text of a stream's last event. */
const TAIL_BYTES = 192

/** Reads the usage of an answer that is one JSON document, or an array of them, as its bytes go by. */
export class JsonUsageReader implements UsageReader {
  readonly #collector: UsageCollector
  #picker: JsonPicker | undefined

  constructor({ usage }: Adapter) {
    this.#collector = new UsageCollector(usage)
  }

  get reading(): UsageReading {
    return this.#collector.reading
  }

  /** Takes a body that is here as a whole: a small one is parsed, which is quicker than to look through it. */
  whole(body: Buffer): void {
    const document = body.length <= MOST_PARSED_BYTES ? parsed(body) : undefined
    if (document === undefined) return this.write(body)
    for (const each of Array.isArray(document) ? document : [document]) if (isRaw(each)) this.#collector.absorb(each)
  }

  write(chunk: Buffer): void {
    this.#picker ??= new JsonPicker(USAGE_SHAPES[this.#collector.shape].picks, this.#collector)
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
export class SseUsageReader implements UsageReader, JsonPickTarget {
  readonly #collector: UsageCollector
  readonly #framer: SseFramer
  #long: LongEventReader | undefined
  #isTerminalNext = false
  #longCoversOutput = false

  constructor({ usage }: Adapter, framer: SseFramer) {
    this.#collector = new UsageCollector(usage)
    this.#framer = framer
  }

  get reading(): UsageReading {
    return this.#collector.reading
  }

  /** Takes what the framer made of a piece. */
  read({ events }: SseFrames): SseFinding {
    if (events.length === 0) return NOTHING_FOUND
    if (this.#framer.isInLongEvent || this.#long !== undefined) return this.#readLong(events)
    let terminalAt = terminalEvent(events, this.#collector.shape)
    if (!statesUsage(events, this.#collector.shape))
      return terminalAt === -1 ? NOTHING_FOUND : { terminalAt, coversOutput: false }
    let coversOutput = false
    for (const document of sseDocuments(events.toString('utf8'), candidateOf(this.#collector.shape))) {
      if (!isRaw(document)) continue
      if (this.#collector.absorb(document)) coversOutput = true
      if (isLast(document, this.#collector.shape)) terminalAt = lastEvent(events)
    }
    return { terminalAt, coversOutput }
  }

  /** Takes what is left at the end of a stream that does not end in a blank line. */
  end(rest: Buffer): void {
    for (const document of sseDocuments(rest.toString('utf8'))) if (isRaw(document)) this.#collector.absorb(document)
  }

  /** Takes a member of a long event; for its own picker. */
  pick(path: string, value: unknown): void {
    if (this.#collector.pick(path, value)) this.#longCoversOutput = true
    if (!path.includes('.') && isLast({ [path]: value }, this.#collector.shape)) this.#isTerminalNext = true
  }

  #readLong(events: Buffer): SseFinding {
    this.#longCoversOutput = false
    this.#long ??= new LongEventReader(USAGE_SHAPES[this.#collector.shape].picks, this)
    this.#long.write(events)
    const coversOutput = this.#longCoversOutput
    if (this.#framer.isInLongEvent) return { terminalAt: -1, coversOutput }
    this.#long = undefined
    // Only the end of a long event can be kept back: its beginning has gone by.
    const terminalAt = this.#isTerminalNext ? 0 : terminalEvent(events, this.#collector.shape)
    this.#isTerminalNext = false
    return { terminalAt, coversOutput }
  }
}

/** Text that is in every event that can state usage; empty where there are several. */
function candidateOf(shape: UsageShape): string {
  const { needles } = USAGE_SHAPES[shape]
  return needles.length === 1 ? needles[0]!.bytes.toString('latin1') : ''
}

/** Whether a document is the last of its stream. */
function isLast(document: Raw, shape: UsageShape): boolean {
  return USAGE_SHAPES[shape].end.members?.some(([member, value]) => document[member] === value) === true
}

/** Whether whole events hold a member by which they could state usage. */
function statesUsage(events: Buffer, shape: UsageShape): boolean {
  return USAGE_SHAPES[shape].needles.some((needle) => holds(events, needle))
}

function holds(events: Buffer, { bytes, isObject }: Needle): boolean {
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
  const terminal = USAGE_SHAPES[shape].end.line
  if (terminal === undefined) return -1
  const tail = events.length > TAIL_BYTES ? events.subarray(events.length - TAIL_BYTES) : events
  if (!tail.includes(terminal.bytes)) return -1
  const at = lastEvent(events)
  return terminal.pattern.test(events.toString('latin1', at)) ? at : -1
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
