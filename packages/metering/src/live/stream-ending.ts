import { framingOf } from '../framing/framing.ts'
import { sseData } from '../framing/sse-event.ts'
import { isRaw, type Raw } from '../usage/reported-usage.ts'

/** How the documents of a stream follow each other. */
export type StreamFraming = 'sse' | 'ndjson' | 'array'

/**
 * How the documents of an answer follow each other, by its media type; `undefined` where it is none that comes in pieces.
 *
 * @param isStream Whether the request asks for a stream: then JSON is an array of documents.
 */
export function streamFramingOf(contentType: string, isStream: boolean): StreamFraming | undefined {
  const framing = framingOf(contentType)
  if (framing === 'sse' || framing === 'ndjson') return framing
  return framing === 'json' && isStream ? 'array' : undefined
}

/** What of a stream has left, and what its end is to say. */
export interface CutStream {
  readonly framing: StreamFraming
  /** Its first events, whole. */
  readonly head: Buffer
  /** Its latest events, whole. */
  readonly tail: Buffer
  /** Indices of answers that have ended by themselves. */
  readonly finished: ReadonlySet<number>
  readonly inputTokens: number | undefined
  readonly outputTokens: number
  /** Whether the caller has asked a chat completion for its usage. */
  readonly asksUsage: boolean
}

/** Documents that end a stream, with the names of their events where it has such, and what follows them as it is. */
interface Ending {
  readonly documents: readonly (readonly [event: string | undefined, document: unknown])[]
  readonly closing?: string
}

interface Seen {
  readonly first: readonly Raw[]
  /** Those and the latest. */
  readonly all: readonly Raw[]
}

/**
 * What ends a stream that is cut as if its model had come to the ceiling on its output: that is what client libraries take
 * for an end. Told by the stream's own documents, so that it holds for hosts that nobody has heard of. `undefined`: these
 * are of no stream that such an end is known of.
 */
export function streamEnding(cut: CutStream): Buffer | undefined {
  const first = streamDocuments(cut.framing, cut.head.toString('utf8'))
  const last = streamDocuments(cut.framing, cut.tail.toString('utf8'))
  const seen = { first, all: [...first, ...last] }
  const ending = ENDINGS.reduce<Ending | undefined>((found, of) => found ?? of(seen, cut), undefined)
  return ending === undefined ? undefined : Buffer.from(written(ending, cut))
}

/** Whether a stream has said by itself why it ends, so that only its closing words are to come. */
export function hasEnded({ framing, head, tail, finished }: Omit<CutStream, 'asksUsage' | `${string}Tokens`>): boolean {
  const last = streamDocuments(framing, tail.toString('utf8'))
  const all = [...streamDocuments(framing, head.toString('utf8')), ...last]
  const indices = choicesOf(all)
  if (indices.size > 0) return [...indices].every((index) => finished.has(index))
  return last.some(
    ({ done, delta, candidates, type, is_finished: isFinished }) =>
      done === true ||
      isFinished === true ||
      type === 'message-end' ||
      (isRaw(delta) && typeof delta['stop_reason'] === 'string') ||
      list(candidates).some((candidate) => isRaw(candidate) && typeof candidate['finishReason'] === 'string'),
  )
}

function choicesOf(documents: readonly Raw[]): ReadonlySet<number> {
  return new Set(documents.flatMap(({ choices }) => list(choices).map((choice) => numberOf(choice, 'index') ?? 0)))
}

const ENDINGS: readonly ((seen: Seen, cut: CutStream) => Ending | undefined)[] = [
  openAiChoices,
  openAiResponse,
  anthropicMessage,
  geminiCandidates,
  cohereMessage,
  ollamaLine,
]

/** Chat and legacy completions. Source: OpenAI API reference, chat completion chunk. */
function openAiChoices({ all }: Seen, cut: CutStream): Ending | undefined {
  const base = all.findLast(({ choices }) => Array.isArray(choices) && choices.length > 0)
  if (base === undefined) return undefined
  const { inputTokens = 0, outputTokens, asksUsage, finished } = cut
  const isText = isRaw(list(base['choices'])[0]) && 'text' in (list(base['choices'])[0] as Raw)
  const open = [...choicesOf(all)].filter((index) => !finished.has(index)).sort((one, other) => one - other)
  const chunk = { ...only(base, ['id', 'object', 'created', 'model', 'service_tier', 'system_fingerprint']) }
  const ends = open.map((index) => ({
    index,
    ...(isText ? { text: '' } : { delta: {} }),
    logprobs: null,
    finish_reason: 'length',
  }))
  const usage = {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  }
  const none = asksUsage ? { usage: null } : {}
  return {
    documents: [
      ...ends.map((choice) => [undefined, { ...chunk, choices: [choice], ...none }] as const),
      ...(asksUsage ? [[undefined, { ...chunk, choices: [], usage }] as const] : []),
    ],
    closing: 'data: [DONE]\n\n',
  }
}

/** Source: OpenAI API reference, `response.incomplete`. */
function openAiResponse({ first, all }: Seen, { inputTokens = 0, outputTokens }: CutStream): Ending | undefined {
  const created = first.find(({ type, response }) => type === 'response.created' && isRaw(response))
  if (created === undefined) return undefined
  const usage = {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  }
  const response = {
    ...(created['response'] as Raw),
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    usage,
  }
  const latest = all.reduce((most, document) => Math.max(most, numberOf(document, 'sequence_number') ?? -1), -1)
  const type = 'response.incomplete'
  return { documents: [[type, { type, response, ...(latest === -1 ? {} : { sequence_number: latest + 1 }) }]] }
}

/** Source: Anthropic API, streaming messages. */
function anthropicMessage({ first, all }: Seen, { outputTokens }: CutStream): Ending | undefined {
  if (!first.some(({ type, message }) => type === 'message_start' && isRaw(message))) return undefined
  const block = all.findLast(({ type }) => typeof type === 'string' && type.startsWith('content_block_'))
  const index = block?.['type'] === 'content_block_stop' ? undefined : numberOf(block, 'index')
  const delta = { stop_reason: 'max_tokens', stop_sequence: null }
  const documents = [
    ...(index === undefined ? [] : [{ type: 'content_block_stop', index }]),
    { type: 'message_delta', delta, usage: { output_tokens: outputTokens } },
    { type: 'message_stop' },
  ]
  return { documents: documents.map((document) => [document.type, document] as const) }
}

/** Source: Gemini API, GenerateContentResponse. */
function geminiCandidates({ all }: Seen, { inputTokens, outputTokens }: CutStream): Ending | undefined {
  const base = all.findLast(({ candidates, usageMetadata }) => Array.isArray(candidates) || isRaw(usageMetadata))
  if (base === undefined) return undefined
  const candidate = { content: { parts: [{ text: '' }], role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }
  const before = isRaw(base['usageMetadata']) ? base['usageMetadata'] : {}
  const prompt = numberOf(before, 'promptTokenCount') ?? inputTokens ?? 0
  const usageMetadata = {
    ...before,
    promptTokenCount: prompt,
    candidatesTokenCount: Math.max(0, outputTokens - (numberOf(before, 'thoughtsTokenCount') ?? 0)),
    totalTokenCount: prompt + outputTokens + (numberOf(before, 'toolUsePromptTokenCount') ?? 0),
  }
  const rest = only(base, ['modelVersion', 'responseId', 'createTime'])
  return { documents: [[undefined, { candidates: [candidate], usageMetadata, ...rest }]] }
}

/** Versions 2 and 1. Source: Cohere API reference, chat stream events. */
function cohereMessage({ first, all }: Seen, { inputTokens = 0, outputTokens }: CutStream): Ending | undefined {
  const tokens = { input_tokens: inputTokens, output_tokens: outputTokens }
  if (first.some(({ type }) => type === 'message-start')) {
    const content = all.findLast(({ type }) => typeof type === 'string' && type.startsWith('content-'))
    const index = content?.['type'] === 'content-end' ? undefined : numberOf(content, 'index')
    const documents = [
      ...(index === undefined ? [] : [{ type: 'content-end', index }]),
      { type: 'message-end', delta: { finish_reason: 'MAX_TOKENS', usage: { tokens } } },
    ]
    return { documents: documents.map((document) => [document.type, document] as const) }
  }
  if (!first.some(({ event_type: type }) => type === 'stream-start')) return undefined
  const end = { is_finished: true, event_type: 'stream-end', finish_reason: 'MAX_TOKENS' }
  return { documents: [[undefined, { ...end, response: { finish_reason: 'MAX_TOKENS', meta: { tokens } } }]] }
}

/** `/api/chat` and `/api/generate`. Source: Ollama API. */
function ollamaLine({ all }: Seen, { inputTokens, outputTokens }: CutStream): Ending | undefined {
  const base = all.findLast(({ done }) => done === false)
  if (base === undefined) return undefined
  const text = isRaw(base['message']) ? { message: { role: 'assistant', content: '' } } : { response: '' }
  const figures = {
    ...(inputTokens === undefined ? {} : { prompt_eval_count: inputTokens }),
    eval_count: outputTokens,
  }
  const end = { ...only(base, ['model', 'created_at']), ...text, done: true, done_reason: 'length', ...figures }
  return { documents: [[undefined, end]] }
}

function written({ documents, closing = '' }: Ending, { framing, head }: CutStream): string {
  if (framing === 'ndjson') return documents.map(([, document]) => `${JSON.stringify(document)}\n`).join('')
  if (framing === 'array') {
    const separator = head.length === 0 ? '[' : ',\r\n'
    return `${documents.map(([, document]) => `${separator}${JSON.stringify(document)}`).join('')}\n]`
  }
  const events = documents.map(
    ([event, document]) => `${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(document)}\n\n`,
  )
  return events.join('') + closing
}

/** The documents in whole events, lines, or elements of an array with what is between them; others are passed over. */
export function streamDocuments(framing: StreamFraming, text: string): readonly Raw[] {
  if (framing === 'sse') return sseData(text).flatMap(parsed)
  if (framing === 'ndjson') return text.split('\n').flatMap(parsed)
  return elementsOf(text)
}

function elementsOf(text: string): readonly Raw[] {
  const inner = text
    .trim()
    .replace(/^[[,]\s*/, '')
    .replace(/\]$/, '')
  const array = parsed(`{"of":[${inner}]}`)[0]?.['of']
  return list(array).filter(isRaw)
}

function parsed(text: string): readonly Raw[] {
  try {
    const document: unknown = JSON.parse(text)
    return isRaw(document) ? [document] : []
  } catch {
    return []
  }
}

function only(document: Raw, names: readonly string[]): Raw {
  return Object.fromEntries(names.flatMap((name) => (Object.hasOwn(document, name) ? [[name, document[name]]] : [])))
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function numberOf(value: unknown, name: string): number | undefined {
  const found = isRaw(value) ? value[name] : undefined
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined
}
