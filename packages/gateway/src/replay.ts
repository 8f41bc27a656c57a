import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { QuotaError, type UsageBasis } from '@tallygate/core'
import { Answer, usageOf, type AnsweredCall, type AnswerFacts } from '@tallygate/flow'
import {
  adapterOf,
  dialectOf,
  matchOperation,
  readRequestFacts,
  UsageCollector,
  usageReaderFor,
  type AdapterMatch,
  type Dialect,
  type ReportedUsage,
  type RequestFacts,
  type TokenCounter,
} from '@tallygate/metering'
import { REPLAYED_FIGURES, type Recording } from './recordings.ts'

export type Coding = 'gzip' | 'br' | 'zstd'

export interface ReplayOptions {
  /** How the body is cut; absent: it comes in one piece. */
  readonly cut?: (body: Buffer) => readonly Buffer[]
  readonly compress?: Coding | undefined
  /** Counts what a provider has stated in part. */
  readonly counter: TokenCounter
}

/** What became of a recording. */
export interface Replayed {
  readonly id: string
  /** As reported, before anything is clamped; `null`: the provider states none. */
  readonly usage: ReplayedUsage | null
  /** As the ledger would say; `null` without usage. */
  readonly basis: UsageBasis | null
  /** What is not as it should be. */
  readonly mistakes: readonly string[]
}

export type ReplayedUsage = Partial<Record<(typeof REPLAYED_FIGURES)[number], number>>

const COMPRESS: Readonly<Record<Coding, (body: Buffer) => Buffer>> = {
  gzip: (body) => gzipSync(body),
  // The best quality takes ten times as long, and is undone in the same way.
  br: (body) => brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (body) => zstdCompressSync(body),
}

/** Operations by the names that recordings have for them, where their path tells none. */
const OPERATION_OF_API: Readonly<Record<string, string>> = {
  chat: 'openai-chat',
  'chat.completions': 'openai-chat',
  completions: 'openai-completions',
  responses: 'openai-responses',
  'responses.compact': 'openai-compact',
  embeddings: 'openai-embeddings',
  images: 'openai-images',
  transcription: 'openai-transcription',
  speech: 'openai-speech',
  realtime: 'openai-realtime',
  messages: 'anthropic-messages',
  count_tokens: 'openai-count',
  generateContent: 'gemini-generate',
  interactions: 'gemini-interactions',
  predict: 'vertex-predict',
  converse: 'bedrock-converse',
  invoke: 'bedrock-invoke',
  'chat.v1': 'cohere-chat',
  'chat.v2': 'cohere-chat',
  generate: 'cohere-generate',
  rerank: 'rerank',
  ocr: 'mistral-ocr',
  'ollama.chat': 'ollama-chat',
  'ollama.generate': 'ollama-generate',
  'ollama.embed': 'ollama-embed',
}
const UNREAD: RequestFacts = { model: undefined, stream: false, outputCeiling: undefined }
const WEBSOCKET_BODY = /\.ws\.jsonl$/

/** Leads a recorded answer through the code of a live call, and compares what it reads and lets through. */
export async function replay(recording: Recording, body: Buffer, options: ReplayOptions): Promise<Replayed> {
  const match = matchOf(recording)
  const isSession =
    WEBSOCKET_BODY.test(recording.responsePath ?? '') || recording.headers['content-type'] === 'application/x-ws-jsonl'
  const answered = isSession ? session(match, recording, body) : await answer(match, recording, body, options)
  const { facts, mistakes } = answered
  const { reported } = facts.reading
  const usage = match === undefined || reported === undefined ? undefined : await usageAs(match, facts, options.counter)
  const figures = reported === undefined ? null : figuresOf(reported)
  const basis = usage?.basis ?? null
  return { id: recording.id, usage: figures, basis, mistakes: [...mistakes, ...compared(recording, figures)] }
}

/** A body is cut into not many more pieces than this. */
const MOST_PIECES = 250

/** Pieces of random lengths, short and long, the same for the same seed. */
export function cutBySeed(seed: number): (body: Buffer) => readonly Buffer[] {
  let state = seed >>> 0
  const below = (bound: number): number => {
    // Mulberry32: small, and even enough for lengths.
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound
  }
  return (body) => {
    const pieces: Buffer[] = []
    const most = Math.max([2, 16, 128, 1_024, 8_192][below(5)]!, Math.ceil((2 * body.length) / MOST_PIECES))
    for (let at = 0; at < body.length;) {
      const end = Math.min(body.length, at + 1 + below(most))
      // A copy, so that what lies behind it can't be read.
      pieces.push(Buffer.from(body.subarray(at, end)))
      at = end
    }
    return pieces
  }
}

/** The operation, by the path; where that does not tell, by what an operator would have configured. */
function matchOf({ method, url, provider, api }: Recording): AdapterMatch | undefined {
  const { host, path } = placeOf(url)
  const methods = method === undefined ? ['POST', 'GET'] : [method]
  const isNamed = path === '' || path === `/${api}`
  if (!isNamed) {
    for (const each of methods) {
      const match = matchOperation(each, path, host)
      if (match !== undefined) return match
    }
  }
  const adapter = adapterOf(OPERATION_OF_API[api] ?? '', provider)
  return adapter === undefined ? undefined : { adapter, named: {} }
}

function placeOf(url: string): { readonly host: string; readonly path: string } {
  if (!URL.canParse(url)) return { host: '', path: url }
  const { host, pathname, search } = new URL(url)
  return { host, path: pathname === '/' ? '' : pathname + search }
}

interface Answered {
  readonly facts: AnswerFacts
  readonly mistakes: readonly string[]
}

async function answer(
  match: AdapterMatch | undefined,
  recording: Recording,
  body: Buffer,
  { cut = (bytes) => [bytes], compress }: ReplayOptions,
): Promise<Answered> {
  const sent = compress === undefined ? body : COMPRESS[compress](body)
  const received: Buffer[] = []
  const call = new ReplayedCall(match, recording)
  const answer = new Answer(call, { push: (bytes) => void received.push(bytes) })
  const coding = compress === undefined ? {} : { 'content-encoding': compress }
  const headers: Readonly<Record<string, unknown>> = { ...recording.headers, ...coding }
  const { remove } = answer.head(recording.status, { getHeader: (name) => headers[name] })
  for (const piece of cut(sent)) {
    answer.write(piece)
    if (answer.isBusy) await answer.settled()
  }
  const last = await answer.end()
  if (last !== undefined) received.push(last)
  const isSame = remove.length === 0 && Buffer.concat(received).equals(sent)
  return { facts: answer.facts, mistakes: isSame ? [] : ['the caller does not get the bytes that the provider sent'] }
}

/** The messages that a session received, each a frame of its own. */
function session(match: AdapterMatch | undefined, { id }: Recording, body: Buffer): Answered {
  const reader = usageReaderFor('messages', new UsageCollector(match?.adapter.usage ?? 'realtime'))
  const lines = body.toString('utf8').split('\n')
  for (const [at, line] of lines.entries()) {
    if (line.trim() === '') continue
    const { direction, data } = messageOf(line, `${id}: message ${at + 1}`)
    if (direction === 'received')
      reader.write(Buffer.from(typeof data === 'string' ? data : (JSON.stringify(data) ?? '')))
  }
  reader.end()
  const { framing, reading, kept } = reader
  return { facts: { status: 101, framing, reading, kept, isStream: true, providerRequestId: undefined }, mistakes: [] }
}

function messageOf(line: string, at: string): { readonly direction?: unknown; readonly data?: unknown } {
  try {
    return Object(JSON.parse(line)) as { readonly direction?: unknown; readonly data?: unknown }
  } catch (error) {
    throw new QuotaError('ERR_QUOTA_CONFIG', `${at} is no JSON: a session has one message a line`, { cause: error })
  }
}

/** A call whose answer was recorded: it is asked what a live one is asked, and writes nothing down. */
class ReplayedCall implements AnsweredCall {
  readonly attemptId = 'replayed'
  readonly dialect: Dialect
  readonly meters: boolean
  readonly metered: AnsweredCall['metered']

  constructor(match: AdapterMatch | undefined, { url, request }: Recording) {
    this.dialect = match?.adapter.dialect ?? dialectOf(url)
    this.meters = match !== undefined
    const isBody = typeof request === 'object' && request !== null && !Array.isArray(request)
    const facts = match !== undefined && isBody ? readRequestFacts(match, request as Record<string, unknown>) : UNREAD
    this.metered = { match, facts, isUsageInjected: false }
  }

  rateLimitFields(): Readonly<Record<string, string>> {
    return {}
  }

  async finish(): Promise<void> {}
}

function usageAs(match: AdapterMatch, { framing, reading, kept }: AnswerFacts, counter: TokenCounter) {
  const request = { facts: UNREAD, requestBody: undefined, requestBytes: 0 }
  return usageOf({ match, ...request, framing, reading, kept, isComplete: true }, counter)
}

function figuresOf(reported: ReportedUsage): ReplayedUsage {
  const figures: ReplayedUsage = {}
  for (const name of REPLAYED_FIGURES) {
    const figure = reported[name]
    if (figure !== undefined) figures[name] = figure
  }
  return figures
}

function compared({ expected }: Recording, usage: ReplayedUsage | null): readonly string[] {
  if (expected === null) return usage === null ? [] : [`usage is ${JSON.stringify(usage)}, expected none`]
  if (usage === null) return [`usage is not found, expected ${JSON.stringify(expected)}`]
  return REPLAYED_FIGURES.flatMap((name) => {
    const wanted = expected[name]
    if (wanted === undefined || wanted === null || wanted === usage[name]) return []
    return [`${name} is ${usage[name] ?? 'not found'}, expected ${JSON.stringify(wanted)}`]
  })
}
