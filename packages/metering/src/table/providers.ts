/** A route that a provider charges for and that nothing meters, or that costs nothing. */
export interface ProviderRoute {
  readonly method: 'POST' | 'GET' | 'PUT' | 'PATCH'
  readonly path: RegExp
  /** What it is, in two or three words. */
  readonly what: string
}

/** A path that only this provider serves, or that means something else with it than elsewhere. */
export interface OwnPath {
  readonly path: RegExp
  /** Id of the operation. */
  readonly operation: string
}

/** Who serves operations. A host that is not here is known by the shapes that it speaks. */
export interface Provider {
  /** `gen_ai.provider.name` of OpenTelemetry, or a name of that kind. */
  readonly id: string
  /** Names by which operators and others know it. */
  readonly alias?: readonly string[]
  /** Ends of its host names. */
  readonly hosts: readonly string[]
  /** Ids of the operations that it serves under their usual paths, and charges for. */
  readonly serves: readonly string[]
  readonly own?: readonly OwnPath[]
  /** Billable routes that nothing meters. */
  readonly unmetered?: readonly ProviderRoute[]
  /** Streams state their usage unasked, and some such providers refuse to be asked. */
  readonly isAlwaysStated?: true
}

const route = (what: string, path: RegExp, method: ProviderRoute['method'] = 'POST'): ProviderRoute => {
  return { method, path, what }
}

/** Of OpenAI and of those that offer the same beside models. */
const BATCHES = route('batch of calls', /\/batches\/?$/i)
const FINE_TUNING = route('fine-tuning', /\/fine[_-]tun(?:ing\/jobs|es)(?:\/[^/]+\/resume)?\/?$/i)
const VIDEOS = route('video generation', /\/videos?(?:\/generations|\/[^/]+\/remix|\/edits|\/extensions)?\/?$/i)
/** WebRTC goes around a gateway: only the opening is seen. */
const REALTIME_CALLS = route(
  'realtime session beside the gateway',
  /\/realtime\/(?:calls|sessions|client_secrets|transcription_sessions)\/?$/i,
)
const OPENAI_UNMETERED: readonly ProviderRoute[] = [
  BATCHES,
  FINE_TUNING,
  VIDEOS,
  REALTIME_CALLS,
  route('files kept for search', /\/vector_stores(?:\/[^/]+\/(?:files|file_batches|search))?\/?$/i),
  route('run of an assistant', /\/threads\/(?:runs|[^/]+\/runs(?:\/[^/]+\/submit_tool_outputs)?)\/?$/i),
  route('container', /\/containers\/?$/i),
  route('run of an evaluation', /\/evals\/[^/]+\/runs\/?$/i),
]
const CHAT = ['openai-chat'] as const
const OPENAI_COMPATIBLE = ['openai-chat', 'openai-completions', 'openai-embeddings'] as const
/** OpenAI's own, which Azure serves as well. */
const OPENAI_OPERATIONS = [
  ...OPENAI_COMPATIBLE,
  'openai-responses',
  'openai-compact',
  'openai-images',
  'openai-transcription',
  'openai-speech',
  'openai-realtime',
] as const

/** Providers and hosts, in no order that matters. */
export const PROVIDERS: readonly Provider[] = [
  {
    id: 'openai',
    hosts: ['api.openai.com'],
    serves: OPENAI_OPERATIONS,
    unmetered: OPENAI_UNMETERED,
  },
  {
    id: 'azure.ai.openai',
    alias: ['azure', 'azure.openai', 'azure.ai.inference'],
    hosts: ['openai.azure.com', 'services.ai.azure.com', 'cognitiveservices.azure.com', 'models.ai.azure.com'],
    serves: OPENAI_OPERATIONS,
    unmetered: OPENAI_UNMETERED,
  },
  {
    id: 'anthropic',
    hosts: ['api.anthropic.com'],
    serves: ['anthropic-messages', 'anthropic-complete', 'openai-chat'],
    unmetered: [route('batch of calls', /\/messages\/batches\/?$/i)],
  },
  {
    id: 'gcp.gemini',
    alias: ['google', 'gemini', 'google-openai-compat'],
    hosts: ['generativelanguage.googleapis.com'],
    serves: [
      'gemini-generate',
      'gemini-interactions',
      'gemini-embed',
      'gemini-live',
      'openai-chat',
      'openai-embeddings',
      'openai-images',
    ],
    own: [{ path: /\/models\/[^/:]+:predict$/i, operation: 'vertex-predict' }],
    unmetered: [
      route('batch of calls', /:(?:batchGenerateContent|asyncBatchEmbedContent)$/i),
      route('video generation', /:predictLongRunning$/i),
      route('cached content', /\/cachedContents\/?$/i),
      route('fine-tuning', /\/tunedModels\/?$/i),
      BATCHES,
    ],
  },
  {
    id: 'gcp.vertex_ai',
    alias: ['vertex', 'vertex_ai', 'google-vertex'],
    hosts: ['aiplatform.googleapis.com'],
    serves: ['gemini-generate', 'gemini-embed', 'vertex-predict', 'vertex-anthropic', 'gemini-live', 'openai-chat'],
    unmetered: [
      route('batch of calls', /\/batchPredictionJobs\/?$/i),
      route('video generation', /:predictLongRunning$/i),
      route('cached content', /\/cachedContents\/?$/i),
      route('fine-tuning', /\/tuningJobs\/?$/i),
      route(
        "another maker's model",
        /\/publishers\/(?!anthropic\/|google\/)[^/]+\/models\/[^/:]+:(?:rawPredict|streamRawPredict)$/i,
      ),
    ],
  },
  {
    id: 'aws.bedrock',
    alias: ['bedrock'],
    hosts: ['amazonaws.com'],
    serves: ['bedrock-converse', 'bedrock-invoke'],
    unmetered: [
      route('asynchronous call', /\/async-invoke\/?$/i),
      route('batch of calls', /\/model-invocation-jobs?\/?$/i),
      route('session over two-way streams', /\/model\/[^/]+\/invoke-with-bidirectional-stream$/i),
      route('guardrail', /\/guardrail\/[^/]+\/version\/[^/]+\/apply$/i),
      route('knowledge base', /\/(?:retrieveAndGenerate(?:Stream)?|knowledgebases\/[^/]+\/retrieve|rerank)\/?$/i),
    ],
  },
  {
    id: 'aws.bedrock.mantle',
    alias: ['bedrock-mantle'],
    hosts: ['api.aws'],
    serves: ['openai-chat', 'openai-responses'],
    unmetered: [BATCHES],
  },
  {
    id: 'cohere',
    hosts: ['api.cohere.com', 'api.cohere.ai'],
    serves: [
      'cohere-chat',
      'cohere-generate',
      'cohere-embed',
      'cohere-classify',
      'rerank',
      'openai-transcription',
      'openai-chat',
      'openai-embeddings',
    ],
    unmetered: [
      route('batch of embeddings', /\/embed-jobs\/?$/i),
      route('fine-tuning', /\/finetuning\/finetuned-models\/?$/i),
      route('summary', /\/v1\/summarize\/?$/i),
    ],
  },
  {
    id: 'mistral_ai',
    alias: ['mistral'],
    hosts: ['api.mistral.ai'],
    serves: [...OPENAI_COMPATIBLE, 'mistral-ocr', 'openai-transcription'],
    own: [{ path: /\/v1\/(?:chat\/)?(?:moderations|classifications)\/?$/i, operation: 'mistral-moderations' }],
    unmetered: [
      route('batch of calls', /\/batch\/jobs\/?$/i),
      FINE_TUNING,
      route('conversation', /\/conversations(?:\/[^/]+(?:\/restart)?)?\/?$/i),
    ],
    isAlwaysStated: true,
  },
  {
    id: 'groq',
    hosts: ['api.groq.com'],
    serves: ['openai-chat', 'openai-responses', 'openai-transcription', 'openai-speech'],
    unmetered: [BATCHES, FINE_TUNING],
  },
  {
    id: 'deepseek',
    hosts: ['api.deepseek.com'],
    serves: ['openai-chat', 'openai-completions', 'openai-responses', 'anthropic-messages'],
  },
  {
    id: 'x_ai',
    alias: ['xai'],
    hosts: ['api.x.ai'],
    serves: [
      'openai-chat',
      'openai-completions',
      'openai-responses',
      'openai-images',
      'openai-realtime',
      'anthropic-messages',
      'anthropic-complete',
    ],
    unmetered: [VIDEOS, BATCHES, REALTIME_CALLS],
  },
  {
    id: 'perplexity',
    hosts: ['api.perplexity.ai'],
    serves: ['openai-chat', 'openai-responses', 'openai-embeddings'],
    own: [{ path: /\/sonar\/?$/i, operation: 'openai-chat' }],
    unmetered: [
      route('search', /\/search\/?$/i),
      route('asynchronous call', /\/async\/(?:chat\/completions|sonar)\/?$/i),
    ],
    isAlwaysStated: true,
  },
  {
    id: 'openrouter',
    hosts: ['openrouter.ai'],
    serves: [
      ...OPENAI_COMPATIBLE,
      'openai-responses',
      'anthropic-messages',
      'rerank',
      'openai-speech',
      'openai-transcription',
    ],
    unmetered: [VIDEOS],
  },
  {
    id: 'together_ai',
    alias: ['together'],
    hosts: ['api.together.xyz', 'api.together.ai'],
    serves: [...OPENAI_COMPATIBLE, 'openai-images', 'rerank', 'openai-speech', 'openai-transcription'],
    unmetered: [BATCHES, FINE_TUNING, VIDEOS],
  },
  {
    id: 'fireworks',
    hosts: ['api.fireworks.ai', 'audio-prod.us-virginia-1.direct.fireworks.ai'],
    serves: [...OPENAI_COMPATIBLE, 'openai-responses', 'anthropic-messages', 'rerank', 'openai-transcription'],
    unmetered: [BATCHES, FINE_TUNING, route('workflow', /\/workflows\/[^:]+(?:\/[^/]+)?\/?$/i)],
  },
  { id: 'cerebras', hosts: ['api.cerebras.ai'], serves: ['openai-chat', 'openai-completions'] },
  {
    id: 'z_ai',
    alias: ['zai'],
    hosts: ['api.z.ai', 'open.bigmodel.cn'],
    serves: ['openai-chat', 'openai-embeddings', 'openai-images', 'anthropic-messages'],
    unmetered: [VIDEOS, route('search', /\/web_search\/?$/i)],
  },
  {
    id: 'moonshot_ai',
    alias: ['moonshot'],
    hosts: ['api.moonshot.ai', 'api.moonshot.cn'],
    serves: ['openai-chat', 'anthropic-messages'],
    unmetered: [BATCHES],
  },
  {
    id: 'alibaba_cloud',
    alias: ['alibaba'],
    hosts: ['dashscope.aliyuncs.com', 'dashscope-intl.aliyuncs.com'],
    serves: [...OPENAI_COMPATIBLE, 'openai-responses'],
    unmetered: [BATCHES, route("DashScope's own API", /\/api\/v1\/services\/.+/i)],
  },
  {
    id: 'vllm',
    hosts: [],
    serves: [...OPENAI_COMPATIBLE, 'openai-responses', 'openai-transcription', 'rerank', 'anthropic-messages'],
  },
  {
    id: 'huggingface',
    hosts: ['router.huggingface.co', 'api-inference.huggingface.co', 'endpoints.huggingface.cloud'],
    serves: ['openai-chat', 'openai-responses', 'tgi-generate'],
    unmetered: [route("a task's own API", /\/(?:hf-inference\/)?models\/[^/]+\/[^/]+(?:\/pipeline\/[\w-]+)?\/?$/i)],
  },
  {
    id: 'llama_cpp',
    alias: ['llamacpp'],
    hosts: [],
    serves: [...OPENAI_COMPATIBLE, 'llamacpp-completion', 'anthropic-messages'],
  },
  {
    id: 'ollama',
    hosts: ['ollama.com'],
    serves: ['ollama-chat', 'ollama-generate', 'ollama-embed', ...OPENAI_COMPATIBLE],
  },
  {
    id: 'voyage_ai',
    alias: ['voyage'],
    hosts: ['api.voyageai.com'],
    serves: ['openai-embeddings', 'rerank'],
    unmetered: [BATCHES],
  },
  {
    id: 'jina_ai',
    alias: ['jina'],
    hosts: ['api.jina.ai'],
    serves: ['openai-embeddings', 'rerank'],
    unmetered: [route('classification', /\/v1\/(?:classify|train|segment)\/?$/i)],
  },
  {
    id: 'ibm.watsonx.ai',
    alias: ['watsonx'],
    hosts: ['ml.cloud.ibm.com'],
    serves: ['watsonx-generation', 'watsonx-chat', 'watsonx-embeddings'],
    unmetered: [
      route(
        'reranking, time series, extraction',
        /\/ml\/v1\/(?:text\/(?:rerank|extractions)|time_series\/forecast)\/?$/i,
      ),
    ],
  },
  {
    id: 'writer',
    hosts: ['api.writer.com'],
    serves: ['openai-chat', 'openai-completions'],
    own: [{ path: /\/v1\/chat\/?$/i, operation: 'openai-chat' }],
    unmetered: [
      route('application', /\/v1\/applications\/[^/]+(?:\/jobs)?\/?$/i),
      route('tool', /\/v1\/(?:tools\/.+|graphs\/question|vision|translation)\/?$/i),
    ],
  },
  {
    id: 'ai21',
    hosts: ['api.ai21.com'],
    serves: CHAT,
    unmetered: [route('maestro and library', /\/studio\/v1\/(?:maestro\/runs|library\/.+|conversational-rag)\/?$/i)],
  },
  {
    id: 'aleph_alpha',
    alias: ['alephalpha'],
    hosts: ['api.aleph-alpha.com'],
    serves: ['alephalpha-complete', 'openai-chat'],
    unmetered: [
      route('embedding or evaluation', /^\/(?:embed|semantic_embed|batch_semantic_embed|evaluate|explain|summarize)$/i),
    ],
  },
  {
    id: 'snowflake',
    hosts: ['snowflakecomputing.com'],
    serves: ['openai-chat', 'anthropic-messages', 'snowflake-complete'],
    unmetered: [
      route(
        'agent, analyst, search',
        /\/api\/v2\/(?:cortex\/(?:analyst\/message|agent:run|inference:embed)|databases\/.+:query)$/i,
      ),
    ],
  },
  { id: 'crusoe', hosts: ['api.inference.crusoecloud.com'], serves: CHAT },
  {
    id: 'replicate',
    hosts: ['api.replicate.com'],
    serves: ['replicate-predictions'],
    unmetered: [route('training', /\/trainings\/?$/i)],
  },
  {
    id: 'litellm',
    alias: ['litellm-proxy'],
    hosts: [],
    serves: [...OPENAI_COMPATIBLE, 'openai-responses', 'anthropic-messages', 'rerank'],
    unmetered: [BATCHES, FINE_TUNING],
  },
]
