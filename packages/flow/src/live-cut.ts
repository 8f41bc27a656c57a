import { streamFramer, type LiveOutput, type StreamFramer, type StreamFraming } from '@tallygate/metering'
import type { StreamAllowance } from './stream-allowance.ts'

export interface LiveCutOptions {
  readonly allowance: StreamAllowance
  readonly output: LiveOutput
  readonly framing: StreamFraming
  /** What the input really is; `undefined` where nobody can tell. Asked for once, when nothing more can be bought. */
  readonly inputTokens: () => Promise<number | undefined>
  /** What the caller reads last, once what has left is in the books. */
  readonly ending: (cut: LiveCut) => Promise<Buffer>
}

/** Whom a {@link LiveCut} tells. */
export interface CutTarget {
  /** Takes bytes that go on. */
  pass(bytes: Buffer): void
  /** The stream is to end here; what comes of it from now on is dropped. */
  cut(): void
}

/** More is bought when no more than this is left, so that it is there before it is needed. */
const LOW_TOKENS = 256
/** A quota that gives so much at once is asked for more before anything is looked at. */
const PLENTY_TOKENS = 16_384
/** Where nothing more can be bought, it is counted when this was passed, and not for each word. */
const SLACK_TOKENS = 16
/** What may pass while it is found out how much is left; the rest waits for that. */
const MOST_AHEAD_TOKENS = 48
/** The same, should the text be nothing like what it was: at one token a byte. */
const MOST_AHEAD_BYTES = 1_024
/** Events are not looked through one by one: together they cost half of it. */
const MOST_RAW_BYTES = 2_048
/** So near to where it is counted, each event is looked at. */
const CLOSE_TOKENS = 32
/** What leaves without anybody looking at it is kept by reference up to this. */
const MOST_SKIPPED_BYTES = 262_144
/** Where little is left, what comes in one piece is looked at in pieces of this size. */
const PIECE_BYTES = 1_024
/** The end of an event that has begun to leave is waited for so long. */
const BOUNDARY_WITHIN_MS = 250

/**
 * Watches over a stream that some limit cuts at its quota. As long as its bytes fit what the call may write, they are
 * only added up; then more is bought, and only where little is left is anything counted. Bytes go on meanwhile, up to
 * a bound; where nothing more is given, the stream is cut behind a whole event.
 */
export class LiveCut {
  readonly output: LiveOutput
  readonly framing: StreamFraming
  readonly #framer: StreamFramer
  readonly #options: LiveCutOptions
  readonly #target: CutTarget
  #threshold = 0
  /** All that there was to buy has been bought. */
  #isExhausted = false
  #isInputKnown = false
  #state: 'open' | 'closed' | 'cutting' | 'cut' = 'open'
  #deciding: Promise<void> | undefined
  /** Whole events that wait for a decision, and what came behind them. */
  #held: { readonly events: Buffer; readonly rest: Buffer } | undefined
  #waiting: Buffer[] | undefined
  /** Bytes that have left of the event that the framer holds. */
  #ahead = 0
  #boundary: NodeJS.Timeout | undefined
  /** What has left without anybody looking at it. */
  #skipped: Buffer[] = []
  #skippedBytes = 0
  /** Output tokens that may leave by now. */
  #outputTokens = 0

  constructor(options: LiveCutOptions, target: CutTarget) {
    this.#options = options
    this.#target = target
    this.output = options.output
    this.framing = options.framing
    this.#framer = streamFramer(options.framing)
    this.#updateThreshold()
    // What the first events would ask for is there when they come: until then each of them is looked at.
    if (this.#isDue) this.#deciding = this.#decide()
  }

  /** Whether the stream was cut. */
  get isCut(): boolean {
    return this.#state === 'cut'
  }

  /** Whether what is written waits; until {@link settled}. */
  get isWaiting(): boolean {
    return this.#waiting !== undefined
  }

  /** Whether an event has begun to leave whose end has not. */
  get isWithinEvent(): boolean {
    return this.#ahead > 0 || this.#framer.isInLongEvent
  }

  /** Names of the limits that the stream is cut for. */
  get limits(): readonly string[] {
    return this.#options.allowance.spent(this.output.counted)
  }

  /** What the caller of a stream that was cut reads last. */
  ending(): Promise<Buffer> {
    return this.#options.ending(this)
  }

  /** Takes the next bytes of the stream. */
  write(chunk: Buffer): void {
    if (this.#isFar(chunk)) return this.#skip(chunk)
    this.#catchUp()
    const size = this.#isClose(chunk) ? PIECE_BYTES : chunk.length
    for (let at = 0; at < chunk.length; at += size) {
      if (this.#waiting !== undefined) return void this.#waiting.push(chunk.subarray(at))
      if (this.#isOver) return this.#state === 'cut' ? undefined : this.#target.pass(chunk.subarray(at))
      this.#step(size >= chunk.length ? chunk : chunk.subarray(at, at + size))
    }
  }

  /** Resolves when nothing waits for a decision any more. */
  async settled(): Promise<void> {
    while (this.#deciding !== undefined) await this.#deciding
  }

  /** The stream has ended by itself. Resolves when all of it has gone on, or it was cut before. */
  async end(): Promise<void> {
    await this.settled()
    if (this.#state === 'cutting') this.#cutNow()
    this.close()
  }

  /** Nobody reads the stream any more, or it has broken off. */
  abandon(): void {
    clearTimeout(this.#boundary)
    if (!this.#isOver) this.#state = 'closed'
    this.#held = undefined
    this.#waiting = undefined
  }

  /** From now on everything passes: the stream has come to its own end. */
  close(): void {
    clearTimeout(this.#boundary)
    if (this.#isOver) return
    this.#state = 'closed'
    this.#passHeld(this.#framer.held)
  }

  /** Whether the cut is so far away that nobody need know yet what the bytes are. */
  #isFar(chunk: Buffer): boolean {
    if (this.#state !== 'open' || this.#waiting !== undefined) return false
    const bytes = this.#skippedBytes + chunk.length
    if (this.#isBound(bytes)) return bytes <= MOST_SKIPPED_BYTES
    return bytes <= MOST_RAW_BYTES && this.output.likely(bytes) + CLOSE_TOKENS < this.#nearest
  }

  /** Whether not even one token a byte, with so many bytes that come next, would need more than there is. */
  #isBound(bytes: number): boolean {
    return this.#deciding === undefined && !this.#isExhausted && this.output.bound + bytes < this.#threshold
  }

  /** Up to where nobody need know which event it is: until more is bought, that is what may pass meanwhile. */
  get #nearest(): number {
    if (this.#deciding === undefined) return this.#threshold
    return this.#isExhausted ? -Infinity : this.#outputTokens + MOST_AHEAD_TOKENS
  }

  #skip(chunk: Buffer): void {
    this.#passHeld(this.#framer.held)
    this.#skipped.push(chunk)
    this.#skippedBytes += chunk.length
    this.#target.pass(chunk)
    if (this.#skippedBytes + chunk.length <= MOST_RAW_BYTES || this.#isBound(this.#skippedBytes)) return
    this.#catchUp()
    this.output.narrow()
  }

  /** Looks at what was skipped. */
  #catchUp(): void {
    if (this.#skippedBytes === 0) return
    const wasLong = this.#framer.isInLongEvent
    const { events } = this.#framer.push(Buffer.concat(this.#skipped))
    this.#skipped = []
    this.#skippedBytes = 0
    this.#ahead = this.#framer.held.length
    if (events.length === 0) return
    this.output.add(events, wasLong || this.#framer.isInLongEvent)
    this.output.sent(events)
  }

  /** Lets go what of an event's beginning was held back. */
  #passHeld(held: Buffer): void {
    const rest = held.subarray(this.#ahead)
    this.#ahead = held.length
    if (rest.length > 0) this.#target.pass(rest)
  }

  get #isOver(): boolean {
    return this.#state === 'cut' || this.#state === 'closed'
  }

  /** Whether the cut can be near. */
  #isClose(piece: Buffer): boolean {
    if (this.#isExhausted || this.#deciding !== undefined) return true
    return this.output.likely(piece.length) >= this.#threshold
  }

  /** Whether the figure has come so far that it must be seen how much is left. */
  get #isDue(): boolean {
    return this.output.likely() >= this.#threshold || this.#isPast(MOST_AHEAD_BYTES)
  }

  /** Whether something must wait for a decision that is under way. */
  get #mustWait(): boolean {
    if (this.#deciding === undefined) return false
    const most = this.#outputTokens + MOST_AHEAD_TOKENS
    if (this.output.likely() > most && (!this.output.narrow() || this.output.likely() > most)) return true
    return this.#isPast(MOST_AHEAD_BYTES)
  }

  #isPast(bytes: number): boolean {
    const most = this.#outputTokens + bytes
    const { bound, rawBytes } = this.output
    if (bound <= most) return false
    return rawBytes < MOST_RAW_BYTES ? bound - rawBytes > most : !this.output.narrow() || this.output.bound > most
  }

  #step(piece: Buffer): void {
    const framer = this.#framer
    const { held: before, isInLongEvent: wasLong } = framer
    const isFar = this.#state === 'open' && !this.#isClose(piece)
    const { events } = framer.push(piece)
    const isPart = wasLong || framer.isInLongEvent
    if (isFar || (this.#state === 'cutting' && events.length === 0)) {
      this.#passHeld(before)
      this.#ahead = framer.held.length
      this.#target.pass(piece)
      if (events.length > 0) {
        this.#count(events, isPart)
        this.output.sent(events)
      }
    } else if (events.length > 0) {
      // Only whole events leave: nobody can use a part of one, and the stream ends behind one.
      this.#count(events, isPart)
      const rest = this.#ahead === 0 ? events : events.subarray(this.#ahead)
      this.#ahead = 0
      if (this.#mustWait && !isPart) this.#held = { events, rest }
      else this.#leave(events, rest)
    }
    if (framer.isEnded === true) return this.close()
    if (this.#state === 'cutting' && !this.isWithinEvent) return this.#cutNow()
    if (this.#mustWait) this.#waiting ??= []
  }

  #count(events: Buffer, isPart: boolean): void {
    this.output.add(events, isPart)
    if (this.#state === 'open' && this.#isDue) this.#deciding ??= this.#decide()
  }

  /** @param rest What has not left yet of the events. */
  #leave(events: Buffer, rest: Buffer): void {
    this.output.sent(events)
    this.#target.pass(rest)
  }

  async #decide(): Promise<void> {
    const isOver = (await this.#findRoom()) && this.#state === 'open'
    this.#deciding = undefined
    if (isOver) this.#catchUp()
    const [held, waiting = []] = [this.#held, this.#waiting]
    this.#held = undefined
    this.#waiting = undefined
    if (isOver && !this.output.hasEnded) {
      // What was held is dropped: it would be beyond the quota.
      if (!this.isWithinEvent) return this.#cutNow()
      this.#state = 'cutting'
      this.#boundary = setTimeout(() => this.#cutNow(), BOUNDARY_WITHIN_MS)
    }
    if (held !== undefined) this.#leave(held.events, held.rest)
    if (isOver && this.#state === 'open') this.close()
    for (const chunk of waiting) this.write(chunk)
  }

  /** Resolves with whether the stream has written all that it may. */
  async #findRoom(): Promise<boolean> {
    const { allowance } = this.#options
    const { output } = this
    while (this.#state === 'open' && this.#isDue) {
      const isPlenty = !this.#isExhausted && allowance.step >= PLENTY_TOKENS
      if (isPlenty && (await this.#buy())) continue
      if (output.narrow()) continue
      // To ask for more costs less than to count.
      if (!this.#isExhausted) {
        await this.#buy()
        continue
      }
      if (await output.settle()) continue
      if (await this.#buy()) continue
      if (this.#isInputKnown) return output.counted >= allowance.outputTokens
      await this.#useInput()
      this.#updateThreshold()
    }
    return false
  }

  async #buy(): Promise<boolean> {
    const { allowance } = this.#options
    const { step } = allowance
    let bought = 0
    try {
      bought = await allowance.buy()
    } catch {
      // Nobody can decide: nothing more is given.
    }
    this.#isExhausted = bought < step || allowance.isDrained
    this.#updateThreshold()
    return bought > 0
  }

  /** Before a stream is cut, it has what was set aside for the bytes of its input beyond its tokens. */
  async #useInput(): Promise<void> {
    this.#isInputKnown = true
    const tokens = await this.#options.inputTokens().catch(() => undefined)
    if (tokens !== undefined) this.#options.allowance.useInput(tokens)
  }

  #updateThreshold(): void {
    const { watchedTokens, outputTokens } = this.#options.allowance
    this.#outputTokens = outputTokens
    this.#threshold = this.#isExhausted
      ? Math.min(watchedTokens, outputTokens) + SLACK_TOKENS
      : Math.max(0, watchedTokens - LOW_TOKENS)
  }

  #cutNow(): void {
    clearTimeout(this.#boundary)
    if (this.#state === 'closed' || this.#state === 'cut') return
    this.#state = 'cut'
    this.#target.cut()
  }
}
