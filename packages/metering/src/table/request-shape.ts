/** Names of members, from the top of a request's body down. */
export type MemberPath = readonly string[]

/** Where a request says what it wants. Of several numbers the largest counts. */
export interface RequestShape {
  /** `path`: the model is the named group `model` of the route. */
  readonly model: MemberPath | 'path'
  /** `path`: the route's named group `stream` says so; `always`: the operation knows no other answer. */
  readonly stream: MemberPath | 'path' | 'always'
  /** Ceilings on output tokens. `none`: the operation makes no output. */
  readonly ceiling: readonly MemberPath[] | 'none'
  /** How many answers are asked for; each may reach the ceiling. */
  readonly answers: readonly MemberPath[]
  /** Lists of prompts, each of which is answered; a list of numbers is one prompt in tokens. */
  readonly prompts?: readonly MemberPath[]
  /** One of these members is in the body of every such request; default: `model`. */
  readonly tells?: readonly string[]
  /** How many images are asked for; one where the request says nothing. */
  readonly images?: readonly MemberPath[]
  /** Whether the body may be a form (multipart/form-data) in place of JSON. */
  readonly isForm?: true
}

const BY_MODEL = { model: ['model'], stream: ['stream'] } as const satisfies Partial<RequestShape>

/** Requests as providers shape them. Sources: their API references. */
export const REQUEST_SHAPES = {
  chat: { ...BY_MODEL, ceiling: [['max_completion_tokens'], ['max_tokens']], answers: [['n']] },
  completions: {
    ...BY_MODEL,
    ceiling: [['max_tokens'], ['max_completion_tokens']],
    answers: [['n'], ['best_of']],
    prompts: [['prompt']],
    tells: ['model', 'prompt'],
  },
  responses: {
    ...BY_MODEL,
    ceiling: [['max_output_tokens']],
    answers: [],
    tells: ['model', 'input', 'prompt', 'previous_response_id', 'conversation'],
  },
  messages: { ...BY_MODEL, ceiling: [['max_tokens']], answers: [], tells: ['model', 'max_tokens'] },
  complete: { ...BY_MODEL, ceiling: [['max_tokens_to_sample'], ['maximum_tokens'], ['max_tokens']], answers: [['n']] },
  gemini: {
    model: 'path',
    stream: 'path',
    ceiling: [
      ['generationConfig', 'maxOutputTokens'],
      ['generation_config', 'max_output_tokens'],
    ],
    answers: [
      ['generationConfig', 'candidateCount'],
      ['generation_config', 'candidate_count'],
    ],
  },
  interactions: {
    ...BY_MODEL,
    ceiling: [
      ['generation_config', 'max_output_tokens'],
      ['generationConfig', 'maxOutputTokens'],
    ],
    answers: [],
    tells: ['model', 'agent'],
  },
  /** Vertex: a model of another maker, in that maker's words. */
  rawPredict: { model: 'path', stream: 'path', ceiling: [['max_tokens']], answers: [] },
  converse: { model: 'path', stream: 'path', ceiling: [['inferenceConfig', 'maxTokens']], answers: [] },
  invoke: {
    model: 'path',
    stream: 'path',
    ceiling: [
      ['max_tokens'],
      ['max_tokens_to_sample'],
      ['max_gen_len'],
      ['maxTokens'],
      ['textGenerationConfig', 'maxTokenCount'],
      ['inferenceConfig', 'maxTokens'],
      ['inferenceConfig', 'max_new_tokens'],
      ['max_completion_tokens'],
    ],
    answers: [['num_generations'], ['n']],
  },
  cohere: { ...BY_MODEL, ceiling: [['max_tokens']], answers: [['num_generations']] },
  ollama: { ...BY_MODEL, ceiling: [['options', 'num_predict']], answers: [] },
  tgi: {
    model: ['model'],
    stream: 'path',
    ceiling: [['parameters', 'max_new_tokens']],
    answers: [['parameters', 'best_of']],
    tells: ['inputs'],
  },
  llamacpp: {
    ...BY_MODEL,
    ceiling: [['n_predict'], ['max_tokens']],
    answers: [],
    prompts: [['prompt']],
    tells: ['prompt', 'input_prefix'],
  },
  watsonx: {
    model: ['model_id'],
    stream: 'path',
    ceiling: [['parameters', 'max_new_tokens'], ['max_tokens']],
    answers: [],
  },
  replicate: {
    ...BY_MODEL,
    ceiling: [
      ['input', 'max_tokens'],
      ['input', 'max_new_tokens'],
      ['input', 'max_output_tokens'],
    ],
    answers: [],
  },
  /** A model in the path, and its request in words that differ from model to model. */
  replicateModel: {
    model: 'path',
    stream: ['stream'],
    ceiling: [
      ['input', 'max_tokens'],
      ['input', 'max_new_tokens'],
      ['input', 'max_output_tokens'],
    ],
    answers: [],
  },
  embeddings: { ...BY_MODEL, ceiling: 'none', answers: [], tells: ['model', 'input', 'inputs', 'documents', 'texts'] },
  embeddingsByPath: { model: 'path', stream: 'path', ceiling: 'none', answers: [] },
  images: { ...BY_MODEL, ceiling: [], answers: [], images: [['n']], isForm: true },
  audio: { ...BY_MODEL, ceiling: [], answers: [], isForm: true },
  speech: { model: ['model'], stream: ['stream_format'], ceiling: [], answers: [] },
  session: { model: ['model'], stream: 'always', ceiling: [], answers: [] },
} as const satisfies Readonly<Record<string, RequestShape>>
