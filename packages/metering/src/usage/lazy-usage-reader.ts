import { KeptOutput } from '../framing/kept-output.ts'
import { PendingBytes } from '../framing/pending-bytes.ts'
import { eventDocument } from '../framing/sse-event.ts'
import { endOfLastEvent, endsInBlankLine, startOfLastEvent } from '../framing/sse-framer.ts'
import { LookBack, NEAR_BYTES, type ReadEvent } from './look-back.ts'
import { isRaw } from './reported-usage.ts'
import { isNoEnd, lastInk, mayClose, mayEndWith } from './piece-end.ts'
import { StreamUsageReader } from './stream-usage-reader.ts'
import type { UsageCollector, UsageReading } from './usage-collector.ts'
import { endsStream, isTerminal, TAIL_BYTES, terminalMark } from './usage-marks.ts'
import type { UsageReader } from './usage-reader.ts'
import { USAGE_SHAPES } from './usage-shapes.ts'

/** So much is kept by reference, not looked at; what is more is read as it passes. */
const MOST_PENDING_BYTES = 1_048_576
/** So often the latest events are looked at, so that what figures cover can go. */
const PEEK_EVERY_BYTES = 65_536
const SPACE = 0x20
/** A line's end and a blank line. */
const MOST_BLANK_LINE = 3
/** How far back the beginning of an event is looked for first that may end the stream by what it says. */
const NEAR_CLOSING_BYTES = 256

/**
 * Reads the usage of an event stream at its end: until then it keeps references to the bytes and looks at the last few
 * of each piece, for the event that ends the stream. Then it goes back to the last event that states usage. As a later
 * figure takes the place of an earlier one, nothing before an event that states both input and output can matter, but
 * for the stream's first events, which are asked for an input or a model that the last leave out.
 */
export class LazyUsageReader implements UsageReader {
  readonly framing = 'sse'
  #collector: UsageCollector
  readonly #mark: Buffer | undefined
  /** One of them is in the event that ends the stream by what it says; empty where none does. */
  readonly #closings: readonly Buffer[]
  readonly #closes: boolean
  /** Last byte of the mark; -1: there is none. */
  readonly #markEnd: number
  /** The event that ends the stream by what it says, if it came last: it need not be parsed again. */
  #closing: ReadEvent | undefined
  /** What came since figures covered it; begins with an event. */
  readonly #pending = new PendingBytes()
  #peekAtBytes = PEEK_EVERY_BYTES
  #kept: KeptOutput | undefined
  /** Reads what is too much to be kept. */
  #eager: StreamUsageReader | undefined

  constructor(collector: UsageCollector) {
    this.#collector = collector
    this.#mark = terminalMark(collector.shape)
    this.#closings = USAGE_SHAPES[collector.shape].closings
    this.#closes = this.#closings.length > 0
    this.#markEnd = this.#mark?.at(-1) ?? -1
  }

  get reading(): UsageReading {
    this.#settle(false)
    return this.#collector.reading
  }

  get kept(): KeptOutput {
    return this.#settle(false)
  }

  get isWithinEvent(): boolean {
    if (this.#eager !== undefined) this.#settle(false)
    if (this.#eager !== undefined) return this.#eager.isWithinEvent
    const tail = this.#pending.tail(TAIL_BYTES)
    return tail.length > 0 && endOfLastEvent(tail) !== tail.length
  }

  write(bytes: Buffer): number {
    if (bytes.length === 0) return -1
    this.#kept = undefined
    this.#closing = undefined
    if (this.#pending.length > this.#peekAtBytes) this.#makeRoom()
    // What has begun there can end there.
    if (this.#eager !== undefined && this.#closes) return this.#eager.write(bytes)
    this.#pending.push(bytes)
    return isNoEnd(bytes, this.#markEnd, this.#closes) ? -1 : this.#endAt(bytes)
  }

  /** Index in the latest piece from which it belongs to the event that ends the stream; -1: it does not end there. */
  #endAt(bytes: Buffer): number {
    const last = lastInk(bytes)
    // Where network or provider send a few bytes at a time, the last ones alone tell most.
    if (last < 2 && !this.#endsEvent()) return -1
    if (this.#mark !== undefined && mayEndWith(bytes, last, this.#mark)) {
      const terminalAt = this.#terminalAt(bytes.length)
      if (terminalAt !== -1) return terminalAt
    }
    return this.#closes && mayClose(bytes, last) ? this.#closingAt(bytes.length) : -1
  }

  end(): void {
    // What was looked at, and ends as it should, says nothing new.
    if (this.#kept !== undefined && !this.isWithinEvent) return
    this.#kept = undefined
    this.#settle(true)
    this.#eager?.end()
  }

  /** Looks at what came since the last time. Returns the output that no figures cover. */
  #settle(isOver: boolean): KeptOutput {
    if (this.#eager !== undefined) return this.#pass(this.#eager)
    if (this.#kept !== undefined) return this.#kept
    const coveredTo = this.#lookBack(isOver, Infinity)
    const kept = new KeptOutput()
    if (coveredTo > 0) kept.add(this.#pending.tail(this.#pending.length - coveredTo))
    else for (const piece of this.#pending.pieces) kept.add(piece)
    this.#kept = kept
    return kept
  }

  /** Lets go of what figures cover. Where that is nothing for too long, the rest of the stream is read as it passes. */
  #makeRoom(): void {
    this.#peekAtBytes = this.#pending.length + PEEK_EVERY_BYTES
    if (this.#eager !== undefined) return void this.#pass(this.#eager)
    const coveredTo = this.#lookBack(false, NEAR_BYTES)
    if (coveredTo > 0) {
      const rest = this.#pending.tail(this.#pending.length - coveredTo)
      this.#pending.clear()
      if (rest.length > 0) this.#pending.push(rest)
      this.#peekAtBytes = rest.length + PEEK_EVERY_BYTES
    } else if (this.#pending.length > MOST_PENDING_BYTES) {
      this.#eager = new StreamUsageReader(this.#collector)
      this.#pass(this.#eager)
    }
  }

  #pass(eager: StreamUsageReader): KeptOutput {
    if (this.#pending.length > 0) eager.write(this.#pending.tail(this.#pending.length))
    this.#pending.clear()
    this.#peekAtBytes = PEEK_EVERY_BYTES
    return eager.kept
  }

  /**
   * Takes what pending events state, from the last one back. Returns where those end that figures cover; 0: none are.
   *
   * @param isOver What does not end in a blank line is an event all the same.
   * @param most Look no farther back than so many bytes, and take nothing where that is not enough.
   */
  #lookBack(isOver: boolean, most: number): number {
    const back = new LookBack(this.#pending, this.#collector, isOver)
    back.run(this.#closing?.to === this.#pending.length ? this.#closing : undefined, most)
    if (most !== Infinity && !back.isEnough) return 0
    this.#collector = back.absorbed()
    return back.coveredTo
  }

  #endsEvent(): boolean {
    if (endsInBlankLine(this.#pending.before(0)!)) return true
    const tail = this.#pending.tail(MOST_BLANK_LINE + 1)
    return endOfLastEvent(tail) === tail.length
  }

  /** The last of whole events; `undefined` where it begins farther back than so many bytes. */
  #lastEvent(near: number): Buffer | undefined {
    const { length } = this.#pending
    const piece = this.#pending.before(0)!
    const from = startOfLastEvent(piece)
    // Most pieces are one whole event or several, and need no copy.
    if (from > 0) return piece.subarray(from)
    const before = this.#pending.before(1)
    if (before === undefined || (piece[0]! > SPACE && endsInBlankLine(before))) return piece
    const tail = this.#pending.tail(near)
    const start = startOfLastEvent(tail)
    return start === 0 && tail.length < length ? undefined : tail.subarray(start)
  }

  /** Index in the latest piece at which the last event begins, if it ends the stream; else -1. */
  #terminalAt(pieceBytes: number): number {
    if (!this.#endsEvent()) return -1
    const event = this.#lastEvent(TAIL_BYTES)
    if (event === undefined || event.length > TAIL_BYTES) return -1
    return isTerminal(event.toString('latin1'), this.#collector.shape) ? Math.max(0, pieceBytes - event.length) : -1
  }

  /** As {@link #terminalAt}, where what the last event says ends the stream. It can be long. */
  #closingAt(pieceBytes: number): number {
    if (!this.#endsEvent()) return -1
    let event: Buffer | undefined
    for (let near = NEAR_CLOSING_BYTES; event === undefined; near *= 16) event = this.#lastEvent(near)
    if (!this.#closings.some((value) => event.includes(value))) return -1
    const document = eventDocument(event.toString('utf8'))
    if (!isRaw(document) || !endsStream(document, this.#collector.shape)) return -1
    const to = this.#pending.length
    this.#closing = { document, from: to - event.length, to }
    return Math.max(0, pieceBytes - event.length)
  }
}
