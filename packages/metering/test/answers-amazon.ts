import { converseFrames, invokeFrames, json, TRAP, type EndpointAnswer } from './answer-bytes.ts'

const GUARDRAIL = {
  guardrail: { inputAssessment: { g: { invocationMetrics: { usage: { topicPolicyUnits: 1, inputTokens: 9 } } } } },
}
/** Both names of a figure stand beside each other: one is read. */
const CONVERSE = {
  inputTokens: 12,
  outputTokens: 250,
  totalTokens: 1_290,
  cacheReadInputTokens: 1_028,
  cacheReadInputTokenCount: 1_028,
  cacheWriteInputTokens: 0,
  cacheWriteInputTokenCount: 0,
}
const CONVERSE_READ = { input: 1_040, output: 250, total: 1_290, cacheRead: 1_028, cacheWrite: 0 }
const METRICS = { inputTokenCount: 28, outputTokenCount: 9, invocationLatency: 400, firstByteLatency: 90 }
const NONE_CACHED = { cacheRead: 0, cacheWrite: 0 }
const converse = { provider: 'aws.bedrock', operation: 'bedrock-converse', model: undefined }
const invoke = { provider: 'aws.bedrock', operation: 'bedrock-invoke', path: '/model/meta.llama3-8b/invoke' }
const stream = { ...invoke, path: '/model/us.anthropic.claude%3A0/invoke-with-response-stream' }

export const AMAZON_ANSWERS: readonly EndpointAnswer[] = [
  {
    ...converse,
    path: '/model/us.amazon.nova%3A0/converse',
    ...json({ output: { message: { content: [{ text: TRAP }] } }, usage: CONVERSE, trace: GUARDRAIL }),
    usage: CONVERSE_READ,
  },
  {
    ...converse,
    path: '/model/us.amazon.nova%3A0/converse-stream',
    ...converseFrames(
      ['messageStart', { role: 'assistant' }],
      ['contentBlockDelta', { delta: { text: TRAP } }],
      ['messageStop', { stopReason: 'end_turn' }],
      ['metadata', { usage: CONVERSE, metrics: { latencyMs: 5 }, trace: GUARDRAIL }],
    ),
    usage: CONVERSE_READ,
  },
  {
    ...converse,
    path: '/model/m/converse-stream',
    ...converseFrames(['messageStart', { role: 'assistant' }], ['contentBlockDelta', { delta: { text: TRAP } }]),
    usage: undefined,
  },
  // The model's own words, Bedrock's headers where it has none.
  {
    ...invoke,
    ...json({ content: [{ text: TRAP }], model: 'claude', usage: { input_tokens: 7, output_tokens: 53 } }),
    headers: { 'x-amzn-bedrock-input-token-count': '8' },
    usage: { input: 7, output: 53, total: 60, ...NONE_CACHED },
    model: 'claude',
  },
  {
    ...invoke,
    ...json({ generation: TRAP, prompt_token_count: 8, generation_token_count: 10 }),
    usage: { input: 8, output: 10, total: 18 },
    model: undefined,
  },
  {
    ...invoke,
    ...json({
      inputTextTokenCount: 5,
      results: [
        { outputText: TRAP, tokenCount: 6 },
        { outputText: TRAP, tokenCount: 7 },
      ],
    }),
    usage: { input: 5, output: 13, total: 18 },
    model: undefined,
  },
  {
    ...invoke,
    ...json({
      output: { message: { content: [{ text: TRAP }] } },
      usage: { inputTokens: 4, outputTokens: 2, totalTokens: 6 },
    }),
    usage: { input: 4, output: 2, total: 6, ...NONE_CACHED },
    model: undefined,
  },
  {
    ...invoke,
    ...json({ outputs: [{ text: TRAP }] }),
    headers: {
      'x-amzn-bedrock-input-token-count': '6',
      'x-amzn-bedrock-output-token-count': '10',
      'x-amzn-bedrock-cache-read-input-token-count': '4',
      'x-amzn-bedrock-cache-write-input-token-count': '1',
    },
    usage: { input: 11, output: 10, total: 21, cacheRead: 4, cacheWrite: 1 },
    model: undefined,
  },
  {
    ...invoke,
    ...json({ generations: [{ text: TRAP }] }),
    headers: { 'x-amzn-bedrock-input-token-count': 'many' },
    usage: undefined,
    model: undefined,
  },
  {
    ...stream,
    ...invokeFrames(
      { type: 'message_start', message: { model: 'claude', usage: { input_tokens: 28, output_tokens: 1 } } },
      { type: 'content_block_delta', delta: { text: TRAP } },
      { type: 'message_delta', usage: { output_tokens: 12 } },
      { type: 'message_stop', 'amazon-bedrock-invocationMetrics': METRICS },
    ),
    usage: { input: 28, output: 12, total: 40, ...NONE_CACHED },
    model: 'claude',
  },
  {
    ...stream,
    ...invokeFrames(
      { generation: TRAP, prompt_token_count: null },
      { generation: '', 'amazon-bedrock-invocationMetrics': METRICS },
    ),
    usage: { input: 28, output: 9, total: 37, ...NONE_CACHED },
    model: undefined,
  },
  // Cohere counts otherwise than Bedrock, and it is Bedrock that bills.
  {
    ...stream,
    ...invokeFrames({
      event_type: 'stream-end',
      response: { text: TRAP, meta: { tokens: { input_tokens: 73, output_tokens: 8 } } },
      'amazon-bedrock-invocationMetrics': METRICS,
    }),
    usage: { input: 28, output: 9, total: 37, ...NONE_CACHED },
    model: undefined,
  },
  // A guardrail has answered: the model was not called.
  {
    ...stream,
    ...invokeFrames({
      outputText: 'Input blocked',
      totalOutputTextTokenCount: 3,
      inputTextTokenCount: 6,
      'amazon-bedrock-guardrailAction': 'INTERVENED',
      'amazon-bedrock-trace': GUARDRAIL,
    }),
    usage: undefined,
    model: undefined,
  },
  {
    provider: 'aws.bedrock',
    operation: 'bedrock-count',
    path: '/model/m/count-tokens',
    ...json({ inputTokens: 375 }),
    usage: { input: 375, output: 0, total: 375, ...NONE_CACHED },
    model: undefined,
  },
]
