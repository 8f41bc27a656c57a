import { createRequire } from 'node:module'
import type { Tiktoken } from 'tiktoken/lite'

const load = createRequire(import.meta.url)
const encoders = new Map<string, Tiktoken>()

/** Tokens of a text, by tiktoken itself, in one piece. */
export function tiktokenCount(encoding: 'o200k_base' | 'cl100k_base', text: string): number {
  let encoder = encoders.get(encoding)
  if (encoder === undefined) {
    const lite = load('tiktoken/lite') as typeof import('tiktoken/lite')
    const ranks = load(`tiktoken/encoders/${encoding}.json`) as {
      bpe_ranks: string
      special_tokens: Record<string, number>
      pat_str: string
    }
    encoder = new lite.Tiktoken(ranks.bpe_ranks, ranks.special_tokens, ranks.pat_str)
    encoders.set(encoding, encoder)
  }
  return encoder.encode_ordinary(text).length
}
