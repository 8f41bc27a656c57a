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
/** Turns and parts that are looked at. */
const MOST_TURNS = 2_000
const MOST_PARTS = 32

/**
 * What a request is made of, as far as counts go wrong in different ways: `text`, or any of `tools`, `history` (calls of
 * tools that were made) and `schema`, joined by `+`. A look at the top of the body, in bounded time.
 */
export function requestKind(body: Raw): string {
  const kinds: string[] = []
  if (TOOLS.some((name) => isFilled(body[name]))) kinds.push('tools')
  if (hasHistory(body)) kinds.push('history')
  if (hasSchema(body)) kinds.push('schema')
  return kinds.length === 0 ? 'text' : kinds.join('+')
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : isRaw(value) && Object.values(value).some(isFilled)
}

function hasHistory(body: Raw): boolean {
  const turns = body['messages'] ?? body['input'] ?? body['contents']
  return Array.isArray(turns) && turns.slice(-MOST_TURNS).some(isOfTool)
}

function isOfTool(turn: unknown): boolean {
  if (!isRaw(turn)) return false
  if (HISTORY_ROLES.has(turn['role']) || isToolPart(turn)) return true
  const parts = turn['content'] ?? turn['parts']
  return Array.isArray(parts) && parts.slice(0, MOST_PARTS).some(isToolPart)
}

function isToolPart(part: unknown): boolean {
  return isRaw(part) && (HISTORY_TYPES.has(part['type']) || HISTORY.some((name) => isStated(part[name])))
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
