import type { Framer } from '../framing/framer.ts'
import type { JsonPickTarget } from '../framing/json-picker.ts'
import { KeptOutput } from '../framing/kept-output.ts'
import { lineAround, lineDocuments, LineFramer, startOfLastLine } from '../framing/line-framer.ts'
import { LongEventReader } from '../framing/long-event-reader.ts'
import { sseDocuments } from '../framing/sse-event.ts'
import { eventAround, SseFramer, startOfLastEvent } from '../framing/sse-framer.ts'
import { isRaw } from './reported-usage.ts'
import type { UsageCollector, UsageReading } from './usage-collector.ts'
import { endsStream, isTerminal, mayStateUsage, TAIL_BYTES, terminalMark, usageAt } from './usage-marks.ts'
import type { UsageReader } from './usage-reader.ts'
import { USAGE_SHAPES } from './usage-shapes.ts'

/** What tells events from lines. */
const GRAMMARS = {
  sse: { framer: () => new SseFramer(), startOfLast: startOfLastEvent, around: eventAround, documents: sseDocuments },
  ndjson: {
    framer: () => new LineFramer(),
    startOfLast: startOfLastLine,
    around: lineAround,
    documents: lineDocuments,
  },
} as const

/** So many of a stream's first pieces are looked at for a model, if they are not long. */
const HEAD_PIECES = 4
const MOST_HEAD_BYTES = 8_192

/** Reads the usage of a stream of events or lines as they pass, parsing only those that can state some. */
export class StreamUsageReader implements UsageReader, JsonPickTarget {
  readonly framing: keyof typeof GRAMMARS
  readonly kept = new KeptOutput()
  readonly #collector: UsageCollector
  readonly #framer: Framer
  #long: LongEventReader | undefined
  #isTerminalNext = false
  #isCovered = false
  #headsLeft = HEAD_PIECES

  constructor(collector: UsageCollector, framing: keyof typeof GRAMMARS = 'sse') {
    this.#collector = collector
    this.framing = framing
    this.#framer = GRAMMARS[framing].framer()
  }

  get reading(): UsageReading {
    return this.#collector.reading
  }

  get isWithinEvent(): boolean {
    return this.#framer.held.length > 0 || this.#framer.isInLongEvent
  }

  write(bytes: Buffer): number {
    const { events, carried } = this.#framer.push(bytes)
    this.#isCovered = false
    const terminalAt = events.length === 0 ? -1 : this.#read(events)
    if (this.#isCovered) this.kept.clear()
    else this.kept.add(bytes)
    return terminalAt === -1 ? -1 : Math.max(0, terminalAt - carried)
  }

  /** What does not end as it should, with a blank line or the end of its line, is an event all the same. */
  end(): void {
    const rest = this.#framer.held
    if (rest.length === 0) return
    this.#isCovered = false
    this.#readDocuments(rest)
    if (this.#isCovered) this.kept.clear()
  }

  /** Takes a member of a long event; for its own picker. */
  pick(path: string, value: unknown): void {
    if (this.#collector.pick(path, value)) this.#isCovered = true
    if (endsStream({ [path]: value }, this.#collector.shape)) this.#isTerminalNext = true
  }

  /** Returns where the event that ends the stream begins; -1: not there. */
  #read(events: Buffer): number {
    if (this.#framer.isInLongEvent || this.#long !== undefined) return this.#readLong(events)
    const { shape } = this.#collector
    const { startOfLast } = GRAMMARS[this.framing]
    const isHead = this.#isHead(events)
    if ((isHead || mayStateUsage(events, shape)) && this.#readDocuments(events, isHead)) return startOfLast(events)
    return this.#terminalAt(events)
  }

  /** Whether events belong to the first ones, which can name the model where they state no usage. */
  #isHead(events: Buffer): boolean {
    if (this.#headsLeft === 0) return false
    this.#headsLeft -= 1
    return events.length <= MOST_HEAD_BYTES && this.#collector.reading.model === undefined
  }

  /**
   * Takes the documents of events, or of those alone that can state usage. Returns whether the last of them ends the
   * stream.
   */
  #readDocuments(events: Buffer, isEach = false): boolean {
    if (isEach) return this.#take(events)
    const { shape } = this.#collector
    let isLast = false
    for (let at = usageAt(events, shape, 0); at !== -1;) {
      const { from, to } = GRAMMARS[this.framing].around(events, at)
      isLast = this.#take(events.subarray(from, to))
      at = to < events.length ? usageAt(events, shape, to) : -1
    }
    return isLast
  }

  #take(events: Buffer): boolean {
    let isLast = false
    for (const document of GRAMMARS[this.framing].documents(events.toString('utf8'))) {
      if (!isRaw(document)) continue
      if (this.#collector.absorb(document)) this.#isCovered = true
      isLast = endsStream(document, this.#collector.shape)
    }
    return isLast
  }

  #readLong(events: Buffer): number {
    this.#long ??= new LongEventReader(USAGE_SHAPES[this.#collector.shape].picks, this, this.framing)
    this.#long.write(events)
    if (this.#framer.isInLongEvent) return -1
    this.#long = undefined
    // Only the end of a long event can be kept back: its beginning has gone by.
    const terminalAt = this.#isTerminalNext ? 0 : this.#terminalAt(events)
    this.#isTerminalNext = false
    return terminalAt
  }

  /** Where the last of whole events begins, if it is the one by which streams of this shape end. */
  #terminalAt(events: Buffer): number {
    const { shape } = this.#collector
    const mark = terminalMark(shape)
    if (mark === undefined || events.indexOf(mark, Math.max(0, events.length - TAIL_BYTES)) === -1) return -1
    const at = GRAMMARS[this.framing].startOfLast(events)
    return isTerminal(events.toString('latin1', at), shape) ? at : -1
  }
}
