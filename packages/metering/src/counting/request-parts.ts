import { isRaw, type Raw } from '../usage/reported-usage.ts'
import { isMedium, type Medium } from './medium.ts'
import { toolDefinitions, type ToolDefinition } from './tool-definition.ts'

/** What of a request becomes input tokens, found by members' names and not by provider: unknown shapes are read too. */
export interface RequestParts {
  /** One for each message, the instructions first. */
  readonly texts: readonly string[]
  /** How many of the messages are instructions. */
  readonly instructions: number
  readonly tools: readonly ToolDefinition[]
  /** JSON schema of the answer, as JSON; empty if there is none. */
  readonly schema: string
  /** Calls of tools and their results among the messages. */
  readonly calls: number
  readonly media: readonly Medium[]
  /** Tokens that the caller encoded itself. */
  readonly encoded: number
  /** The request refers to what only its provider has: an earlier answer, a cache, a tool that it runs. */
  readonly hasServerState: boolean
}

const INSTRUCTIONS = ['instructions', 'system', 'systemInstruction', 'system_instruction', 'preamble'] as const
const MESSAGES = [
  'chat_history',
  'messages',
  'contents',
  'content',
  'requests',
  'instances',
  'input',
  'message',
  'prompt',
  'suffix',
  'query',
  'documents',
  'texts',
  'inputs',
  'inputText',
] as const
const SCHEMAS: readonly (readonly string[])[] = [
  ['response_format', 'json_schema', 'schema'],
  ['response_format', 'schema'],
  ['text', 'format', 'schema'],
  ['output_format', 'schema'],
  ['output_config', 'format', 'schema'],
  ['outputConfig', 'textFormat', 'structure', 'jsonSchema', 'schema'],
  ['generationConfig', 'responseSchema'],
  ['generationConfig', 'responseJsonSchema'],
  ['generation_config', 'response_schema'],
  ['format'],
]
const SERVER_STATE = [
  'previous_response_id',
  'conversation',
  'cachedContent',
  'cached_content',
  'container',
  'mcp_servers',
] as const
/** Members by which parts refer to each other; models don't read them. */
const PLUMBING: ReadonlySet<string> = new Set([
  'type',
  'role',
  'id',
  'status',
  'annotations',
  'tool_call_id',
  'tool_use_id',
  'toolUseId',
  'call_id',
  'cache_control',
  'cachePoint',
  'media_type',
  'mimeType',
  'is_error',
  // What providers hand out for themselves.
  'encrypted_content',
  'signature',
  'thoughtSignature',
  'thought_signature',
])
/** Arguments and results of tools, which models read as JSON. */
const DOCUMENTS: ReadonlySet<string> = new Set(['input', 'args', 'arguments', 'response', 'json'])
const CALLS: ReadonlySet<string> = new Set([
  'function',
  'function_call',
  'functionCall',
  'functionResponse',
  'toolUse',
  'toolResult',
])
const CALL_TYPES: ReadonlySet<unknown> = new Set([
  'tool_use',
  'tool_result',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
])
const SERVER_TYPES: ReadonlySet<unknown> = new Set(['item_reference', 'compaction'])

/** What a request consists of. Throws nothing, whatever stands where something else belongs. */
export function requestParts(body: Raw): RequestParts {
  const into = new Collector()
  for (const name of INSTRUCTIONS) into.instruct(body[name])
  for (const name of MESSAGES) {
    // A prompt that is an object names one that the provider keeps.
    if (name === 'prompt' && isRaw(body[name])) into.hasServerState = true
    else into.messages(body[name])
  }
  const { tools, hasHosted } = toolDefinitions(body)
  const { texts, instructions, calls, media, encoded, hasServerState } = into
  return {
    texts,
    instructions,
    calls,
    media,
    encoded,
    tools,
    schema: schemaOf(body),
    hasServerState: hasServerState || hasHosted || SERVER_STATE.some((name) => isThere(body[name])),
  }
}

class Collector {
  readonly texts: string[] = []
  readonly media: Medium[] = []
  instructions = 0
  calls = 0
  encoded = 0
  hasServerState = false

  instruct(value: unknown): void {
    if (!isThere(value)) return
    this.instructions += 1
    this.#message(value)
  }

  messages(value: unknown): void {
    if (!isThere(value)) return
    if (!Array.isArray(value)) this.#message(value)
    else if (value.every((each) => typeof each === 'number')) this.encoded += value.length
    else {
      const turn = lastTurn(value)
      for (const [index, message] of value.entries()) this.#message(message, index < turn)
    }
  }

  #message(message: unknown, isPast = false): void {
    if (Array.isArray(message) && message.every((each) => typeof each === 'number')) {
      this.encoded += message.length
      return
    }
    const parts: string[] = []
    this.#collect(message, parts, isPast)
    this.texts.push(parts.join(''))
  }

  #collect(root: unknown, parts: string[], isPast: boolean): void {
    // By a list and not by recursion, as bodies can be deep; reversed, to keep the order of the text.
    const open: unknown[] = [root]
    while (open.length > 0) {
      const value = open.pop()
      if (typeof value === 'string') parts.push(value)
      else if (typeof value === 'number' || typeof value === 'boolean') parts.push(String(value))
      else if (Array.isArray(value)) {
        // One by one: arguments go on the stack, and an array can be longer than that.
        for (let at = value.length - 1; at >= 0; at -= 1) open.push(value[at])
      } else if (isRaw(value) && !(isPast && isThought(value))) this.#members(value, open)
    }
  }

  #members(value: Raw, open: unknown[]): void {
    if (CALL_TYPES.has(value['type']) || value['role'] === 'tool') this.calls += 1
    if (SERVER_TYPES.has(value['type'])) this.hasServerState = true
    for (const [name, member] of Object.entries(value).toReversed()) {
      if (isMedium(name, member)) this.media.push({ holder: value, name })
      else if (!PLUMBING.has(name) && isThere(member)) {
        if (CALLS.has(name)) this.calls += 1
        open.push(DOCUMENTS.has(name) && isRaw(member) ? jsonOf(member) : member)
      }
    }
  }
}

/** Thoughts of Claude's, which it reads again only in the turn that they belong to. */
function isThought(part: Raw): boolean {
  return (part['type'] === 'thinking' && typeof part['thinking'] === 'string') || isRaw(part['reasoningContent'])
}

/** Where the last turn begins: the user's last message that is no result of a tool; -1 if there is none. */
export function lastTurn(messages: readonly unknown[]): number {
  return messages.findLastIndex((each) => isRaw(each) && each['role'] === 'user' && !isResult(each))
}

function isResult(message: Raw): boolean {
  const parts = message['parts'] ?? message['content']
  return (
    Array.isArray(parts) &&
    parts.some(
      (part) => isRaw(part) && ('functionResponse' in part || 'toolResult' in part || part['type'] === 'tool_result'),
    )
  )
}

function schemaOf(body: Raw): string {
  for (const path of SCHEMAS) {
    let value: unknown = body
    for (const name of path) value = isRaw(value) ? value[name] : undefined
    if (isRaw(value)) return jsonOf(value)
    // Bedrock has it as a text.
    if (typeof value === 'string' && value.startsWith('{')) return value
  }
  return ''
}

/** A value as JSON; nothing of one that is nested too deep for that. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch {
    return ''
  }
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}
