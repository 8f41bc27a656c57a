import { json, messages, sse, TRAP, type EndpointAnswer } from './answer-bytes.ts'

const GENERATED = {
  promptTokenCount: 11,
  candidatesTokenCount: 5,
  thoughtsTokenCount: 20,
  toolUsePromptTokenCount: 3,
  cachedContentTokenCount: 8,
  totalTokenCount: 39,
  promptTokensDetails: [
    { modality: 'TEXT', tokenCount: 4 },
    { modality: 'AUDIO', tokenCount: 7 },
  ],
  serviceTier: 'standard',
}
const GENERATED_READ = {
  input: 14,
  output: 25,
  total: 39,
  cacheRead: 8,
  reasoning: 20,
  toolUseInput: 3,
  audioInput: 7,
  serviceTier: 'standard',
}
const INTERACTION = {
  total_input_tokens: 22,
  total_output_tokens: 9,
  total_thought_tokens: 30,
  total_tool_use_tokens: 12,
  total_cached_tokens: 0,
  total_tokens: 73,
  input_tokens_by_modality: [{ modality: 'text', tokens: 22 }],
}
const INTERACTION_READ = { input: 34, output: 39, total: 73, cacheRead: 0, reasoning: 30, toolUseInput: 12 }
const candidates = [
  { content: { parts: [{ text: TRAP }, { functionCall: { args: { usageMetadata: { promptTokenCount: 9 } } } }] } },
]
const early = { candidates, usageMetadata: { promptTokenCount: 20, totalTokenCount: 20 }, modelVersion: 'gemini-3-pro' }
const traffic = { candidates: [], usageMetadata: { trafficType: 'ON_DEMAND' }, modelVersion: 'gemini-3-pro' }
const last = { candidates: [], usageMetadata: GENERATED, modelVersion: 'gemini-3-pro' }

function generated(provider: string, models: string): EndpointAnswer[] {
  const of = { provider, operation: 'gemini-generate', usage: GENERATED_READ, model: 'gemini-3-pro' }
  const stream = `${models}/gemini-3-pro:streamGenerateContent`
  return [
    { ...of, path: `${models}/gemini-3-pro:generateContent`, ...json(last) },
    { ...of, path: `${stream}?alt=sse`, ...sse(early, traffic, last, traffic) },
    { ...of, path: stream, ...json([early, traffic, last]) },
    { ...of, path: stream, ...json([early]), usage: { input: 20, output: 0, total: 20 } },
    { ...of, path: stream, ...json([traffic]), usage: undefined },
  ]
}

/** Two turns of a session, each with its own figures; thoughts are within what was answered. */
const live = messages(
  { setupComplete: {} },
  { serverContent: { modelTurn: { parts: [{ text: TRAP }] } } },
  { usageMetadata: { promptTokenCount: 100, responseTokenCount: 50, totalTokenCount: 150, thoughtsTokenCount: 20 } },
  { usageMetadata: { promptTokenCount: 160, responseTokenCount: 10, totalTokenCount: 170 } },
)
const LIVE_READ = { input: 260, output: 60, total: 320, reasoning: 20 }
const VERTEX = '/v1/projects/p/locations/global/publishers/google/models'
const MESSAGE = { input_tokens: 5, cache_read_input_tokens: 40, cache_creation_input_tokens: 0, output_tokens: 8 }
const MESSAGE_READ = { input: 45, output: 8, total: 53, cacheRead: 40, cacheWrite: 0 }

export const GOOGLE_ANSWERS: readonly EndpointAnswer[] = [
  ...generated('gcp.gemini', '/v1beta/models'),
  ...generated('gcp.vertex_ai', VERTEX),
  {
    provider: 'gcp.gemini',
    operation: 'gemini-interactions',
    path: '/v1beta/interactions',
    ...json({ model: 'gemini-3-pro', status: 'completed', outputs: [{ text: TRAP }], usage: INTERACTION }),
    usage: INTERACTION_READ,
    model: 'gemini-3-pro',
  },
  {
    provider: 'gcp.gemini',
    operation: 'gemini-interactions',
    path: '/v1beta/interactions',
    ...sse(
      { event_type: 'interaction.start', interaction: { model: 'gemini-3-pro' } },
      { event_type: 'content.delta', delta: { text: TRAP } },
      { event_type: 'content.stop', metadata: { usage: INTERACTION } },
      { event_type: 'interaction.complete', interaction: { usage: INTERACTION } },
      '[DONE]',
    ),
    usage: INTERACTION_READ,
    model: 'gemini-3-pro',
  },
  ...(['gcp.gemini', 'gcp.vertex_ai'] as const).flatMap((provider): EndpointAnswer[] => [
    {
      provider,
      operation: 'gemini-embed',
      path: '/v1beta/models/gemini-embedding-2:embedContent',
      ...json({ embedding: { values: [0.5] }, usageMetadata: { promptTokenCount: 8 } }),
      usage: { input: 8, output: 0, total: 8 },
      model: undefined,
    },
    {
      provider,
      operation: 'gemini-embed',
      path: '/v1beta/models/gemini-embedding-001:batchEmbedContents',
      ...json({ embeddings: [{ values: [0.5] }] }),
      usage: undefined,
      model: undefined,
    },
    {
      provider,
      operation: 'vertex-predict',
      path: `${VERTEX}/text-embedding-005:predict`,
      ...json({
        predictions: [5, 6].map((tokens) => ({
          embeddings: { values: [0.1], statistics: { truncated: false, token_count: tokens } },
        })),
      }),
      usage: { input: 11, output: 0, total: 11 },
      model: undefined,
    },
  ]),
  {
    provider: 'gcp.gemini',
    operation: 'gemini-live',
    method: 'GET',
    path: '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k',
    ...live,
    usage: LIVE_READ,
    model: undefined,
  },
  {
    provider: 'gcp.vertex_ai',
    operation: 'gemini-live',
    method: 'GET',
    path: '/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent',
    ...live,
    usage: LIVE_READ,
    model: undefined,
  },
  {
    provider: 'gcp.vertex_ai',
    operation: 'vertex-anthropic',
    path: '/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5:rawPredict',
    ...json({ model: 'claude-sonnet-4-5', content: [{ text: TRAP }], usage: MESSAGE }),
    usage: MESSAGE_READ,
    model: 'claude-sonnet-4-5',
  },
  {
    provider: 'gcp.vertex_ai',
    operation: 'vertex-anthropic',
    path: '/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5:streamRawPredict',
    ...sse(
      { type: 'message_start', message: { model: 'claude-sonnet-4-5', usage: { ...MESSAGE, output_tokens: 1 } } },
      { type: 'content_block_delta', delta: { text: TRAP } },
      { type: 'message_delta', usage: { output_tokens: 8 } },
    ),
    usage: MESSAGE_READ,
    model: 'claude-sonnet-4-5',
  },
  {
    provider: 'gcp.gemini',
    operation: 'gemini-count',
    path: '/v1beta/models/gemini-3-pro:countTokens',
    ...json({ totalTokens: 36 }),
    usage: { input: 36, output: 0, total: 36 },
    model: undefined,
  },
]
