import { isRaw } from '../usage/reported-usage.ts'
import { documentsOf } from '../framing/documents.ts'
import type { Framing } from '../framing/framing.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

/** What a model has written, as far as it can be seen. */
export interface OutputText {
  /** Texts that are tokenized apart: one for each answer and kind. */
  readonly texts: readonly string[]
  /** Names and arguments of the tools it calls. */
  readonly toolCalls: readonly string[]
}

/** Collects texts under keys, so that interleaved answers don't mix. */
class Collector {
  readonly texts = new Map<string, string>()
  readonly toolCalls = new Map<string, string>()

  text(key: string, value: unknown): void {
    if (typeof value === 'string') this.texts.set(key, (this.texts.get(key) ?? '') + value)
  }

  toolCall(key: string, ...parts: readonly unknown[]): void {
    const written = parts
      .map((part) => (typeof part === 'string' ? part : part === undefined ? '' : JSON.stringify(part)))
      .join('')
    this.toolCalls.set(key, (this.toolCalls.get(key) ?? '') + written)
  }
}

const COLLECT: Readonly<Partial<Record<UsageShape, (document: unknown, into: Collector) => void>>> = {
  'openai-chat': collectOpenAiChat,
  'openai-responses': collectOpenAiResponses,
  anthropic: collectAnthropic,
  gemini: collectGemini,
}

/**
 * The text of an answer, or of its beginning.
 *
 * @param body Its bytes, also if they were cut off.
 */
export function outputText(shape: UsageShape, framing: Framing, body: Uint8Array | string): OutputText {
  const into = new Collector()
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const documents = documentsOf(framing, bytes)
  // A document that is cut off is counted as it is, syntax and all, rather than not at all.
  if (documents.length === 0 && framing === 'json') return { texts: [textOf(bytes)], toolCalls: [] }
  const collect = COLLECT[shape] ?? collectOpenAiChat
  for (const document of documents) collect(document, into)
  return { texts: [...into.texts.values()], toolCalls: [...into.toolCalls.values()] }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Where a piece belongs; providers that send only one leave it out. */
function place(index: unknown, otherwise = 0): string {
  return String(typeof index === 'number' ? index : otherwise)
}

function collectOpenAiChat(document: unknown, into: Collector): void {
  if (!isRaw(document)) return
  for (const choice of list(document['choices'])) {
    if (!isRaw(choice)) continue
    const key = place(choice['index'])
    const message = choice['delta'] ?? choice['message']
    into.text(key, choice['text'])
    if (!isRaw(message)) continue
    into.text(key, message['content'])
    into.text(key, message['refusal'])
    into.text(`${key}/reasoning`, message['reasoning_content'] ?? message['reasoning'])
    for (const [index, call] of list(message['tool_calls']).entries()) {
      if (!isRaw(call) || !isRaw(call['function'])) continue
      into.toolCall(`${key}/${place(call['index'], index)}`, call['function']['name'], call['function']['arguments'])
    }
  }
}

function collectOpenAiResponses(document: unknown, into: Collector): void {
  if (!isRaw(document)) return
  const type = document['type']
  const key = `${place(document['output_index'])}/${place(document['content_index'])}`
  if (typeof type !== 'string') {
    for (const [index, item] of list(document['output']).entries()) collectResponsesItem(item, String(index), into)
  } else if (type.endsWith('_text.delta') || type === 'response.refusal.delta') {
    into.text(type.includes('reasoning') ? `${key}/reasoning` : key, document['delta'])
  } else if (type === 'response.function_call_arguments.delta' || type === 'response.custom_tool_call_input.delta') {
    into.toolCall(place(document['output_index']), document['delta'])
  } else if (type === 'response.output_item.added' && isRaw(document['item'])) {
    if (typeof document['item']['name'] === 'string')
      into.toolCall(place(document['output_index']), document['item']['name'])
  }
}

function collectResponsesItem(item: unknown, key: string, into: Collector): void {
  if (!isRaw(item)) return
  if (typeof item['name'] === 'string') into.toolCall(key, item['name'], item['arguments'] ?? item['input'])
  for (const part of [...list(item['content']), ...list(item['summary'])]) {
    if (isRaw(part)) into.text(key, part['text'] ?? part['refusal'])
  }
}

function collectAnthropic(document: unknown, into: Collector): void {
  if (!isRaw(document)) return
  const key = place(document['index'])
  const { content_block: block, delta } = document as { content_block?: unknown; delta?: unknown }
  if (isRaw(block)) collectAnthropicBlock(block, key, into)
  if (isRaw(delta)) {
    into.text(key, delta['text'])
    into.text(key, delta['thinking'])
    if (typeof delta['partial_json'] === 'string') into.toolCall(key, delta['partial_json'])
  }
  for (const [index, part] of list(document['content']).entries()) {
    if (isRaw(part)) collectAnthropicBlock(part, String(index), into)
  }
}

function collectAnthropicBlock(block: Readonly<Record<string, unknown>>, key: string, into: Collector): void {
  into.text(key, block['text'])
  into.text(key, block['thinking'])
  if (typeof block['name'] !== 'string') return
  // A stream begins a call with an empty input and sends it in pieces.
  const input = block['input']
  into.toolCall(key, block['name'], isRaw(input) && Object.keys(input).length === 0 ? undefined : input)
}

function collectGemini(document: unknown, into: Collector): void {
  if (!isRaw(document)) return
  for (const candidate of list(document['candidates'])) {
    if (!isRaw(candidate) || !isRaw(candidate['content'])) continue
    const key = place(candidate['index'])
    for (const part of list(candidate['content']['parts'])) {
      if (!isRaw(part)) continue
      into.text(part['thought'] === true ? `${key}/thought` : key, part['text'])
      const call = part['functionCall']
      if (isRaw(call)) into.toolCall(`${key}/${into.toolCalls.size}`, call['name'], call['args'])
    }
  }
}
