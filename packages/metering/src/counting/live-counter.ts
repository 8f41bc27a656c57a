import { lastSafeCut, wholeCharacters } from './safe-cut.ts'
import { tokenFamily } from './token-family.ts'
import type { TokenCounter } from './token-counter.ts'
import type { TokenCount } from './token-work.ts'

/** Characters that are worth a message to the worker. */
const BATCH = 2_048
/** The last safe cut is looked for among so many characters at the end. */
const WITHIN = 512
/** Text without any safe cut is cut anyway when so much of it waits. */
const MOST_PENDING = 65_536

/**
 * Counts a text as it comes in, at safe boundaries, in the counter's worker: the sum is the count of the whole text, and
 * adding to it costs next to nothing. It counts words alone, not what a model writes around an answer: one for each text
 * that is told apart. Holds at most 64 Ki characters that are not on their way to the worker.
 */
export class LiveCounter {
  readonly #counter: TokenCounter
  readonly #model: string | undefined
  readonly #batch: number
  /** Tokens of the model for one of its encoding. */
  readonly #factor: number
  #pending = ''
  /** Of text that is not counted yet, whether it waits here or at the worker. */
  #openBytes = 0
  #tryAt: number
  #counted = 0
  #bound = 0
  #isComplete = true
  #confidence: TokenCount['confidence'] = 'high'
  #inFlight: Promise<void> | undefined
  #finished: Promise<TokenCount> | undefined

  /** @param batch Characters that are worth a message to the worker, up to 65,536. Default: 2,048. */
  constructor(counter: TokenCounter, model: string | undefined, batch = BATCH) {
    this.#counter = counter
    this.#model = model
    this.#batch = Math.min(batch, MOST_PENDING)
    this.#tryAt = this.#batch
    this.#factor = tokenFamily(model).calibrated?.output.factor ?? 1
  }

  /** Adds what came. Text behind `finish` does not count. */
  add(text: string): void {
    if (this.#finished !== undefined || text === '') return
    this.#pending += text
    this.#openBytes += Buffer.byteLength(text)
    if (this.#pending.length >= this.#tryAt) this.#post(this.#cut())
  }

  /** A running figure that the text does not exceed: what is counted, and one token a byte for what is not yet. */
  get tokens(): number {
    return Math.ceil((this.#bound + this.#openBytes) * this.#factor)
  }

  /** Tokens of what was counted so far. */
  get counted(): number {
    return Math.round(this.#counted * this.#factor)
  }

  /** Bytes of text that is not counted yet. */
  get openBytes(): number {
    return this.#openBytes
  }

  /** Counts what is there by now, up to the last place where it can be cut; resolves when that is done. Never rejects. */
  async settle(): Promise<void> {
    if (this.#pending !== '') this.#post(lastSafeCut(this.#pending, this.#pending.length) || this.#pending.length)
    await this.#inFlight
  }

  /** The count of all that was added. Never rejects; asked again, it answers the same. */
  finish(): Promise<TokenCount> {
    return (this.#finished ??= this.#end())
  }

  async #end(): Promise<TokenCount> {
    this.#post(this.#pending.length)
    await this.#inFlight
    return {
      tokens: Math.round(this.#counted * this.#factor),
      bound: Math.ceil(this.#bound * this.#factor),
      isComplete: this.#isComplete,
      confidence: this.#confidence,
      isLowerBound: false,
    }
  }

  #cut(): number {
    const cut = lastSafeCut(this.#pending, WITHIN)
    if (cut > 0 || this.#pending.length < MOST_PENDING) return cut
    return wholeCharacters(this.#pending, this.#pending.length - WITHIN)
  }

  #post(end: number): void {
    const text = this.#pending.slice(0, end)
    this.#pending = this.#pending.slice(end)
    // Where there was no safe cut, there is none before more has come.
    this.#tryAt = this.#pending.length + this.#batch
    if (text === '') return
    const body = new Uint8Array(Buffer.from(text))
    const count = this.#counter.count({ kind: 'text', body, model: this.#model })
    const before = this.#inFlight
    this.#inFlight = this.#take(count, body.byteLength, before)
  }

  async #take(count: Promise<TokenCount>, bytes: number, before: Promise<void> | undefined): Promise<void> {
    const { tokens, bound, isComplete, confidence } = await count
    this.#counted += tokens
    this.#bound += bound
    this.#openBytes -= bytes
    this.#isComplete &&= isComplete
    if (confidence === 'low' || this.#confidence === 'high') this.#confidence = confidence
    await before
  }
}
