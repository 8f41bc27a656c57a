import { streamFramer, type LiveOutput, type StreamFramer, type StreamFraming } from '@tallygate/metering'
import type { StreamAllowance } from './stream-allowance.ts'

export interface LiveCutOptions {
  readonly allowance: StreamAllowance
  readonly output: LiveOutput
  readonly framing: StreamFraming
  /** What the input really is; `undefined` where nobody can tell. Asked for once, when nothing more can be bought. */
  readonly inputTokens: () => Promise<number | undefined>
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
/** A quota that gives so much at once is asked for more before anything is counted. */
const PLENTY_TOKENS = 16_384
/** What may pass, at one token a byte, while it is found out how much is left; the rest waits for that. */
const MOST_AHEAD = 512
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
  /** What must wait for a decision. */
  #waiting: Buffer[] | undefined
  /** Bytes that have left of the event that the framer holds. */
  #ahead = 0
  #boundary: NodeJS.Timeout | undefined

  constructor(options: LiveCutOptions, target: CutTarget) {
    this.#options = options
    this.#target = target
    this.output = options.output
    this.framing = options.framing
    this.#framer = streamFramer(options.framing)
    this.#updateThreshold()
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

  /** Takes the next bytes of the stream. */
  write(chunk: Buffer): void {
    const isClose = this.#isWatchful || this.output.bound + chunk.length >= this.#threshold
    const size = isClose ? PIECE_BYTES : chunk.length
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
    this.#waiting = undefined
  }

  /** From now on everything passes: the stream has come to its own end. */
  close(): void {
    clearTimeout(this.#boundary)
    if (this.#isOver) return
    this.#state = 'closed'
    const { held } = this.#framer
    const rest = held.subarray(this.#ahead)
    this.#ahead = held.length
    if (rest.length > 0) this.#target.pass(rest)
  }

  /** Whether the cut can be near. */
  get #isWatchful(): boolean {
    return this.#isExhausted || this.#deciding !== undefined || this.#state === 'cutting'
  }

  get #isOver(): boolean {
    return this.#state === 'cut' || this.#state === 'closed'
  }

  #step(piece: Buffer): void {
    const framer = this.#framer
    const before = framer.held
    const { events } = framer.push(piece)
    this.#leave(before, piece, events)
    if (framer.isEnded === true) return this.close()
    if (this.#state !== 'open') {
      if (this.#state === 'cutting' && !this.isWithinEvent) this.#cutNow()
      return
    }
    if (events.length === 0) return
    this.output.add(events)
    if (this.output.bound < this.#threshold) return
    this.#deciding ??= this.#decide()
    if (this.#isAhead && (!this.output.narrow() || this.#isAhead)) this.#waiting ??= []
  }

  get #isAhead(): boolean {
    return this.output.bound > this.#options.allowance.outputTokens + MOST_AHEAD
  }

  /** Where the cut can be near, only whole events leave: nobody can use a part of one, and it ends behind one. */
  #leave(before: Buffer, piece: Buffer, events: Buffer): void {
    const framer = this.#framer
    if (!this.#isWatchful || this.#state === 'cutting') {
      const left = before.subarray(this.#ahead)
      this.#ahead = framer.held.length
      if (left.length > 0) this.#target.pass(left)
      return this.#target.pass(piece)
    }
    if (events.length === 0) return
    const rest = events.subarray(this.#ahead)
    this.#ahead = 0
    this.#target.pass(rest)
  }

  async #decide(): Promise<void> {
    const isOver = await this.#findRoom()
    this.#deciding = undefined
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    if (isOver && this.output.hasEnded) this.close()
    if (isOver && this.#state === 'open') {
      if (!this.isWithinEvent) return this.#cutNow()
      this.#state = 'cutting'
      this.#boundary = setTimeout(() => this.#cutNow(), BOUNDARY_WITHIN_MS)
    }
    for (const chunk of waiting) this.write(chunk)
  }

  /** Resolves with whether the stream has written all that it may. */
  async #findRoom(): Promise<boolean> {
    const { allowance } = this.#options
    const { output } = this
    while (this.#state === 'open' && output.bound >= this.#threshold) {
      const isPlenty = !this.#isExhausted && allowance.step >= PLENTY_TOKENS
      if (isPlenty && (await this.#buy())) continue
      if (output.narrow()) continue
      if (output.bound > output.counted) {
        await output.settle()
        continue
      }
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
    this.#isExhausted = bought < step
    this.#updateThreshold()
    return bought > 0
  }

  /** Before a stream is cut, it has what was set aside for the bytes of its input beyond its tokens. */
  async #useInput(): Promise<void> {
    this.#isInputKnown = true
    const tokens = await this.#options.inputTokens()
    if (tokens !== undefined) this.#options.allowance.useInput(tokens)
  }

  #updateThreshold(): void {
    const { watchedTokens, outputTokens } = this.#options.allowance
    this.#threshold = this.#isExhausted
      ? Math.min(watchedTokens, outputTokens)
      : Math.max(0, watchedTokens - LOW_TOKENS)
  }

  #cutNow(): void {
    clearTimeout(this.#boundary)
    if (this.#state === 'closed' || this.#state === 'cut') return
    this.#state = 'cut'
    this.#target.cut()
  }
}
