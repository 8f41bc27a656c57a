import { createRequire } from 'node:module'
import { parentPort } from 'node:worker_threads'
import type { Tiktoken } from 'tiktoken/lite'
import { cutRuns, isLowSurrogate } from './cut-runs.ts'
import { outputText } from './output-text.ts'
import { promptText } from './prompt-text.ts'
import { isRaw } from '../usage/reported-usage.ts'
import { tokenFamily, type Encoding } from './token-family.ts'
import { BYTES_PER_TOKEN, type TokenCount, type TokenReply, type TokenRequest, type TokenTask } from './token-work.ts'

/** Names a tool and wraps its arguments, in tokens. */
const PER_TOOL_CALL = 7
/** Wraps the definitions of tools. */
const PER_DEFINITIONS = 9
/** What an image or a file is taken for where nobody can look at it. */
const PER_MEDIUM = 1_600
/** Characters between two looks at the clock. */
const SLICE = 8_192
/**
 * Between two pieces that no encoding merges: before a space behind something else, before punctuation (but not the
 * apostrophe of a contraction) behind a letter or digit of ASCII, before Chinese punctuation behind a Chinese character.
 */
const SAFE_CUT =
  /\S(?= )|[A-Za-z\d](?=[!-&(-/:-@[-`{-~])|\p{Script=Han}(?=[\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f])/u

const load = createRequire(import.meta.url)
const encoders = new Map<Encoding, Tiktoken>()

/** Loaded at the first count that needs it, and kept: an encoder can't be given back to the system. */
function encoderOf(encoding: Encoding): Tiktoken {
  let encoder = encoders.get(encoding)
  if (encoder === undefined) {
    const { Tiktoken } = load('tiktoken/lite') as typeof import('tiktoken/lite')
    const ranks = load(`tiktoken/encoders/${encoding}.json`) as {
      bpe_ranks: string
      special_tokens: Record<string, number>
      pat_str: string
    }
    encoder = new Tiktoken(ranks.bpe_ranks, ranks.special_tokens, ranks.pat_str)
    encoders.set(encoding, encoder)
  }
  return encoder
}

/** Counts texts until a deadline; what is left then is extrapolated, and bounded by its bytes. */
class Tally {
  readonly #encoder: Tiktoken
  readonly #untilMs: number
  #counted = 0
  #countedBytes = 0
  #leftBytes = 0

  constructor(encoding: Encoding, deadlineMs: number) {
    this.#encoder = encoderOf(encoding)
    this.#untilMs = performance.now() + deadlineMs
  }

  add(text: string): void {
    for (const slice of slices(text)) {
      if (performance.now() > this.#untilMs) {
        this.#leftBytes += Buffer.byteLength(slice)
        continue
      }
      // Special tokens in a text are text.
      for (const piece of cutRuns(slice)) this.#counted += this.#encoder.encode_ordinary(piece).length
      this.#countedBytes += Buffer.byteLength(slice)
    }
  }

  get count(): TokenCount {
    // By bytes: they differ less between scripts than characters do.
    const perByte = this.#countedBytes === 0 ? 1 / BYTES_PER_TOKEN : this.#counted / this.#countedBytes
    return {
      tokens: this.#counted + Math.ceil(this.#leftBytes * perByte),
      bound: this.#counted + this.#leftBytes,
      isComplete: this.#leftBytes === 0,
    }
  }
}

/** Pieces of a text that can be encoded apart without changing the count, if there are any; else whole characters. */
function* slices(text: string): Generator<string> {
  let from = 0
  while (text.length - from > 2 * SLICE) {
    const cut = SAFE_CUT.exec(text.slice(from + SLICE, from + 2 * SLICE))
    let end = from + SLICE + (cut === null ? SLICE : cut.index + cut[0].length)
    if (isLowSurrogate(text.charCodeAt(end))) end += 1
    yield text.slice(from, end)
    from = end
  }
  yield text.slice(from)
}

function countOutput(task: TokenTask & { kind: 'output' }, deadlineMs: number): TokenCount {
  const { encoding, outputFactor } = tokenFamily(task.model)
  const { texts, toolCalls } = outputText(task.shape, task.framing, task.body)
  const tally = new Tally(encoding, deadlineMs)
  for (const text of [...texts, ...toolCalls]) tally.add(text)
  const { tokens, bound, isComplete } = tally.count
  const overhead = PER_TOOL_CALL * toolCalls.length
  return {
    tokens: Math.round(tokens * outputFactor) + overhead,
    bound: Math.ceil(bound * outputFactor) + overhead,
    isComplete,
  }
}

function countPrompt(task: TokenTask & { kind: 'prompt' }, deadlineMs: number): TokenCount {
  const { encoding, prompt } = tokenFamily(task.model)
  const body: unknown = JSON.parse(textOf(task.body))
  const { texts, messages, definitions, media } = promptText(task.shape, isRaw(body) ? body : {})
  const tally = new Tally(encoding, deadlineMs)
  for (const text of [...texts, definitions]) tally.add(text)
  const { tokens, bound, isComplete } = tally.count
  const overhead =
    prompt.base +
    prompt.perMessage * Math.max(0, messages - 1) +
    (definitions === '' ? 0 : PER_DEFINITIONS) +
    PER_MEDIUM * media
  const guess = Math.round(tokens * prompt.factor) + overhead
  return { tokens: guess, bound: Math.ceil(bound * Math.max(1, prompt.factor)) + overhead, isComplete }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

parentPort?.on('message', ({ id, task, deadlineMs }: TokenRequest) => {
  let reply: TokenReply
  try {
    const count = task.kind === 'output' ? countOutput(task, deadlineMs) : countPrompt(task, deadlineMs)
    reply = { id, count }
  } catch (error) {
    // A trap in WebAssembly leaves its memory unusable: only the end of the thread gives that back. What a body can
    // cause (no JSON, too deep, too long) does not cost the encoders.
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error
    reply = { id, error: error.name }
  }
  parentPort?.postMessage(reply)
})
