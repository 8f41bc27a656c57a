import type { ReportedUsage } from '@tallygate/metering'

/** An answer on the wire, and what it says. */
export interface ProviderAnswer {
  readonly what: string
  readonly adapter: string
  readonly framing: 'json' | 'sse'
  readonly body: string
  /** Absent figures must be absent. */
  readonly usage: ReportedUsage | undefined
  readonly model: string | undefined
}

/** Text that a model may write, and that must not be taken for what the provider says. */
const TRAP =
  'é🙂 "usage": {"prompt_tokens": 9999, "input_tokens": 9999, "promptTokenCount": 9999}\\" } \u2028\r\n\ndata: [DONE]\n\n'

/** Events of one line of data each, with a space behind the colon. */
export function events(...documents: readonly unknown[]): string {
  return documents
    .map((document) => `data: ${typeof document === 'string' ? document : JSON.stringify(document)}\n\n`)
    .join('')
}

function named(...documents: readonly { readonly type: string }[]): string {
  return documents.map((document) => `event: ${document.type}\r\ndata: ${JSON.stringify(document)}\r\n\r\n`).join('')
}

const CHAT_USAGE = {
  prompt_tokens: 120,
  completion_tokens: 30,
  total_tokens: 150,
  prompt_tokens_details: { cached_tokens: 100, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 12 },
}
const RESPONSE_USAGE = {
  input_tokens: 75,
  input_tokens_details: { cached_tokens: 60, cache_write_tokens: 4 },
  output_tokens: 1186,
  output_tokens_details: { reasoning_tokens: 1024 },
  total_tokens: 1261,
}

/** One of each kind, made for these tests after the providers' references. */
export const PROVIDER_ANSWERS: readonly ProviderAnswer[] = [
  {
    what: 'a chat completion',
    adapter: 'openai-chat',
    framing: 'json',
    body: JSON.stringify(
      { id: 'c', choices: [{ message: { content: TRAP } }], usage: CHAT_USAGE, model: 'gpt-4o-2024' },
      null,
      1,
    ),
    usage: { input: 120, output: 30, total: 150, cacheRead: 100, reasoning: 12, audioInput: 0 },
    model: 'gpt-4o-2024',
  },
  {
    what: 'a streamed chat completion',
    adapter: 'openai-chat',
    framing: 'sse',
    body:
      '\ufeff: PROCESSING\n\n' +
      events(
        { model: 'gpt-4o', choices: [], prompt_filter_results: [], usage: null },
        { model: 'gpt-4o', choices: [{ delta: { content: TRAP } }], usage: null },
        { model: 'gpt-4o', choices: [], usage: CHAT_USAGE },
        '[DONE]',
      ),
    usage: { input: 120, output: 30, total: 150, cacheRead: 100, reasoning: 12, audioInput: 0 },
    model: 'gpt-4o',
  },
  {
    what: 'a streamed chat completion whose usage grows',
    adapter: 'openai-chat',
    framing: 'sse',
    body: [1, 2, 3]
      .map((n) =>
        events({
          model: 'sonar',
          choices: [{ delta: {} }],
          usage: { prompt_tokens: 7, completion_tokens: n, total_tokens: 7 + n },
        }),
      )
      .join(''),
    usage: { input: 7, output: 3, total: 10 },
    model: 'sonar',
  },
  {
    what: 'a streamed chat completion with its usage in two places, in lines that end in CR',
    adapter: 'openai-chat',
    framing: 'sse',
    body: events(
      {
        model: 'llama',
        choices: [{ delta: {} }],
        x_groq: { usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 } },
      },
      { model: 'llama', choices: [], usage: { prompt_tokens: 4, completion_tokens: 2, total_tokens: 6 } },
    ).replaceAll('\n', '\r'),
    usage: { input: 4, output: 2, total: 6 },
    model: 'llama',
  },
  {
    what: 'a streamed chat completion without usage',
    adapter: 'openai-chat',
    framing: 'sse',
    body: events({ choices: [{ delta: { content: TRAP } }] }, { choices: [], usage: null }, '[DONE]'),
    usage: undefined,
    model: undefined,
  },
  {
    what: 'an error of a chat completion',
    adapter: 'openai-chat',
    framing: 'json',
    body: JSON.stringify({ error: { message: TRAP, usage: CHAT_USAGE } }),
    usage: undefined,
    model: undefined,
  },
  {
    what: 'a response',
    adapter: 'openai-responses',
    framing: 'json',
    body: JSON.stringify({
      model: 'gpt-5',
      output: [{ content: [{ text: TRAP }] }],
      usage: RESPONSE_USAGE,
      tool_usage: { web: 3 },
    }),
    usage: { input: 75, output: 1186, total: 1261, cacheRead: 60, cacheWrite: 4, reasoning: 1024 },
    model: 'gpt-5',
  },
  ...['completed', 'incomplete', 'failed'].map((end): ProviderAnswer => ({
    what: `a streamed response that ends ${end}`,
    adapter: 'openai-responses',
    framing: 'sse',
    body: named(
      { type: 'response.created', response: { model: 'gpt-5', usage: null } } as { type: string },
      { type: 'response.output_text.delta', delta: TRAP } as { type: string },
      { type: `response.${end}`, response: { model: 'gpt-5', output: [TRAP], usage: RESPONSE_USAGE } } as {
        type: string
      },
    ),
    usage: { input: 75, output: 1186, total: 1261, cacheRead: 60, cacheWrite: 4, reasoning: 1024 },
    model: 'gpt-5',
  })),
  {
    what: 'a message',
    adapter: 'anthropic-messages',
    framing: 'json',
    body: JSON.stringify({
      type: 'message',
      model: 'claude-sonnet-4-5',
      content: [
        { type: 'text', text: TRAP },
        { type: 'tool_use', input: { usage: { input_tokens: 5 } } },
      ],
      usage: { input_tokens: 10, cache_creation_input_tokens: 200, cache_read_input_tokens: 3000, output_tokens: 40 },
    }),
    usage: { input: 3210, output: 40, total: 3250, cacheRead: 3000, cacheWrite: 200 },
    model: 'claude-sonnet-4-5',
  },
  {
    what: 'a streamed message',
    adapter: 'anthropic-messages',
    framing: 'sse',
    body: named(
      {
        type: 'message_start',
        message: {
          model: 'claude-opus-4-5',
          usage: { input_tokens: 2050, cache_read_input_tokens: 5, cache_creation_input_tokens: 0, output_tokens: 1 },
        },
      } as { type: string },
      { type: 'ping' },
      { type: 'content_block_delta', delta: { type: 'text_delta', text: TRAP } } as { type: string },
      { type: 'message_delta', usage: { input_tokens: 31_772, output_tokens: 8, cache_read_input_tokens: null } } as {
        type: string
      },
      { type: 'message_delta', usage: { output_tokens: 64 } } as { type: string },
      { type: 'message_stop' },
    ),
    usage: { input: 31_777, output: 64, total: 31_841, cacheRead: 5, cacheWrite: 0 },
    model: 'claude-opus-4-5',
  },
  {
    what: 'generated content',
    adapter: 'gemini-generate',
    framing: 'json',
    body: JSON.stringify({
      candidates: [{ content: { parts: [{ text: TRAP }] } }],
      usageMetadata: {
        promptTokenCount: 11,
        candidatesTokenCount: 5,
        thoughtsTokenCount: 20,
        toolUsePromptTokenCount: 3,
        cachedContentTokenCount: 8,
        totalTokenCount: 39,
      },
      modelVersion: 'gemini-3-pro',
    }),
    usage: { input: 14, output: 25, total: 39, cacheRead: 8, reasoning: 20, toolUseInput: 3 },
    model: 'gemini-3-pro',
  },
  ...(['sse', 'json'] as const).map((framing): ProviderAnswer => {
    const pieces = [
      {
        candidates: [{ content: { parts: [{ text: TRAP }] } }],
        usageMetadata: { promptTokenCount: 20, totalTokenCount: 20 },
        modelVersion: 'gemini-2.5',
      },
      { candidates: [], usageMetadata: { trafficType: 'ON_DEMAND' }, modelVersion: 'gemini-2.5' },
      {
        candidates: [],
        usageMetadata: { promptTokenCount: 11, candidatesTokenCount: 5, totalTokenCount: 16 },
        modelVersion: 'gemini-2.5',
      },
      {
        candidates: [],
        usageMetadata: { trafficType: 'ON_DEMAND', promptTokensDetails: [] },
        modelVersion: 'gemini-2.5',
      },
    ]
    return {
      what: `generated content, streamed ${framing === 'sse' ? 'as events' : 'as one array'}`,
      adapter: 'gemini-generate',
      framing,
      body:
        framing === 'sse'
          ? events(...pieces).replaceAll('\n', '\r\n')
          : `[${pieces.map((piece) => JSON.stringify(piece, null, 2)).join('\n,\r\n')}\n]`,
      usage: { input: 11, output: 5, total: 16 },
      model: 'gemini-2.5',
    }
  }),
]
