import { requestParts, tokenFamily, type TokenTask } from '@tallygate/metering'

/** A request, what the model answered, and what its provider counted; one line of a file of pairs. */
export interface Pair {
  readonly id: string
  readonly provider: string
  readonly api: string
  readonly model: string | null
  readonly request: Readonly<Record<string, unknown>> & { readonly model?: string }
  readonly output: {
    readonly text: string
    readonly reasoningText: string
    readonly toolCalls: readonly (readonly [name: string, given: unknown])[]
    readonly other: boolean
  }
  readonly reported: {
    readonly input: number | null
    readonly output: number | null
    readonly reasoning?: number | null
  }
}

export function readPairs(jsonl: string): readonly Pair[] {
  return jsonl
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Pair)
}

/** The set that a pair is told in; absent for those that are left out: media, and what only the provider has. */
export function setOf(pair: Pair): string | undefined {
  const { provider, api, request } = pair
  if (requestParts(request).media.length > 0 || isHosted(pair)) return undefined
  if (provider !== 'openai' && provider !== 'azure') return tokenFamily(request.model ?? pair.model ?? undefined).name
  if (api === 'chat.completions') return `chat-${chatKind(request)}`
  if (api !== 'responses') return api
  if (at(request, 'text', 'format', 'type') === 'json_schema') return 'responses-schema'
  return isFilled(request['tools']) ? 'responses-tools' : 'responses-text'
}

function chatKind(request: Pair['request']): string {
  if (at(request, 'response_format', 'type') === 'json_schema') return 'schema'
  const messages = Array.isArray(request['messages']) ? (request['messages'] as readonly unknown[]) : []
  const isHistory = messages.some((message) => {
    const role = at(message, 'role')
    return role === 'tool' || role === 'function' || isFilled(at(message, 'tool_calls'))
  })
  if (isHistory) return 'history'
  return isFilled(request['tools']) || isFilled(request['functions']) ? 'tools' : 'text'
}

function isHosted({ api, request }: Pair): boolean {
  if (api !== 'responses') return false
  const tools = Array.isArray(request['tools']) ? (request['tools'] as readonly unknown[]) : []
  const isTheirs = (tool: unknown): boolean => !['function', 'custom'].includes(String(at(tool, 'type')))
  const states = ['previous_response_id', 'conversation', 'prompt']
  return states.some((name) => (request[name] ?? null) !== null) || tools.some(isTheirs)
}

/** What a live call would ask its counter for: the request as it was sent, and what was written. */
export function counted(pair: Pair): { readonly input: TokenTask; readonly output: TokenTask | undefined } {
  const { provider, api, request, output } = pair
  const model = request.model ?? pair.model ?? undefined
  const body = bytes(request)
  const calls = output.toolCalls.map(([name, given]) => [
    name,
    typeof given === 'string' ? given : JSON.stringify(given),
  ])
  const written = {
    texts: [output.text, output.reasoningText].filter((text) => text !== ''),
    toolCalls: calls.map((call) => call.join('')),
    toolNames: calls.map(([name]) => name),
  }
  const shape = api === 'responses' ? 'openai-responses' : 'openai-chat'
  return {
    input: { kind: 'prompt', body, model, provider },
    output:
      pair.reported.output === null
        ? undefined
        : { kind: 'written', shape, body: bytes(written), model, provider, request: body },
  }
}

function bytes(value: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(JSON.stringify(value)))
}

function at(value: unknown, ...path: readonly string[]): unknown {
  let found: unknown = value
  for (const name of path)
    found = typeof found === 'object' && found !== null ? (found as Record<string, unknown>)[name] : undefined
  return found
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0
}
