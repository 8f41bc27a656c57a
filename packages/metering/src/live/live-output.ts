import { LiveCounter } from '../counting/live-counter.ts'
import type { TokenCounter } from '../counting/token-counter.ts'
import { sseDocuments } from '../framing/sse-event.ts'
import { isRaw, type ReportedUsage } from '../usage/reported-usage.ts'
import { UsageCollector } from '../usage/usage-collector.ts'
import { mayStateUsage } from '../usage/usage-marks.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'
import { hasEnded, streamDocuments, type StreamFraming } from './stream-ending.ts'
import { TextPlace } from './text-place.ts'
import { writtenIn } from './written-text.ts'

export interface LiveOutputOptions {
  readonly framing: StreamFraming
  readonly counter: TokenCounter
  readonly shape: UsageShape
  readonly model: string | undefined
}

/** Raw events are kept by reference up to this, so that they can be looked through once a closer figure is asked for. */
const MOST_RAW_BYTES = 262_144
/** What a terminator is built on: the beginning of the stream, and its latest events. */
const HEAD_BYTES = 16_384
const TAIL_BYTES = 4_096
/** How much denser than what was counted a text is taken for. */
const MARGIN = 1.25
/** Tokens in a byte, before any was counted: English has a quarter, hardly any text has more than two fifths. */
const FIRST_DENSITY = 0.4
const NOTHING = Buffer.alloc(0)

/**
 * How many tokens a stream has written so far: an upper bound at any time, which costs an addition for a piece as long
 * as nobody asks for more; the count of all of it in a worker when somebody does. Not what is charged in the end: that
 * is counted, or reported, for the whole.
 */
export class LiveOutput {
  readonly #options: LiveOutputOptions
  /** What was not looked through yet. */
  #raw: Buffer[] = []
  #rawBytes = 0
  /** Of text that came since the provider has stated something, or from the beginning. */
  #live: LiveCounter
  #stated = 0
  /** Bytes of text that was found, and of the events that it was found in. */
  #textBytes = 0
  #lookedBytes = 0
  #latest: Buffer = NOTHING
  #head: Buffer[] = []
  #headBytes = 0
  #tail: Buffer[] = []
  #tailBytes = 0
  readonly #finished = new Set<number>()
  readonly #place = new TextPlace()

  constructor(options: LiveOutputOptions) {
    this.#options = options
    this.#live = counterOf(options)
  }

  /**
   * Takes whole events, before or when they leave.
   *
   * @param isPart They hold a part of an event that is too long to be held: then all of it is taken for text.
   */
  add(events: Buffer, isPart = false): void {
    this.#latest = events
    if (isPart) {
      this.narrow()
      return this.#take(events.toString('utf8'), events.length)
    }
    this.#raw.push(events)
    this.#rawBytes += events.length
    if (this.#rawBytes > MOST_RAW_BYTES) this.narrow()
  }

  /** Takes whole events that have left. */
  sent(events: Buffer): void {
    if (this.#headBytes < HEAD_BYTES) {
      this.#head.push(events)
      this.#headBytes += events.length
    }
    this.#tail.push(events)
    this.#tailBytes += events.length
    while (this.#tailBytes - this.#tail[0]!.length >= TAIL_BYTES) this.#tailBytes -= this.#tail.shift()!.length
  }

  /** Not fewer tokens than were written: what was not counted is taken at one token a byte. */
  get bound(): number {
    return this.#stated + this.#live.tokens + this.#rawBytes
  }

  /** Of events that nobody has looked through. */
  get rawBytes(): number {
    return this.#rawBytes
  }

  /**
   * More tokens than were written, unless what came since the last count has a quarter more in its bytes than what came
   * before; as long as nothing was counted, unless it has more than two in five bytes.
   *
   * @param moreBytes Of events that come next.
   */
  likely(moreBytes = 0): number {
    const raw = this.#rawBytes + moreBytes
    const { openBytes } = this.#live
    const text = openBytes + (this.#lookedBytes === 0 ? raw : (raw * this.#textBytes) / this.#lookedBytes)
    const countedBytes = this.#textBytes - openBytes
    const density = countedBytes === 0 ? FIRST_DENSITY : (MARGIN * this.counted) / countedBytes
    return this.counted + text * Math.min(1, density)
  }

  /** Tokens that were counted. */
  get counted(): number {
    return this.#stated + this.#live.counted
  }

  /** Looks through what was only added up: from then on its text is the bound. Returns whether that made a difference. */
  narrow(): boolean {
    if (this.#rawBytes === 0) return false
    const raw = this.#raw.length === 1 ? this.#raw[0]! : Buffer.concat(this.#raw)
    this.#raw = []
    this.#lookedBytes += this.#rawBytes
    this.#rawBytes = 0
    this.#look(raw.toString('utf8'))
    return true
  }

  /**
   * Counts what is there by now, or takes what its provider says in its latest event. Never rejects; a count past its
   * deadline is a guess from the text's size. Resolves with whether anything was left to count.
   */
  async settle(): Promise<boolean> {
    this.narrow()
    const { openBytes } = this.#live
    const isStated = mayStateUsage(this.#latest, this.#options.shape)
    const output = isStated ? reportedIn(this.#options, [this.#latest])?.output : undefined
    if (output === undefined) {
      await this.#live.settle()
      return openBytes > 0
    }
    if (output === this.#stated && openBytes === 0) return false
    this.#stated = output
    this.#live = counterOf(this.#options)
    return true
  }

  /** Input as the provider has stated it at the beginning of its stream; `undefined` where it has not. */
  get reportedInput(): number | undefined {
    return reportedIn(this.#options, this.#head)?.input
  }

  /** Whether the stream has said why it ends: there is nothing more to cut. Looks through what was only added up. */
  get hasEnded(): boolean {
    this.narrow()
    const tail = Buffer.concat([...this.#tail, this.#latest])
    return hasEnded({ framing: this.#options.framing, head: this.head, tail, finished: this.#finished })
  }

  /** The beginning of the stream: whole events. */
  get head(): Buffer {
    return Buffer.concat(this.#head)
  }

  /** Its latest events. */
  get tail(): Buffer {
    return Buffer.concat(this.#tail)
  }

  /** Indices of answers, of several in one stream, that have ended by themselves. */
  get finished(): ReadonlySet<number> {
    return this.#finished
  }

  #take(text: string, bytes: number): void {
    this.#live.add(text)
    this.#textBytes += bytes
  }

  #look(events: string): void {
    const { text, mayEnd } = writtenIn(this.#options.shape, events, this.#place)
    if (text !== '') this.#take(text, Buffer.byteLength(text))
    if (mayEnd) for (const index of finishedIn(events)) this.#finished.add(index)
  }
}

/** Counts when it is asked for a figure, or when this much waits: far from a quota nothing is counted. */
const MOST_WAITING = 65_536

function counterOf({ counter, model }: LiveOutputOptions): LiveCounter {
  return new LiveCounter(counter, model, MOST_WAITING)
}

/** Figures that events state of all output up to them, and of the input. */
function reportedIn({ framing, shape }: LiveOutputOptions, events: readonly Buffer[]): ReportedUsage | undefined {
  const collector = new UsageCollector(shape)
  for (const document of streamDocuments(framing, Buffer.concat(events).toString('utf8'))) collector.absorb(document)
  const { reported, coversOutput } = collector.reading
  return reported === undefined || coversOutput ? reported : { ...reported, output: undefined }
}

/** Answers, of several in one stream, that end in these events. */
function* finishedIn(events: string): Iterable<number> {
  for (const document of sseDocuments(events, ['finish_reason'])) {
    const choices = isRaw(document) ? document['choices'] : undefined
    for (const choice of Array.isArray(choices) ? choices : []) {
      if (!isRaw(choice) || typeof choice['finish_reason'] !== 'string') continue
      yield typeof choice['index'] === 'number' ? choice['index'] : 0
    }
  }
}
