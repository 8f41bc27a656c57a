import { json, messages, sse, TRAP, type EndpointAnswer } from './answer-bytes.ts'

const CHAT = {
  prompt_tokens: 48,
  completion_tokens: 21,
  total_tokens: 69,
  prompt_tokens_details: { cached_tokens: 32, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: 9,
    audio_tokens: 0,
    accepted_prediction_tokens: 2,
    rejected_prediction_tokens: 1,
  },
}
const CHAT_READ = { input: 48, output: 21, total: 69, cacheRead: 32, reasoning: 9, audioInput: 0, audioOutput: 0 }
const RESPONSE = {
  input_tokens: 90,
  input_tokens_details: { cached_tokens: 64 },
  output_tokens: 33,
  output_tokens_details: { reasoning_tokens: 20 },
  total_tokens: 123,
}
const RESPONSE_READ = { input: 90, output: 33, total: 123, cacheRead: 64, reasoning: 20 }
const IMAGE = {
  input_tokens: 15,
  input_tokens_details: { text_tokens: 15, image_tokens: 0 },
  output_tokens: 272,
  total_tokens: 287,
}
const IMAGE_READ = { input: 15, output: 272, total: 287, imageInput: 0 }
const HEARD = {
  type: 'tokens',
  input_tokens: 14,
  input_token_details: { text_tokens: 0, audio_tokens: 14 },
  output_tokens: 6,
  total_tokens: 20,
}
const HEARD_READ = { input: 14, output: 6, total: 20, audioInput: 14 }
const message = { role: 'assistant', content: TRAP }

/** A session with two answers, and what was said by the caller heard by another model. */
export function realtimeSession(): ReturnType<typeof messages> {
  const done = (input: number, cached: number, output: number, audio: number): unknown => ({
    type: 'response.done',
    response: {
      output: [{ content: [{ transcript: TRAP }] }],
      usage: {
        total_tokens: input + output,
        input_tokens: input,
        output_tokens: output,
        input_token_details: { text_tokens: input, audio_tokens: 0, cached_tokens: cached },
        output_token_details: { text_tokens: output - audio, audio_tokens: audio },
      },
    },
  })
  return messages(
    { type: 'session.created', session: { model: 'gpt-realtime', instructions: TRAP } },
    { type: 'response.created', response: { usage: null } },
    done(60, 0, 22, 10),
    {
      type: 'conversation.item.input_audio_transcription.completed',
      transcript: TRAP,
      usage: { type: 'duration', seconds: 3 },
    },
    { type: 'response.created', response: { usage: null } },
    done(95, 64, 30, 24),
  )
}

export const REALTIME_READ = {
  input: 155,
  output: 52,
  total: 207,
  cacheRead: 64,
  audioInput: 0,
  audioOutput: 34,
  seconds: 3,
}

/** OpenAI's own operations, as it and Azure serve them. */
function served(provider: string, at: (path: string) => string): EndpointAnswer[] {
  const of = (operation: string, path: string) => ({ provider, operation, path: at(path) })
  const chat = of('openai-chat', '/chat/completions')
  const responses = of('openai-responses', '/responses')
  const legacy = of('openai-completions', '/completions')
  const images = of('openai-images', '/images/generations')
  const audio = of('openai-transcription', '/audio/transcriptions')
  return [
    {
      ...chat,
      ...json({ model: 'gpt-5-mini', choices: [{ message }], usage: CHAT, service_tier: 'priority' }),
      usage: { ...CHAT_READ, serviceTier: 'priority' },
      model: 'gpt-5-mini',
    },
    {
      ...chat,
      ...sse(
        { model: '', choices: [], prompt_filter_results: [{ prompt_index: 0 }] },
        { model: 'gpt-5-mini', choices: [{ delta: { content: TRAP } }], usage: null },
        { model: 'gpt-5-mini', choices: [], usage: CHAT },
        '[DONE]',
      ),
      usage: CHAT_READ,
      model: 'gpt-5-mini',
    },
    { ...chat, ...json({ error: { message: TRAP, usage: CHAT } }), usage: undefined, model: undefined },
    {
      ...legacy,
      ...json({
        model: 'gpt-3.5-turbo-instruct',
        choices: [{ text: TRAP }],
        usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
      }),
      usage: { input: 5, output: 7, total: 12 },
      model: 'gpt-3.5-turbo-instruct',
    },
    {
      ...legacy,
      ...sse(
        { model: 'm', choices: [{ text: TRAP }] },
        { model: 'm', choices: [], usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 } },
        '[DONE]',
      ),
      usage: { input: 5, output: 7, total: 12 },
      model: 'm',
    },
    {
      ...responses,
      ...json({
        model: 'gpt-5',
        status: 'completed',
        metadata: { usage: { input_tokens: 1 } },
        output: [{ arguments: TRAP }],
        usage: RESPONSE,
        tool_usage: { image_gen: { input_tokens: 9 } },
      }),
      usage: RESPONSE_READ,
      model: 'gpt-5',
    },
    {
      ...responses,
      ...sse(
        { type: 'response.created', response: { model: 'gpt-5', usage: null } },
        { type: 'response.output_text.delta', delta: TRAP },
        { type: 'response.completed', response: { model: 'gpt-5', usage: RESPONSE } },
      ),
      usage: RESPONSE_READ,
      model: 'gpt-5',
    },
    {
      ...of('openai-compact', '/responses/compact'),
      ...json({ object: 'response.compaction', output: [{ text: TRAP }], usage: RESPONSE }),
      usage: RESPONSE_READ,
      model: undefined,
    },
    {
      ...of('openai-embeddings', '/embeddings'),
      ...json({
        model: 'text-embedding-3-small',
        data: [{ embedding: [0.25] }],
        usage: { prompt_tokens: 6, total_tokens: 6 },
      }),
      usage: { input: 6, output: 0, total: 6 },
      model: 'text-embedding-3-small',
    },
    {
      ...images,
      ...json({ data: [{ b64_json: 'AAAA' }, { b64_json: 'AAAA' }], usage: IMAGE }),
      usage: IMAGE_READ,
      shown: { images: 2 },
      model: undefined,
    },
    {
      ...images,
      ...json({ created: 1, data: [{ url: 'https://images.example/1.png' }] }),
      usage: undefined,
      shown: { images: 1 },
      model: undefined,
    },
    {
      ...images,
      ...sse(
        { type: 'image_generation.partial_image', b64_json: 'AA' },
        { type: 'image_generation.completed', b64_json: 'AAAA', usage: IMAGE },
      ),
      usage: IMAGE_READ,
      shown: { images: 1 },
      model: undefined,
    },
    { ...audio, ...json({ text: TRAP, usage: HEARD }), usage: HEARD_READ, model: undefined },
    {
      ...audio,
      ...json({ text: TRAP, usage: { type: 'duration', seconds: 37 } }),
      usage: { seconds: 37 },
      model: undefined,
    },
    {
      ...audio,
      ...json({ text: TRAP, duration: '8.47' }),
      usage: undefined,
      shown: { seconds: 8.47 },
      model: undefined,
    },
    {
      ...audio,
      ...sse(
        { type: 'transcript.text.delta', delta: TRAP },
        { type: 'transcript.text.done', text: TRAP, usage: HEARD },
      ),
      usage: HEARD_READ,
      model: undefined,
    },
    {
      ...of('openai-speech', '/audio/speech'),
      ...sse(
        { type: 'speech.audio.delta', audio: 'AAAA' },
        { type: 'speech.audio.done', usage: { input_tokens: 4, output_tokens: 40, total_tokens: 44 } },
      ),
      usage: { input: 4, output: 40, total: 44 },
      model: undefined,
    },
    {
      ...of('openai-realtime', '/realtime?model=gpt-realtime'),
      method: 'GET',
      ...realtimeSession(),
      usage: REALTIME_READ,
      model: 'gpt-realtime',
    },
  ]
}

export const OPENAI_ANSWERS: readonly EndpointAnswer[] = [
  ...served('openai', (path) => `/v1${path}`),
  ...served('azure.ai.openai', (path) => `/openai/v1${path}`),
  {
    provider: 'azure.ai.openai',
    operation: 'openai-chat',
    path: '/openai/deployments/grok/chat/completions?api-version=2024-10-21',
    // A part that is larger than its whole stays as it is stated.
    ...json({
      model: 'grok-3',
      choices: [{ message }],
      usage: {
        prompt_tokens: 208,
        completion_tokens: 3,
        total_tokens: 211,
        prompt_tokens_details: { cached_tokens: 314 },
      },
    }),
    usage: { input: 208, output: 3, total: 211, cacheRead: 314 },
    model: 'grok-3',
  },
  {
    provider: 'openai',
    operation: 'openai-response',
    method: 'GET',
    path: '/v1/responses/resp_0a1b',
    ...json({ model: 'o3', status: 'completed', background: true, usage: RESPONSE }),
    usage: RESPONSE_READ,
    model: 'o3',
  },
  {
    provider: 'openai',
    operation: 'openai-count',
    path: '/v1/responses/input_tokens',
    ...json({ object: 'response.input_tokens', input_tokens: 51 }),
    usage: { input: 51, output: 0, total: 51 },
    model: undefined,
  },
]
