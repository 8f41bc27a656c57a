import type { ReportedUsage } from '@tallygate/metering'
import { json, sse, TRAP, type EndpointAnswer } from './answer-bytes.ts'
import { REALTIME_READ, realtimeSession } from './answers-openai.ts'

/** A usage object as a host writes it, and what it says. */
interface Stated {
  readonly usage: Readonly<Record<string, unknown>>
  readonly read: ReportedUsage
}

const PLAIN: Stated = {
  usage: { prompt_tokens: 30, completion_tokens: 12, total_tokens: 42 },
  read: { input: 30, output: 12, total: 42 },
}
const RESPONSE: Stated = {
  usage: {
    input_tokens: 40,
    input_tokens_details: { cached_tokens: 8 },
    output_tokens: 9,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 49,
  },
  read: { input: 40, output: 9, total: 49, cacheRead: 8, reasoning: 0 },
}
const MESSAGE: Stated = {
  usage: { input_tokens: 7, cache_creation_input_tokens: 0, cache_read_input_tokens: 20, output_tokens: 11 },
  read: { input: 27, output: 11, total: 38, cacheRead: 20, cacheWrite: 0 },
}

/** Where usage stands in the stream of chat completions. */
type Where = 'chunk without choices' | 'last chunk' | 'every chunk, growing' | 'x_groq and chunk' | 'choice'

/** A host of chat completions: where they are served, what its usage says of its own, where its streams say it. */
interface Host {
  readonly provider: string
  readonly path: string
  readonly stated?: Stated
  readonly where?: Where
}

const HOSTS: readonly Host[] = [
  { provider: 'anthropic', path: '/v1/chat/completions' },
  // Thoughts are in the total alone.
  {
    provider: 'gcp.gemini',
    path: '/v1beta/openai/chat/completions',
    stated: {
      usage: { prompt_tokens: 35, completion_tokens: 12, total_tokens: 109 },
      read: { input: 35, output: 74, total: 109, flags: ['total-gap'] },
    },
    where: 'every chunk, growing',
  },
  {
    provider: 'gcp.vertex_ai',
    path: '/v1/projects/p/locations/global/endpoints/openapi/chat/completions',
    where: 'last chunk',
  },
  { provider: 'aws.bedrock.mantle', path: '/v1/chat/completions' },
  { provider: 'cohere', path: '/compatibility/v1/chat/completions' },
  {
    provider: 'mistral_ai',
    path: '/v1/chat/completions',
    stated: {
      usage: { ...PLAIN.usage, num_cached_tokens: 16, prompt_audio_seconds: null },
      read: { ...PLAIN.read, cacheRead: 16 },
    },
    where: 'last chunk',
  },
  {
    provider: 'groq',
    path: '/openai/v1/chat/completions',
    stated: { usage: { ...PLAIN.usage, queue_time: 0.02, total_time: 0.4 }, read: PLAIN.read },
    where: 'x_groq and chunk',
  },
  {
    provider: 'deepseek',
    path: '/chat/completions',
    stated: {
      usage: { ...PLAIN.usage, prompt_cache_hit_tokens: 24, prompt_cache_miss_tokens: 6 },
      read: { ...PLAIN.read, cacheRead: 24 },
    },
    where: 'last chunk',
  },
  // Reasoning is beside the completion, and the total tells so; costs are in ticks of 10^-10 dollars.
  {
    provider: 'x_ai',
    path: '/v1/chat/completions',
    stated: {
      usage: {
        prompt_tokens: 30,
        completion_tokens: 4,
        total_tokens: 134,
        completion_tokens_details: { reasoning_tokens: 100 },
        cost_in_usd_ticks: 5_000_000,
        num_sources_used: 0,
      },
      read: { input: 30, output: 104, total: 134, reasoning: 100, cost: 0.0005, flags: ['total-explained'] },
    },
    where: 'every chunk, growing',
  },
  {
    provider: 'perplexity',
    path: '/chat/completions',
    stated: {
      usage: { ...PLAIN.usage, search_context_size: 'low', num_search_queries: 2, cost: { total_cost: 0.00502 } },
      read: { ...PLAIN.read, searches: 2, cost: 0.00502 },
    },
    where: 'every chunk, growing',
  },
  {
    provider: 'openrouter',
    path: '/api/v1/chat/completions',
    stated: {
      usage: {
        ...PLAIN.usage,
        cost: 0.00029,
        prompt_tokens_details: { cached_tokens: 21, cache_write_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 17 },
      },
      // Counted by two tokenizers: the part is larger than its whole.
      read: { ...PLAIN.read, cacheRead: 21, cacheWrite: 3, reasoning: 17, cost: 0.00029 },
    },
    where: 'last chunk',
  },
  {
    provider: 'together_ai',
    path: '/v1/chat/completions',
    stated: { usage: { ...PLAIN.usage, cached_tokens: 5 }, read: { ...PLAIN.read, cacheRead: 5 } },
    where: 'last chunk',
  },
  { provider: 'fireworks', path: '/inference/v1/chat/completions' },
  {
    provider: 'cerebras',
    path: '/v1/chat/completions',
    stated: {
      usage: { ...PLAIN.usage, prompt_tokens_details: { cached_tokens: 0 } },
      read: { ...PLAIN.read, cacheRead: 0 },
    },
    where: 'last chunk',
  },
  { provider: 'z_ai', path: '/api/paas/v4/chat/completions', where: 'last chunk' },
  { provider: 'moonshot_ai', path: '/v1/chat/completions', where: 'choice' },
  { provider: 'alibaba_cloud', path: '/compatible-mode/v1/chat/completions' },
  { provider: 'vllm', path: '/v1/chat/completions', where: 'every chunk, growing' },
  {
    provider: 'huggingface',
    path: '/together/v1/chat/completions',
    stated: { usage: { ...PLAIN.usage, cached_tokens: 2 }, read: { ...PLAIN.read, cacheRead: 2 } },
  },
  { provider: 'llama_cpp', path: '/v1/chat/completions' },
  { provider: 'ollama', path: '/v1/chat/completions' },
  { provider: 'writer', path: '/v1/chat/completions', where: 'last chunk' },
  { provider: 'writer', path: '/v1/chat', where: 'last chunk' },
  { provider: 'perplexity', path: '/v1/sonar' },
  { provider: 'ai21', path: '/studio/v1/chat/completions', where: 'last chunk' },
  { provider: 'aleph_alpha', path: '/chat/completions' },
  { provider: 'snowflake', path: '/api/v2/cortex/v1/chat/completions', where: 'last chunk' },
  { provider: 'crusoe', path: '/v1/chat/completions' },
  { provider: 'litellm', path: '/chat/completions' },
]

/** The same in every shape: hosts of these operations answer as OpenAI and Anthropic do. */
const SAME: readonly (readonly [operation: string, providers: readonly string[], path: string])[] = [
  [
    'openai-completions',
    [
      'mistral_ai',
      'deepseek',
      'x_ai',
      'openrouter',
      'together_ai',
      'fireworks',
      'cerebras',
      'alibaba_cloud',
      'vllm',
      'llama_cpp',
      'ollama',
      'writer',
      'litellm',
    ],
    '/v1/completions',
  ],
  [
    'openai-responses',
    [
      'aws.bedrock.mantle',
      'groq',
      'deepseek',
      'x_ai',
      'perplexity',
      'openrouter',
      'fireworks',
      'alibaba_cloud',
      'vllm',
      'huggingface',
      'litellm',
    ],
    '/v1/responses',
  ],
  [
    'openai-embeddings',
    [
      'gcp.gemini',
      'cohere',
      'mistral_ai',
      'perplexity',
      'openrouter',
      'together_ai',
      'fireworks',
      'z_ai',
      'alibaba_cloud',
      'vllm',
      'llama_cpp',
      'ollama',
      'litellm',
    ],
    '/v1/embeddings',
  ],
  [
    'anthropic-messages',
    ['deepseek', 'x_ai', 'openrouter', 'fireworks', 'z_ai', 'moonshot_ai', 'vllm', 'llama_cpp', 'snowflake', 'litellm'],
    '/anthropic/v1/messages',
  ],
  ['openai-images', ['gcp.gemini', 'together_ai', 'z_ai'], '/v1/images/generations'],
  ['openai-speech', ['groq', 'openrouter', 'together_ai'], '/v1/audio/speech'],
  ['openai-transcription', ['cohere', 'groq', 'together_ai', 'fireworks', 'vllm'], '/v1/audio/transcriptions'],
]

export const COMPATIBLE_ANSWERS: readonly EndpointAnswer[] = [
  ...HOSTS.flatMap(chatOf),
  ...SAME.flatMap(([operation, providers, path]) => providers.flatMap((provider) => sameOf(operation, provider, path))),
  // An error in the middle of a stream that began well.
  {
    provider: 'openrouter',
    operation: 'openai-chat',
    path: '/api/v1/chat/completions',
    ...sse(
      { model: 'm', choices: [{ delta: { content: TRAP } }] },
      { error: { code: 502, message: TRAP }, choices: [{ finish_reason: 'error' }] },
    ),
    usage: undefined,
    model: 'm',
  },
  {
    provider: 'x_ai',
    operation: 'openai-images',
    path: '/v1/images/generations',
    ...json({ data: [{ url: 'https://images.example/1.jpeg' }], usage: { cost_in_usd_ticks: 200_000_000 } }),
    usage: undefined,
    shown: { images: 1, cost: 0.02 },
    model: undefined,
  },
  {
    provider: 'x_ai',
    operation: 'openai-realtime',
    method: 'GET',
    path: '/v1/realtime',
    ...realtimeSession(),
    usage: REALTIME_READ,
    model: 'gpt-realtime',
  },
  // Audio is beside the prompt, and the total tells so.
  {
    provider: 'mistral_ai',
    operation: 'openai-transcription',
    path: '/v1/audio/transcriptions',
    ...json({
      model: 'voxtral-mini',
      text: TRAP,
      usage: {
        prompt_audio_seconds: 3,
        prompt_tokens: 5,
        completion_tokens: 11,
        total_tokens: 391,
        prompt_tokens_details: { cached_tokens: 0, audio_tokens: 375 },
      },
    }),
    usage: {
      input: 380,
      output: 11,
      total: 391,
      cacheRead: 0,
      audioInput: 375,
      seconds: 3,
      flags: ['total-explained'],
    },
    model: 'voxtral-mini',
  },
  {
    provider: 'openrouter',
    operation: 'openai-transcription',
    path: '/api/v1/audio/transcriptions',
    ...json({ text: TRAP, usage: { total_tokens: 49, input_tokens: 37, output_tokens: 12, cost: 0.0001 } }),
    usage: { input: 37, output: 12, total: 49, cost: 0.0001 },
    model: undefined,
  },
  {
    provider: 'mistral_ai',
    operation: 'mistral-ocr',
    path: '/v1/ocr',
    ...json({
      model: 'mistral-ocr',
      pages: [{ markdown: TRAP }],
      usage_info: { pages_processed: 1, doc_size_bytes: 900 },
    }),
    usage: undefined,
    model: 'mistral-ocr',
  },
  {
    provider: 'mistral_ai',
    operation: 'mistral-moderations',
    path: '/v1/moderations',
    ...json({
      model: 'mistral-moderation',
      results: [{ categories: {} }],
      usage: { prompt_tokens: 9, total_tokens: 9, completion_tokens: 0 },
    }),
    usage: { input: 9, output: 0, total: 9 },
    model: 'mistral-moderation',
  },
  {
    provider: 'snowflake',
    operation: 'snowflake-complete',
    path: '/api/v2/cortex/inference:complete',
    ...sse(
      {
        model: 'm',
        choices: [{ delta: { content: TRAP } }],
        usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
      },
      { model: 'm', choices: [{ delta: {} }], usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 } },
    ),
    usage: { input: 3, output: 5, total: 8 },
    model: 'm',
  },
]

function chatOf({ provider, path, stated = PLAIN, where = 'chunk without choices' }: Host): EndpointAnswer[] {
  const { usage, read } = stated
  const of = { provider, operation: 'openai-chat', path, usage: read, model: 'm' }
  const text = { model: 'm', choices: [{ index: 0, delta: { content: TRAP } }] }
  const last = { model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }
  const early = { prompt_tokens: 30, completion_tokens: 1, total_tokens: 31 }
  const streams: Readonly<Record<Where, readonly unknown[]>> = {
    'chunk without choices': [{ ...text, usage: null }, last, { model: 'm', choices: [], usage }],
    'last chunk': [text, { ...last, usage }],
    'every chunk, growing': [
      { ...text, usage: early },
      { ...last, usage },
    ],
    'x_groq and chunk': [text, { ...last, x_groq: { id: 'r', usage } }, { model: 'm', choices: [], usage }],
    choice: [text, { model: 'm', choices: [{ index: 0, delta: {}, finish_reason: 'stop', usage }] }],
  }
  return [
    {
      ...of,
      ...json({
        model: 'm',
        choices: [{ message: { content: TRAP, tool_calls: [{ function: { arguments: TRAP } }] } }],
        usage,
      }),
    },
    { ...of, ...sse(...streams[where], '[DONE]') },
  ]
}

function sameOf(operation: string, provider: string, path: string): EndpointAnswer[] {
  const of = { provider, operation, path }
  switch (operation) {
    case 'openai-completions':
      return [
        {
          ...of,
          ...json({ model: 'm', choices: [{ text: TRAP }], usage: PLAIN.usage }),
          usage: PLAIN.read,
          model: 'm',
        },
        {
          ...of,
          ...sse({ model: 'm', choices: [{ text: TRAP }] }, { model: 'm', choices: [], usage: PLAIN.usage }, '[DONE]'),
          usage: PLAIN.read,
          model: 'm',
        },
      ]
    case 'openai-responses':
      return [
        {
          ...of,
          ...json({ model: 'm', output: [{ text: TRAP }], usage: RESPONSE.usage }),
          usage: RESPONSE.read,
          model: 'm',
        },
        {
          ...of,
          ...sse(
            { type: 'response.output_text.delta', delta: TRAP },
            { type: 'response.completed', response: { model: 'm', usage: RESPONSE.usage } },
          ),
          usage: RESPONSE.read,
          model: 'm',
        },
      ]
    case 'anthropic-messages':
      return [
        {
          ...of,
          ...json({ model: 'm', content: [{ text: TRAP }], usage: MESSAGE.usage }),
          usage: MESSAGE.read,
          model: 'm',
        },
        {
          ...of,
          ...sse(
            { type: 'message_start', message: { model: 'm', usage: { ...MESSAGE.usage, output_tokens: 1 } } },
            { type: 'content_block_delta', delta: { text: TRAP } },
            { type: 'message_delta', usage: { output_tokens: 11 } },
            { type: 'message_stop' },
          ),
          usage: MESSAGE.read,
          model: 'm',
        },
      ]
    case 'openai-embeddings':
      return [
        {
          ...of,
          ...json({ model: 'm', data: [{ embedding: [1, 2] }], usage: { prompt_tokens: 8, total_tokens: 8 } }),
          usage: { input: 8, output: 0, total: 8 },
          model: 'm',
        },
      ]
    case 'openai-images':
      return [
        { ...of, ...json({ data: [{ b64_json: 'AAAA' }] }), usage: undefined, shown: { images: 1 }, model: undefined },
      ]
    case 'openai-speech':
      return [
        {
          ...of,
          ...sse(
            { type: 'speech.audio.delta', audio: 'AA' },
            { type: 'speech.audio.done', usage: { input_tokens: 4, output_tokens: 6, total_tokens: 10 } },
          ),
          usage: { input: 4, output: 6, total: 10 },
          model: undefined,
        },
      ]
    default:
      return [
        {
          ...of,
          ...json({ text: TRAP, duration: 12.5 }),
          usage: undefined,
          shown: { seconds: 12.5 },
          model: undefined,
        },
      ]
  }
}
