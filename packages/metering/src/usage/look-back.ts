import type { PendingBytes } from '../framing/pending-bytes.ts'
import { eventDocument } from '../framing/sse-event.ts'
import { endOfEventAt, endsInBlankLine, startOfLastEvent } from '../framing/sse-framer.ts'
import { isRaw, type Raw } from './reported-usage.ts'
import { UsageCollector } from './usage-collector.ts'
import { lastUsageAt } from './usage-marks.ts'

/** How far from its ends a stream is looked at first: less than what Node takes from its pool of memory, which is fast. */
export const NEAR_BYTES = 1_200
const MOST_HEAD_BYTES = 4_000
/** So many events at the head of a stream are looked at. */
const MOST_HEAD_EVENTS = 4

/** An event that was read already, and where it lies among what is pending. */
export interface ReadEvent {
  readonly document: Raw
  readonly from: number
  readonly to: number
}

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

/** Goes back over what is pending of an event stream, from its last event to those that state what it used. */
export class LookBack {
  readonly #pending: PendingBytes
  readonly #known: UsageCollector
  /** What does not end in a blank line is an event all the same. */
  readonly #isOver: boolean
  /** What was found, the earliest first. */
  readonly #found: Statement[] = []
  #head: Statement | undefined
  /** Where the earliest event begins that was looked at, as it can state usage. */
  #before: number
  /** No event that begins here or behind it can, but for those. */
  #searchedFrom: number
  #isEnough = false

  /** @param known What was learned of the stream before. */
  constructor(pending: PendingBytes, known: UsageCollector, isOver: boolean) {
    this.#pending = pending
    this.#known = known
    this.#isOver = isOver
    this.#before = pending.length
    this.#searchedFrom = pending.length
  }

  /** Whether what was found has, with what is known, input and output: nothing before can matter. */
  get isEnough(): boolean {
    return this.#isEnough
  }

  /** Where those end that figures cover; 0: none are. */
  get coveredTo(): number {
    return this.#found.findLast(({ coversTo }) => coversTo > 0)?.coversTo ?? 0
  }

  /**
   * @param last The last event, where it was read already.
   * @param most Look no farther back than so many bytes.
   */
  run(last: ReadEvent | undefined, most: number): void {
    if (last !== undefined) this.#take(last)
    this.#overPieces()
    const { length } = this.#pending
    for (let near = NEAR_BYTES; !this.#isEnough; near *= 4) {
      const start = Math.max(0, length - near)
      if (start < this.#searchedFrom) this.#over(this.#pending.tail(near), start, false)
      if (this.#isEnough || start === 0 || near >= most) break
      if (this.#found.length === 0 || this.#head !== undefined) continue
      this.#head = this.#atHead()
      if (this.#head !== undefined) this.#isEnough = this.#suffices(this.#head, 0)
    }
    if ((this.#known.model ?? this.#found[0]?.collector.model) === undefined) this.#head ??= this.#atHead()
  }

  /** All of what is known now. */
  absorbed(): UsageCollector {
    const first = this.#head ?? this.#found[0]
    if (first === undefined) return this.#known
    const others = this.#head === undefined ? 1 : 0
    const { reported, model } = this.#known
    // Where nothing was known, what knows these statements takes the place of what knows nothing.
    const isNew = reported === undefined && model === undefined
    const all = isNew ? first.collector : this.#known
    if (!isNew) all.absorb(first.document)
    if (!isNew || first.knowsOthers !== this.#found.length - others) this.#tell(all, others)
    return all
  }

  #take({ document, from, to }: ReadEvent): void {
    this.#before = from
    const statement = this.#said(document, to)
    if (statement.coversTo > 0) this.#add(statement)
  }

  /** Looks at the last pieces, as far as they are small and begin with an event: most do, and need no copy. */
  #overPieces(): void {
    const { length } = this.#pending
    let start = length
    for (let latest = 0; !this.#isEnough && length - start < NEAR_BYTES; latest += 1) {
      const piece = this.#pending.before(latest)
      if (piece === undefined || piece.length > NEAR_BYTES) return
      const before = this.#pending.before(latest + 1)
      if (before !== undefined && !endsInBlankLine(before)) return
      start -= piece.length
      if (start < this.#before) this.#over(piece, start, true)
      this.#searchedFrom = start
    }
  }

  /**
   * Looks at events that begin among some bytes, from the last one back.
   *
   * @param start Where the bytes begin among what is pending.
   * @param isWhole They begin with an event.
   */
  #over(bytes: Buffer, start: number, isWhole: boolean): void {
    while (!this.#isEnough) {
      const at = lastUsageAt(bytes, this.#known.shape, Math.min(this.#before - start, bytes.length))
      if (at === -1) return
      const from = startOfLastEvent(bytes, at)
      // An event whose beginning is not among these bytes is seen with more of them.
      if (from === 0 && start > 0 && !isWhole) return
      this.#before = start + from
      const to = endOfEventAt(bytes, at)
      if (to === -1 && !this.#isOver) continue
      const end = to === -1 ? bytes.length : to
      const statement = this.#statement(bytes, from, end, start + end)
      if (statement !== undefined) this.#add(statement)
    }
  }

  #add(statement: Statement): void {
    this.#found.unshift(statement)
    this.#isEnough = this.#suffices(statement, 1)
  }

  /** @param others Index of the first of those found that follow. */
  #suffices(first: Statement, others: number): boolean {
    const { collector } = first
    // The first one takes what the others say as well: then it knows all.
    this.#tell(collector, others)
    first.knowsOthers = this.#found.length - others
    if (!collector.coversOutput) return false
    const isInputKnown = this.#known.reported?.input !== undefined
    if (!isInputKnown && !collector.mayStateInput) return false
    const { reported } = collector
    return reported?.output !== undefined && (isInputKnown || reported.input !== undefined)
  }

  /** Tells what was found, from an index on. */
  #tell(collector: UsageCollector, from: number): void {
    for (let index = from; index < this.#found.length; index += 1) collector.absorb(this.#found[index]!.document)
  }

  /** What the event at some bytes states. @param to Where it ends among what is pending. */
  #statement(bytes: Buffer, from: number, end: number, to: number): Statement | undefined {
    const document = eventDocument(bytes.toString('utf8', from, end))
    return isRaw(document) ? this.#said(document, to) : undefined
  }

  #said(document: Raw, to: number): Statement {
    const collector = new UsageCollector(this.#known.shape)
    return { document, collector, knowsOthers: 0, coversTo: collector.absorb(document) ? to : 0 }
  }

  /** What the stream's first document says, if its event ends before what was looked at and is near. */
  #atHead(): Statement | undefined {
    // The first piece alone needs no copy.
    const most = Math.min(MOST_HEAD_BYTES, this.#before)
    return (
      this.#firstIn(this.#pending.head(Math.min(this.#pending.first?.length ?? 0, most))) ??
      this.#firstIn(this.#pending.head(most))
    )
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
}
