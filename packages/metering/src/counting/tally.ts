import { createRequire } from 'node:module'
import { cutRuns } from './cut-runs.ts'
import { slices } from './safe-cut.ts'
import type { Encoding } from './token-family.ts'
import { BYTES_PER_TOKEN } from './token-work.ts'
import { WordCounter } from './word-counter.ts'

const load = createRequire(import.meta.url)
const encoders = new Map<Encoding, WordCounter>()

/** Loaded at the first count that needs it, and kept: an encoder can't be given back to the system. */
function encoderOf(encoding: Encoding): WordCounter {
  let encoder = encoders.get(encoding)
  if (encoder === undefined) {
    const { Tiktoken } = load('tiktoken/lite') as typeof import('tiktoken/lite')
    const ranks = load(`tiktoken/encoders/${encoding}.json`) as {
      bpe_ranks: string
      special_tokens: Record<string, number>
      pat_str: string
    }
    encoder = new WordCounter(new Tiktoken(ranks.bpe_ranks, ranks.special_tokens, ranks.pat_str))
    encoders.set(encoding, encoder)
  }
  return encoder
}

/** Tokens of a text as far as they were counted, and the bytes that were not. */
export interface Tallied {
  /** The best guess. */
  readonly tokens: number
  /** What was not counted, at one token a byte. */
  readonly bound: number
}

/**
 * Counts texts until a deadline; what is left then is extrapolated, and bounded by its bytes. The time that it takes to
 * load an encoder does not count.
 */
export class Tally {
  readonly #encoder: WordCounter
  readonly #untilMs: number
  #counted = 0
  #countedBytes = 0
  #isComplete = true
  #lastPiece = ''
  #lastTokens = 0

  constructor(encoding: Encoding, deadlineMs: number) {
    this.#encoder = encoderOf(encoding)
    this.#untilMs = performance.now() + deadlineMs
  }

  get isComplete(): boolean {
    return this.#isComplete
  }

  count(text: string): Tallied {
    let tokens = 0
    let leftBytes = 0
    for (const slice of slices(text)) {
      if (performance.now() > this.#untilMs) {
        leftBytes += Buffer.byteLength(slice)
        continue
      }
      // Special tokens in a text are text.
      let inSlice = 0
      for (const piece of cutRuns(slice)) inSlice += this.#encode(piece)
      tokens += inSlice
      this.#counted += inSlice
      this.#countedBytes += Buffer.byteLength(slice)
    }
    if (leftBytes === 0) return { tokens, bound: tokens }
    this.#isComplete = false
    // By bytes: they differ less between scripts than characters do.
    const perByte = this.#countedBytes === 0 ? 1 / BYTES_PER_TOKEN : this.#counted / this.#countedBytes
    return { tokens: tokens + Math.ceil(leftBytes * perByte), bound: tokens + leftBytes }
  }

  /** Long runs of one character are cut into pieces that are the same: encoding one of them is enough. */
  #encode(piece: string): number {
    if (piece !== this.#lastPiece) {
      this.#lastPiece = piece
      this.#lastTokens = this.#encoder.count(piece)
    }
    return this.#lastTokens
  }
}
