import { isRaw, type Raw } from '../usage/reported-usage.ts'

/** Members of requests that define tools, in any dialect. */
const TOOLS = ['tools', 'functions', 'toolConfig', 'tool_config']
/** Members that a turn of a tool's call or result has, in any dialect. */
const HISTORY = [
  'tool_calls',
  'tool_call_id',
  'function_call',
  'functionCall',
  'function_response',
  'functionResponse',
  'toolUse',
  'toolResult',
]
const HISTORY_ROLES: ReadonlySet<unknown> = new Set(['tool', 'function'])
const HISTORY_TYPES: ReadonlySet<unknown> = new Set([
  'tool_use',
  'tool_result',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
])
/** Parts that are no text. */
const MEDIA_TYPES: ReadonlySet<unknown> = new Set([
  'image_url',
  'input_image',
  'image',
  'input_audio',
  'audio',
  'document',
  'file',
  'input_file',
  'video',
])
const MEDIA = ['inlineData', 'inline_data', 'fileData', 'file_data', 'image', 'document', 'video', 'images']
/** What the provider keeps and adds to the request. */
const STATE = ['previous_response_id', 'conversation', 'cachedContent', 'cached_content']
/** Turns and parts that are looked at. */
const MOST_TURNS = 2_000
const MOST_PARTS = 32

/**
 * What a request is made of, as far as counts go wrong in different ways: `text`, or any of `tools`, `history` (calls of
 * tools that were made), `schema`, `media`, and `state` (that its provider keeps), joined by `+`. A look at the top of the
 * body, in bounded time.
 */
export function requestKind(body: Raw): string {
  const kinds: string[] = []
  if (TOOLS.some((name) => isFilled(body[name]))) kinds.push('tools')
  const turns = turnsOf(body)
  if (turns.some((turn) => hasPart(turn, isOfTool))) kinds.push('history')
  if (hasSchema(body)) kinds.push('schema')
  if (turns.some((turn) => hasPart(turn, isMedium))) kinds.push('media')
  if (STATE.some((name) => isStated(body[name]))) kinds.push('state')
  return kinds.length === 0 ? 'text' : kinds.join('+')
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : isRaw(value) && Object.values(value).some(isFilled)
}

function turnsOf(body: Raw): readonly Raw[] {
  const turns = body['messages'] ?? body['input'] ?? body['contents']
  return Array.isArray(turns) ? turns.slice(-MOST_TURNS).filter(isRaw) : []
}

/** Whether a turn, or one of its parts, is of some kind. */
function hasPart(turn: Raw, isOfKind: (part: Raw) => boolean): boolean {
  if (isOfKind(turn)) return true
  const parts = turn['content'] ?? turn['parts']
  return Array.isArray(parts) && parts.slice(0, MOST_PARTS).some((part) => isRaw(part) && isOfKind(part))
}

function isOfTool(part: Raw): boolean {
  return (
    HISTORY_ROLES.has(part['role']) || HISTORY_TYPES.has(part['type']) || HISTORY.some((name) => isStated(part[name]))
  )
}

function isMedium(part: Raw): boolean {
  return MEDIA_TYPES.has(part['type']) || MEDIA.some((name) => isStated(part[name]))
}

function isStated(value: unknown): boolean {
  return value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)
}

/** An answer in a given form: OpenAI's chat and responses, Anthropic's, Gemini's. */
function hasSchema(body: Raw): boolean {
  const text = body['text']
  const formats = [body['response_format'], isRaw(text) ? text['format'] : undefined, body['output_format']]
  if (formats.some((format) => isRaw(format) && format['type'] === 'json_schema')) return true
  const config = body['generationConfig'] ?? body['generation_config']
  if (!isRaw(config)) return false
  return ['responseSchema', 'response_schema', 'responseJsonSchema', 'response_json_schema'].some((name) =>
    isRaw(config[name]),
  )
}
