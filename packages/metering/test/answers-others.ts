import { json, ndjson, sse, TRAP, type EndpointAnswer } from './answer-bytes.ts'

const MESSAGE = {
  input_tokens: 10,
  cache_creation_input_tokens: 200,
  cache_read_input_tokens: 3_000,
  cache_creation: { ephemeral_5m_input_tokens: 150, ephemeral_1h_input_tokens: 50 },
  output_tokens: 40,
  server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 },
  service_tier: 'standard',
}
const MESSAGE_READ = {
  input: 3_210,
  output: 40,
  total: 3_250,
  cacheRead: 3_000,
  cacheWrite: 200,
  cacheWrite5m: 150,
  cacheWrite1h: 50,
  searches: 2,
  serviceTier: 'standard',
}
const anthropic = {
  provider: 'anthropic',
  operation: 'anthropic-messages',
  path: '/v1/messages',
  model: 'claude-opus-4-5',
}
const cohere = { provider: 'cohere', model: undefined }
const META = {
  api_version: { version: '1' },
  billed_units: { input_tokens: 7, output_tokens: 115 },
  tokens: { input_tokens: 69, output_tokens: 116 },
}
const META_READ = { input: 69, output: 116, total: 185, billedInput: 7, billedOutput: 115 }
const BILLED_READ = { input: 7, output: 115, total: 122, billedInput: 7, billedOutput: 115 }
const OLLAMA = { model: 'llama3.2', done: true, total_duration: 9, prompt_eval_count: 17, eval_count: 63 }
const OLLAMA_READ = { input: 17, output: 63, total: 80 }
const watsonx = { provider: 'ibm.watsonx.ai', model: undefined }

export const OTHER_ANSWERS: readonly EndpointAnswer[] = [
  {
    ...anthropic,
    ...json({
      type: 'message',
      model: 'claude-opus-4-5',
      content: [
        { type: 'text', text: TRAP },
        { type: 'tool_use', input: { usage: { input_tokens: 5 } } },
      ],
      usage: MESSAGE,
    }),
    usage: MESSAGE_READ,
  },
  {
    ...anthropic,
    ...sse(
      {
        type: 'message_start',
        message: {
          model: 'claude-opus-4-5',
          usage: { ...MESSAGE, input_tokens: 4, output_tokens: 1, server_tool_use: null },
        },
      },
      { type: 'content_block_delta', delta: { type: 'text_delta', text: TRAP } },
      {
        type: 'message_delta',
        usage: {
          input_tokens: 10,
          output_tokens: 40,
          cache_read_input_tokens: null,
          server_tool_use: { web_search_requests: 2 },
        },
      },
      { type: 'message_stop' },
    ),
    usage: MESSAGE_READ,
  },
  // Runs before the answer are not in its sums.
  {
    ...anthropic,
    ...json({
      model: 'claude-opus-4-5',
      usage: {
        input_tokens: 682,
        output_tokens: 10,
        iterations: [
          { type: 'compaction', input_tokens: 60_385, output_tokens: 500 },
          { type: 'message', input_tokens: 682, output_tokens: 10, cache_read_input_tokens: 5 },
        ],
      },
    }),
    usage: {
      input: 682,
      output: 10,
      total: 692,
      cacheRead: 0,
      cacheWrite: 0,
      runs: { input: 61_072, output: 510, total: 61_582, cacheRead: 5, cacheWrite: 0, flags: ['iterations-summed'] },
    },
  },
  ...(['anthropic', 'x_ai'] as const).map((provider): EndpointAnswer => ({
    provider,
    operation: 'anthropic-complete',
    path: '/v1/complete',
    ...json({ type: 'completion', completion: TRAP, model: 'claude-2' }),
    usage: undefined,
    model: 'claude-2',
  })),
  {
    provider: 'anthropic',
    operation: 'anthropic-count',
    path: '/v1/messages/count_tokens',
    ...json({ input_tokens: 43 }),
    usage: { input: 43, output: 0, total: 43 },
    model: undefined,
  },

  { ...cohere, operation: 'cohere-chat', path: '/v1/chat', ...json({ text: TRAP, meta: META }), usage: META_READ },
  {
    ...cohere,
    operation: 'cohere-chat',
    path: '/v1/chat',
    ...json({ text: TRAP, token_count: { prompt_tokens: 1_376 }, meta: { billed_units: META.billed_units } }),
    usage: BILLED_READ,
  },
  {
    ...cohere,
    operation: 'cohere-chat',
    path: '/v1/chat',
    ...ndjson(
      { is_finished: false, event_type: 'text-generation', text: TRAP },
      { is_finished: true, event_type: 'stream-end', response: { text: TRAP, meta: META } },
    ),
    usage: META_READ,
  },
  {
    ...cohere,
    operation: 'cohere-chat',
    path: '/v2/chat',
    ...json({
      message: { content: [{ text: TRAP }] },
      usage: { billed_units: META.billed_units, tokens: META.tokens, cached_tokens: 64 },
    }),
    usage: { ...META_READ, cacheRead: 64 },
  },
  {
    ...cohere,
    operation: 'cohere-chat',
    path: '/v2/chat',
    ...sse(
      { type: 'content-delta', delta: { message: { content: { text: TRAP } } } },
      {
        type: 'message-end',
        delta: { finish_reason: 'COMPLETE', usage: { billed_units: META.billed_units, tokens: META.tokens } },
      },
      '[DONE]',
    ),
    usage: META_READ,
  },
  {
    ...cohere,
    operation: 'cohere-generate',
    path: '/v1/generate',
    ...json({ generations: [{ text: TRAP }], meta: { billed_units: META.billed_units } }),
    usage: BILLED_READ,
  },
  {
    ...cohere,
    operation: 'cohere-embed',
    path: '/v2/embed',
    ...json({
      embeddings: { float: [[0.5]] },
      texts: [TRAP],
      meta: { billed_units: { input_tokens: 3, image_tokens: 0 } },
    }),
    usage: { input: 3, output: 0, total: 3, billedInput: 3, imageInput: 0 },
  },
  {
    ...cohere,
    operation: 'cohere-classify',
    path: '/v1/classify',
    ...json({ classifications: [{ input: TRAP }], meta: { billed_units: { input_tokens: 3 } } }),
    usage: { input: 3, output: 0, total: 3, billedInput: 3 },
  },
  {
    ...cohere,
    operation: 'rerank',
    path: '/v2/rerank',
    ...json({ results: [{ index: 0, relevance_score: 0.9 }], meta: { billed_units: { search_units: 1 } } }),
    usage: { searches: 1 },
  },
  ...(['openrouter', 'together_ai', 'fireworks', 'vllm', 'voyage_ai', 'jina_ai', 'litellm'] as const).map(
    (provider): EndpointAnswer => ({
      provider,
      operation: 'rerank',
      path: '/v1/rerank',
      ...json({ model: 'm', results: [{ index: 0, document: TRAP }], usage: { total_tokens: 17 } }),
      usage: { input: 17, output: 0, total: 17 },
      model: 'm',
    }),
  ),
  ...(['voyage_ai', 'jina_ai'] as const).map((provider): EndpointAnswer => ({
    provider,
    operation: 'openai-embeddings',
    path: '/v1/embeddings',
    ...json({ model: 'm', data: [{ embedding: [1] }], usage: { total_tokens: 12 } }),
    usage: { input: 12, output: 0, total: 12 },
    model: 'm',
  })),

  {
    provider: 'ollama',
    operation: 'ollama-chat',
    path: '/api/chat',
    ...json({ ...OLLAMA, message: { content: TRAP } }),
    usage: OLLAMA_READ,
    model: 'llama3.2',
  },
  {
    provider: 'ollama',
    operation: 'ollama-chat',
    path: '/api/chat',
    ...ndjson({ model: 'llama3.2', message: { content: TRAP }, done: false }, { ...OLLAMA, message: { content: '' } }),
    usage: OLLAMA_READ,
    model: 'llama3.2',
  },
  // A prompt that was all cached has no count, which is not 0.
  {
    provider: 'ollama',
    operation: 'ollama-generate',
    path: '/api/generate',
    ...json({ model: 'llama3.2', response: TRAP, context: [1, 2, 3], done: true, eval_count: 38 }),
    usage: { output: 38, total: 38 },
    model: 'llama3.2',
  },
  {
    provider: 'ollama',
    operation: 'ollama-generate',
    path: '/api/generate',
    ...ndjson({ model: 'llama3.2', response: TRAP, done: false }, OLLAMA),
    usage: OLLAMA_READ,
    model: 'llama3.2',
  },
  {
    provider: 'ollama',
    operation: 'ollama-embed',
    path: '/api/embed',
    ...json({ model: 'nomic', embeddings: [[0.5]], prompt_eval_count: 8 }),
    usage: { input: 8, output: 0, total: 8 },
    model: 'nomic',
  },

  {
    provider: 'huggingface',
    operation: 'tgi-generate',
    path: '/generate',
    ...json({
      generated_text: TRAP,
      details: { finish_reason: 'length', generated_tokens: 20, prefill: [{ id: 1 }, { id: 2 }] },
    }),
    usage: { input: 2, output: 20, total: 22 },
    model: undefined,
  },
  {
    provider: 'huggingface',
    operation: 'tgi-generate',
    path: '/generate_stream',
    ...sse(
      { token: { text: TRAP }, details: null },
      { token: { text: '' }, generated_text: TRAP, details: { generated_tokens: 20 } },
    ),
    usage: { output: 20, total: 20 },
    model: undefined,
  },
  {
    provider: 'huggingface',
    operation: 'tgi-generate',
    path: '/generate',
    ...json({ generated_text: TRAP }),
    headers: { 'x-prompt-tokens': '4', 'x-generated-tokens': '20' },
    usage: { input: 4, output: 20, total: 24 },
    model: undefined,
  },
  {
    provider: 'llama_cpp',
    operation: 'llamacpp-completion',
    path: '/completion',
    ...json({
      content: TRAP,
      model: 'm',
      stop: true,
      tokens_evaluated: 30,
      tokens_predicted: 12,
      timings: { prompt_n: 10, cache_n: 20, predicted_n: 12 },
    }),
    usage: { input: 30, output: 12, total: 42, cacheRead: 20 },
    model: 'm',
  },
  {
    provider: 'llama_cpp',
    operation: 'llamacpp-completion',
    path: '/completion',
    ...sse(
      { content: TRAP, stop: false, tokens_predicted: 1, tokens_evaluated: 30 },
      { content: '', stop: true, tokens_evaluated: 30, tokens_predicted: 12 },
    ),
    usage: { input: 30, output: 12, total: 42 },
    model: undefined,
  },

  {
    ...watsonx,
    operation: 'watsonx-generation',
    path: '/ml/v1/text/generation?version=2024-05-01',
    ...json({
      model_id: 'granite',
      results: [{ generated_text: TRAP, generated_token_count: 20, input_token_count: 14 }],
    }),
    usage: { input: 14, output: 20, total: 34 },
  },
  {
    ...watsonx,
    operation: 'watsonx-generation',
    path: '/ml/v1/text/generation_stream',
    ...sse(
      { results: [{ generated_text: TRAP, generated_token_count: 1, input_token_count: 14 }] },
      { results: [{ generated_text: TRAP, generated_token_count: 3, input_token_count: 0 }] },
    ),
    usage: { input: 14, output: 3, total: 17 },
  },
  {
    ...watsonx,
    operation: 'watsonx-chat',
    path: '/ml/v1/text/chat',
    ...json({
      choices: [{ message: { content: TRAP } }],
      usage: { prompt_tokens: 6, completion_tokens: 4, total_tokens: 10 },
    }),
    usage: { input: 6, output: 4, total: 10 },
  },
  {
    ...watsonx,
    operation: 'watsonx-embeddings',
    path: '/ml/v1/text/embeddings',
    ...json({ results: [{ embedding: [0.5] }], input_token_count: 10 }),
    usage: { input: 10, output: 0, total: 10 },
  },
  {
    provider: 'aleph_alpha',
    operation: 'alephalpha-complete',
    path: '/complete',
    ...json({
      completions: [{ completion: TRAP }],
      model_version: '1',
      num_tokens_prompt_total: 9,
      num_tokens_generated: 12,
    }),
    usage: undefined,
    model: undefined,
  },
  {
    provider: 'replicate',
    operation: 'replicate-predictions',
    path: '/v1/models/meta/llama-3/predictions',
    ...json({
      model: 'meta/llama-3',
      status: 'succeeded',
      input: { usage: { prompt_tokens: 1 } },
      output: [TRAP],
      metrics: { input_token_count: 8, output_token_count: 21, predict_time: 0.4 },
    }),
    usage: { input: 8, output: 21, total: 29 },
    model: 'meta/llama-3',
  },
  {
    provider: 'replicate',
    operation: 'replicate-predictions',
    path: '/v1/predictions',
    ...json({ model: 'm', status: 'starting', input: { prompt: TRAP } }),
    usage: undefined,
    model: 'm',
  },
]
