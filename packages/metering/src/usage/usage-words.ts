import type { ReportedUsage } from './reported-usage.ts'

/** Figures that a usage object can state. */
export type FigureName = Exclude<keyof ReportedUsage, 'serviceTier' | 'flags' | 'cost' | 'runs'>

/** Where members stand in a usage object: names joined by dots, the first that is a number counts. */
type Places = readonly string[]

/**
 * How the members of a usage object are called and what they mean. Known by their names and not by the host that they
 * come from, so that compatible providers and proxies are understood. Sources: the API references of the providers.
 */
export interface UsageWords {
  /** An object that has one of these members speaks these words. */
  readonly marks: readonly string[]
  readonly figures: Readonly<Partial<Record<FigureName, Places>>>
  /** Whether what was read from and written to a cache is within the input as stated, or beside it. */
  readonly cache: 'within' | 'beside'
  /**
   * Whether reasoning is within the output as stated, or beside it; where the total tells otherwise, it is right.
   */
  readonly reasoning: 'within' | 'beside'
  /** Whether a total above the parts means output that they left out. */
  readonly gap: 'output' | 'unknown'
  /** Members whose absence means that there was none. */
  readonly noneIfAbsent: readonly FigureName[]
}

const WITHIN = { cache: 'within', reasoning: 'within', gap: 'unknown', noneIfAbsent: [] } as const

/** All words that providers use, those with the clearest marks first. */
export const USAGE_WORDS = {
  /** OpenAI API reference, chat completion object; DeepSeek, Groq, Mistral, xAI, Perplexity and others with members of theirs. */
  chat: {
    ...WITHIN,
    marks: ['prompt_tokens', 'completion_tokens'],
    figures: {
      input: ['prompt_tokens'],
      output: ['completion_tokens'],
      total: ['total_tokens'],
      cacheRead: [
        'prompt_tokens_details.cached_tokens',
        'prompt_token_details.cached_tokens',
        'prompt_cache_hit_tokens',
        'cached_tokens',
        'num_cached_tokens',
      ],
      cacheWrite: ['prompt_tokens_details.cache_write_tokens', 'prompt_tokens_details.cache_creation_tokens'],
      reasoning: ['completion_tokens_details.reasoning_tokens', 'reasoning_tokens'],
      audioInput: ['prompt_tokens_details.audio_tokens'],
      imageInput: ['prompt_tokens_details.image_tokens'],
      audioOutput: ['completion_tokens_details.audio_tokens'],
      imageOutput: ['completion_tokens_details.image_tokens'],
      seconds: ['prompt_audio_seconds'],
      searches: ['num_search_queries'],
    },
    gap: 'output',
  },
  /** Gemini API reference, `UsageMetadata` of generateContent, of embeddings and of the Live API. */
  gemini: {
    marks: [
      'promptTokenCount',
      'candidatesTokenCount',
      'responseTokenCount',
      'totalTokenCount',
      'thoughtsTokenCount',
      'toolUsePromptTokenCount',
    ],
    figures: {
      input: ['promptTokenCount'],
      output: ['candidatesTokenCount', 'responseTokenCount'],
      total: ['totalTokenCount'],
      cacheRead: ['cachedContentTokenCount'],
      reasoning: ['thoughtsTokenCount'],
      toolUseInput: ['toolUsePromptTokenCount'],
      audioInput: ['promptTokensDetails.AUDIO'],
      imageInput: ['promptTokensDetails.IMAGE'],
      audioOutput: ['candidatesTokensDetails.AUDIO', 'responseTokensDetails.AUDIO'],
      imageOutput: ['candidatesTokensDetails.IMAGE', 'responseTokensDetails.IMAGE'],
    },
    cache: 'within',
    reasoning: 'beside',
    gap: 'unknown',
    // Nothing generated is stated by leaving the count out.
    noneIfAbsent: ['output'],
  },
  /** Gemini API reference, Interactions. */
  interactions: {
    marks: ['total_input_tokens', 'total_output_tokens'],
    figures: {
      input: ['total_input_tokens'],
      output: ['total_output_tokens'],
      total: ['total_tokens'],
      cacheRead: ['total_cached_tokens'],
      reasoning: ['total_thought_tokens'],
      toolUseInput: ['total_tool_use_tokens'],
      audioInput: ['input_tokens_by_modality.audio'],
      imageInput: ['input_tokens_by_modality.image'],
      audioOutput: ['output_tokens_by_modality.audio'],
      imageOutput: ['output_tokens_by_modality.image'],
    },
    cache: 'within',
    reasoning: 'beside',
    gap: 'unknown',
    noneIfAbsent: [],
  },
  /** Amazon Bedrock API reference, `TokenUsage` of Converse; Amazon Nova's own answers. */
  converse: {
    ...WITHIN,
    marks: ['inputTokens', 'outputTokens'],
    figures: {
      input: ['inputTokens'],
      output: ['outputTokens'],
      total: ['totalTokens'],
      // Both names of a figure stand beside each other: one is read.
      cacheRead: ['cacheReadInputTokens', 'cacheReadInputTokenCount'],
      cacheWrite: ['cacheWriteInputTokens', 'cacheWriteInputTokenCount'],
    },
    cache: 'beside',
    noneIfAbsent: ['cacheRead', 'cacheWrite'],
  },
  /** Amazon Bedrock user guide, `amazon-bedrock-invocationMetrics` of InvokeModelWithResponseStream. */
  metrics: {
    ...WITHIN,
    marks: ['inputTokenCount', 'outputTokenCount'],
    figures: {
      input: ['inputTokenCount'],
      output: ['outputTokenCount'],
      cacheRead: ['cacheReadInputTokenCount'],
      cacheWrite: ['cacheWriteInputTokenCount'],
    },
    cache: 'beside',
    noneIfAbsent: ['cacheRead', 'cacheWrite'],
  },
  /** Anthropic API reference, Messages, `usage`. */
  anthropic: {
    ...WITHIN,
    marks: ['cache_read_input_tokens', 'cache_creation_input_tokens', 'cache_creation', 'iterations'],
    figures: {
      input: ['input_tokens'],
      output: ['output_tokens'],
      cacheRead: ['cache_read_input_tokens'],
      cacheWrite: ['cache_creation_input_tokens'],
      cacheWrite5m: ['cache_creation.ephemeral_5m_input_tokens'],
      cacheWrite1h: ['cache_creation.ephemeral_1h_input_tokens'],
      reasoning: ['output_tokens_details.thinking_tokens'],
      searches: ['server_tool_use.web_search_requests'],
    },
    cache: 'beside',
    noneIfAbsent: ['cacheRead', 'cacheWrite'],
  },
  /** OpenAI API reference: response object, images, transcriptions, and `response.done` of the Realtime API. */
  responses: {
    ...WITHIN,
    marks: ['input_tokens', 'output_tokens'],
    figures: {
      input: ['input_tokens'],
      output: ['output_tokens'],
      total: ['total_tokens'],
      cacheRead: ['input_tokens_details.cached_tokens', 'input_token_details.cached_tokens'],
      cacheWrite: ['input_tokens_details.cache_write_tokens', 'input_token_details.cache_write_tokens'],
      reasoning: ['output_tokens_details.reasoning_tokens', 'output_token_details.reasoning_tokens'],
      audioInput: ['input_tokens_details.audio_tokens', 'input_token_details.audio_tokens'],
      imageInput: ['input_tokens_details.image_tokens', 'input_token_details.image_tokens'],
      audioOutput: ['output_tokens_details.audio_tokens', 'output_token_details.audio_tokens'],
      imageOutput: ['output_tokens_details.image_tokens', 'output_token_details.image_tokens'],
      seconds: ['billable_audio_seconds'],
      searches: ['server_side_tool_usage_details.web_search_calls'],
    },
  },
  /** Cohere API reference: what it counts and what it bills are two truths, and quotas go by what it counts. */
  cohere: {
    ...WITHIN,
    marks: ['tokens', 'billed_units'],
    figures: {
      input: ['tokens.input_tokens', 'billed_units.input_tokens'],
      output: ['tokens.output_tokens', 'billed_units.output_tokens'],
      cacheRead: ['cached_tokens'],
      reasoning: ['tokens.reasoning_tokens'],
      imageInput: ['tokens.image_tokens', 'billed_units.image_tokens'],
      billedInput: ['billed_units.input_tokens'],
      billedOutput: ['billed_units.output_tokens'],
      searches: ['billed_units.search_units'],
    },
  },
  /** OpenAI API reference, transcription object: billed by the length of the audio. */
  duration: { ...WITHIN, marks: ['seconds'], figures: { seconds: ['seconds'] } },
  /** Ollama API documentation: members of the answer itself. */
  ollama: {
    ...WITHIN,
    marks: ['prompt_eval_count', 'eval_count'],
    figures: { input: ['prompt_eval_count'], output: ['eval_count'] },
  },
  /** Amazon Bedrock user guide, Meta Llama models: members of the answer itself. */
  llama: {
    ...WITHIN,
    marks: ['prompt_token_count', 'generation_token_count'],
    figures: { input: ['prompt_token_count'], output: ['generation_token_count'] },
  },
  /** Amazon Bedrock user guide, Amazon Titan models; a stream states its output so far. */
  titan: {
    ...WITHIN,
    marks: ['inputTextTokenCount', 'totalOutputTextTokenCount'],
    figures: { input: ['inputTextTokenCount'], output: ['totalOutputTextTokenCount', 'results.tokenCount'] },
  },
  /** IBM watsonx API reference, text generation: one of `results`. Replicate, `metrics`. */
  watsonx: {
    ...WITHIN,
    marks: ['input_token_count', 'generated_token_count', 'output_token_count'],
    figures: { input: ['input_token_count'], output: ['generated_token_count', 'output_token_count'] },
  },
  /** Text Generation Inference, `details` of /generate; its prefill is an array of the prompt's tokens. */
  tgi: {
    ...WITHIN,
    marks: ['generated_tokens'],
    figures: { input: ['prefill.length'], output: ['generated_tokens'] },
  },
  /** llama.cpp server, /completion: members of the answer itself. Evaluated are all tokens of the prompt, cached ones too. */
  llamacpp: {
    ...WITHIN,
    marks: ['tokens_predicted', 'tokens_evaluated'],
    figures: { input: ['tokens_evaluated'], output: ['tokens_predicted'], cacheRead: ['timings.cache_n'] },
  },
  /** Vertex AI, text embeddings: `predictions[].embeddings.statistics`. */
  statistics: { ...WITHIN, marks: ['token_count'], figures: { input: ['token_count'] }, noneIfAbsent: ['output'] },
  /** Voyage AI, Jina AI and others that have no output. */
  total: { ...WITHIN, marks: ['total_tokens', 'totalTokens'], figures: { total: ['total_tokens', 'totalTokens'] } },
} as const satisfies Readonly<Record<string, UsageWords>>

export type WordsName = keyof typeof USAGE_WORDS
