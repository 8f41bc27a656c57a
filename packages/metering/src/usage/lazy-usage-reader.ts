import { KeptOutput } from '../framing/kept-output.ts'
import { PendingBytes } from '../framing/pending-bytes.ts'
import { sseDocuments } from '../framing/sse-event.ts'
import { endOfEventAt, endOfLastEvent, startOfLastEvent } from '../framing/sse-framer.ts'
import { isRaw, type Raw } from './reported-usage.ts'
import { lastInk, mayClose, mayEndWith } from './stream-ending.ts'
import { StreamUsageReader } from './stream-usage-reader.ts'
import { UsageCollector, type UsageReading } from './usage-collector.ts'
import { closingValues, endsStream, isTerminal, lastUsageAt, TAIL_BYTES, terminalMark } from './usage-marks.ts'
import type { UsageReader } from './usage-reader.ts'

/** So much is kept by reference, not looked at; what is more is read as it passes. */
const MOST_PENDING_BYTES = 1_048_576
/** So often the latest events are looked at, so that what figures cover can go. */
const PEEK_EVERY_BYTES = 65_536
/** How far from its ends a stream is looked at first: less than what Node takes from its pool of memory, which is fast. */
const NEAR_BYTES = 1_200
const MOST_HEAD_BYTES = 4_000
/** So many events at the head of a stream are looked at. */
const MOST_HEAD_EVENTS = 4
const DATA = 'data:'
/** A line's end and a blank line. */
const MOST_BLANK_LINE = 3
/** How far back the beginning of an event is looked for first that may end the stream by what it says. */
const NEAR_CLOSING_BYTES = 256

/** Something that an event says. */
interface Statement {
  readonly document: Raw
  /** Has taken this document, */
  readonly collector: UsageCollector
  /** and so many that follow it. */
  knowsOthers: number
  /** Where it ends, if its figures cover all output so far; else 0. */
  readonly coversTo: number
}

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
  /** The event that ends the stream by what it says, if it came last: it need not be parsed again. */
  #closing: { readonly document: Raw; readonly from: number; readonly to: number } | undefined
  /** What came since figures covered it; begins with an event. */
  readonly #pending = new PendingBytes()
  #peekAtBytes = PEEK_EVERY_BYTES
  #kept: KeptOutput | undefined
  /** Reads what is too much to be kept. */
  #eager: StreamUsageReader | undefined

  constructor(collector: UsageCollector) {
    this.#collector = collector
    this.#mark = terminalMark(collector.shape)
    this.#closings = closingValues(collector.shape)
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
    if (this.#eager !== undefined && this.#closings.length > 0) return this.#eager.write(bytes)
    this.#pending.push(bytes)
    const last = lastInk(bytes)
    // Where network or provider send a few bytes at a time, the last ones alone tell most.
    if (last < 2 && !this.#endsEvent()) return -1
    if (this.#mark !== undefined && mayEndWith(bytes, last, this.#mark)) {
      const terminalAt = this.#terminalAt(bytes.length)
      if (terminalAt !== -1) return terminalAt
    }
    return this.#closings.length > 0 && mayClose(bytes, last) ? this.#closingAt(bytes.length) : -1
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
    const length = this.#pending.length
    let found: readonly Statement[] = []
    let before = length
    let head: Statement | undefined
    let isEnough = false
    if (this.#closing?.to === length) {
      before = this.#closing.from
      const statement = this.#said(this.#closing.document, length)!
      if (statement.coversTo > 0) {
        found = [statement]
        isEnough = this.#isEnough(found)
      }
    }
    for (let near = NEAR_BYTES; !isEnough; near *= 4) {
      const bytes = this.#pending.tail(near)
      const start = length - bytes.length
      for (let event = this.#eventBefore(bytes, before - start); event !== undefined;) {
        // An event whose beginning is not among these bytes is seen in the next round.
        if (event.from === 0 && start > 0) break
        before = start + event.from
        const end = event.to === -1 ? bytes.length : event.to
        const isEvent = event.to !== -1 || isOver
        const statement = isEvent ? this.#statement(bytes, event.from, end, start + end) : undefined
        if (statement !== undefined) {
          found = [statement, ...found]
          isEnough = this.#isEnough(found)
        }
        event = isEnough ? undefined : this.#eventBefore(bytes, before - start)
      }
      if (isEnough || start === 0 || near >= most) break
      if (found.length === 0 || head !== undefined) continue
      head = this.#atHead(before)
      isEnough = head !== undefined && this.#isEnough([head, ...found])
      if (isEnough) break
    }
    if (most !== Infinity && !isEnough) return 0
    if (this.#collector.reading.model === undefined && found[0]?.collector.reading.model === undefined)
      head ??= this.#atHead(before)
    this.#absorb(head === undefined ? found : [head, ...found])
    return found.findLast(({ coversTo }) => coversTo > 0)?.coversTo ?? 0
  }

  /** Whether statements, with what is known, have an input, and an output that covers them: nothing before can matter. */
  #isEnough(statements: readonly Statement[]): boolean {
    const { collector } = statements[0]!
    // The first one takes what the others say as well: then it knows all.
    for (const { document } of statements.slice(1)) collector.absorb(document)
    statements[0]!.knowsOthers = statements.length - 1
    const { reported, coversOutput } = collector.reading
    const input = reported?.input ?? this.#collector.reading.reported?.input
    return coversOutput && reported?.output !== undefined && input !== undefined
  }

  #absorb(statements: readonly Statement[]): void {
    const [first, ...rest] = statements
    if (first === undefined) return
    const { reported, model } = this.#collector.reading
    // Where nothing was known, what knows these statements takes the place of what knows nothing.
    const isNew = reported === undefined && model === undefined
    if (isNew) this.#collector = first.collector
    if (isNew && first.knowsOthers === rest.length) return
    for (const { document } of isNew ? rest : statements) this.#collector.absorb(document)
  }

  /** The last event that begins before an index and can state usage. Its end is -1 where it is not complete. */
  #eventBefore(bytes: Buffer, before: number): { readonly from: number; readonly to: number } | undefined {
    const at = lastUsageAt(bytes, this.#collector.shape, before)
    if (at === -1) return undefined
    return { from: startOfLastEvent(bytes.subarray(0, at)), to: endOfEventAt(bytes, at) }
  }

  /** What the event at some bytes states. @param to Where it ends among what is pending. */
  #statement(bytes: Buffer, from: number, end: number, to: number): Statement | undefined {
    return this.#said(eventDocument(bytes.toString('utf8', from, end)), to)
  }

  #said(document: unknown, to: number): Statement | undefined {
    if (!isRaw(document)) return undefined
    const collector = new UsageCollector(this.#collector.shape)
    return { document, collector, knowsOthers: 0, coversTo: collector.absorb(document) ? to : 0 }
  }

  /** What the stream's first document says, if its event ends before an index and is near. */
  #atHead(before: number): Statement | undefined {
    // The first piece alone needs no copy.
    const piece = this.#pending.head(Math.min(this.#pending.pieces[0]?.length ?? 0, MOST_HEAD_BYTES, before))
    return this.#firstIn(piece) ?? this.#firstIn(this.#pending.head(Math.min(MOST_HEAD_BYTES, before)))
  }

  #firstIn(bytes: Buffer): Statement | undefined {
    let from = 0
    for (let count = 0; count < MOST_HEAD_EVENTS; count += 1) {
      const to = endOfEventAt(bytes, from)
      if (to === -1) return undefined
      const statement = this.#statement(bytes, from, to, 0)
      if (statement !== undefined) return statement
      from = to
    }
    return undefined
  }

  #endsEvent(): boolean {
    const tail = this.#pending.tail(MOST_BLANK_LINE + 1)
    return endOfLastEvent(tail) === tail.length
  }

  /** Index in the latest piece at which the last event begins, if it ends the stream; else -1. */
  #terminalAt(pieceBytes: number): number {
    const tail = this.#pending.tail(TAIL_BYTES)
    if (endOfLastEvent(tail) !== tail.length) return -1
    const start = startOfLastEvent(tail)
    // Before it, there must be nothing or the end of an event.
    if (start === 0 && tail.length < this.#pending.length) return -1
    if (!isTerminal(tail.toString('latin1', start), this.#collector.shape)) return -1
    return Math.max(0, pieceBytes - (tail.length - start))
  }

  /** As {@link #terminalAt}, where what the last event says ends the stream. It can be long. */
  #closingAt(pieceBytes: number): number {
    if (!this.#endsEvent()) return -1
    for (let near = NEAR_CLOSING_BYTES; ; near *= 16) {
      const tail = this.#pending.tail(near)
      const start = startOfLastEvent(tail)
      if (start === 0 && tail.length < this.#pending.length) continue
      const event = tail.subarray(start)
      if (!this.#closings.some((value) => event.includes(value))) return -1
      const document = eventDocument(event.toString('utf8'))
      if (!isRaw(document) || !endsStream(document, this.#collector.shape)) return -1
      const to = this.#pending.length
      this.#closing = { document, from: to - event.length, to }
      return Math.max(0, pieceBytes - event.length)
    }
  }
}

/** The document of an event. The usual event has one line of data, after one that names it or none. */
function eventDocument(event: string): unknown {
  const at = event.startsWith(DATA) ? 0 : event.indexOf(`\n${DATA}`) + 1
  const lineEnd = event.indexOf('\n', at)
  const isUsual = event.startsWith(DATA, at) && lineEnd !== -1 && event.length - lineEnd <= MOST_BLANK_LINE
  if (!isUsual) return sseDocuments(event)[0]
  try {
    return JSON.parse(event.slice(at + DATA.length, lineEnd))
  } catch {
    return undefined
  }
}
