import { isRaw, type Raw } from '../usage/reported-usage.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

/** What of a request becomes input tokens. */
export interface PromptText {
  readonly texts: readonly string[]
  /** Number of messages, each of which costs a little of its own. */
  readonly messages: number
  /** Definitions of tools and schemas, as JSON. */
  readonly definitions: string
  /** Images and other media that are part of the prompt. */
  readonly media: number
}

/** Members that hold an encoded file or a reference to one, not text for the model. */
const MEDIA_MEMBERS: ReadonlySet<string> = new Set([
  'image_url',
  'input_audio',
  'file_data',
  'source',
  'inlineData',
  'inline_data',
  'fileData',
  'file_data_uri',
])
/** Members by which parts refer to each other; models don't read them. */
const PLUMBING: ReadonlySet<string> = new Set([
  'type',
  'role',
  'id',
  'tool_call_id',
  'tool_use_id',
  'call_id',
  'cache_control',
  'media_type',
  // What providers hand out for themselves.
  'encrypted_content',
  'signature',
  'thoughtSignature',
  'thought_signature',
])

/** The text of a request, by the shape of its operation. */
export function promptText(shape: UsageShape, body: Raw): PromptText {
  const into = new PromptCollector()
  switch (shape) {
    case 'openai-chat':
      into.messages(body['messages'] ?? body['prompt'])
      break
    case 'openai-responses':
      into.messages(body['instructions'] === undefined ? [] : [body['instructions']])
      into.messages(body['input'])
      break
    case 'anthropic':
      into.messages(body['system'] === undefined ? [] : [body['system']])
      into.messages(body['messages'])
      break
    case 'gemini':
      into.messages([body['systemInstruction'] ?? body['system_instruction']].filter(isRaw))
      into.messages(body['contents'])
  }
  const definitions = [body['tools'], body['functions'], body['response_format'], body['text']].filter(
    (part) => part !== undefined,
  )
  return {
    texts: into.texts,
    messages: into.count,
    definitions: definitions.length === 0 ? '' : JSON.stringify(definitions),
    media: into.media,
  }
}

class PromptCollector {
  readonly texts: string[] = []
  count = 0
  media = 0

  messages(value: unknown): void {
    if (Array.isArray(value)) {
      for (const message of value) this.#message(message)
    } else if (value !== undefined && value !== null) this.#message(value)
  }

  #message(message: unknown): void {
    this.count += 1
    const parts: string[] = []
    this.#collect(message, parts)
    this.texts.push(parts.join(''))
  }

  #collect(root: unknown, parts: string[]): void {
    // By a list and not by recursion, as bodies can be deep; reversed, to keep the order of the text.
    const open: unknown[] = [root]
    while (open.length > 0) {
      const value = open.pop()
      if (typeof value === 'string') parts.push(value)
      else if (typeof value === 'number' || typeof value === 'boolean') parts.push(String(value))
      else if (Array.isArray(value)) {
        // One by one: arguments go on the stack, and an array can be longer than that.
        for (let at = value.length - 1; at >= 0; at -= 1) open.push(value[at])
      } else if (isRaw(value)) {
        for (const [name, member] of Object.entries(value).toReversed()) {
          if (MEDIA_MEMBERS.has(name) && !isTextSource(name, member)) this.media += 1
          else if (!PLUMBING.has(name)) open.push(member)
        }
      }
    }
  }
}

/** Anthropic's documents and search results can be text; everybody else's media are not. */
function isTextSource(name: string, member: unknown): boolean {
  if (name !== 'source') return false
  return typeof member === 'string' || (isRaw(member) && (member['type'] === 'text' || member['type'] === 'content'))
}
