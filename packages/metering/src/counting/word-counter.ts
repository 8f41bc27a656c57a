import type { Tiktoken } from 'tiktoken/lite'
import { copiedText } from '../copied-text.ts'

/** Longer words are hardly ever one token. */
const MOST_CHARACTERS = 16
/** Most that are remembered: some 3 MB. The first that are met are the commonest. */
const MOST_WORDS = 32_768
const SPACE = ' '
const FIRST_PRINTABLE = 0x21
const LAST_PRINTABLE = 0x7e
const LETTERS = /^ ?[A-Za-z]+$/

/**
 * Counts tokens as an encoder does, and remembers which words are one token: to know one again takes a tenth of encoding
 * it. Only words that are in the encoder's own vocabulary are kept, so nothing that a text could give away. It is cut
 * before spaces behind printable ASCII, where no encoding merges.
 */
export class WordCounter {
  readonly #encoder: Pick<Tiktoken, 'encode_ordinary'>
  readonly #words = new Set<string>()

  constructor(encoder: Pick<Tiktoken, 'encode_ordinary'>) {
    this.#encoder = encoder
  }

  /** Tokens of a text. Special tokens in it are text. */
  count(text: string): number {
    let tokens = 0
    /** Where that begins which is to be encoded together. */
    let from = 0
    for (let at = 0; at < text.length;) {
      const end = endOfWord(text, at)
      const inWord = end - at > MOST_CHARACTERS ? 0 : this.#countWord(text.slice(at, end))
      if (inWord > 0) {
        if (at > from) tokens += this.#encode(text.slice(from, at))
        tokens += inWord
        from = end
      }
      at = end
    }
    return from === text.length ? tokens : tokens + this.#encode(text.slice(from))
  }

  /** 0: what is no word of letters, and all that is new when enough is known, is encoded with what is beside it. */
  #countWord(word: string): number {
    if (this.#words.has(word)) return 1
    if (this.#words.size === MOST_WORDS || !LETTERS.test(word)) return 0
    const tokens = this.#encode(word)
    if (tokens === 1) this.#words.add(copiedText(word))
    return tokens
  }

  #encode(text: string): number {
    return this.#encoder.encode_ordinary(text).length
  }
}

/** Where the word that begins at an index ends: before the next space behind printable ASCII. */
function endOfWord(text: string, from: number): number {
  let at = text.indexOf(SPACE, from + 1)
  while (at !== -1) {
    const before = text.charCodeAt(at - 1)
    if (before >= FIRST_PRINTABLE && before <= LAST_PRINTABLE) return at
    at = text.indexOf(SPACE, at + 1)
  }
  return text.length
}
