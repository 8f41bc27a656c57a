/** In whose words errors are said: a provider's, or RFC 9457 problem documents. */
export type Dialect = 'openai' | 'anthropic' | 'gemini' | 'bedrock' | 'cohere' | 'ollama' | 'problem'

/** Everything that we answer by ourselves instead of a provider. */
export type ProblemKind =
  | 'rate-limited'
  | 'quota-exhausted'
  | 'too-large-for-quota'
  | 'unauthenticated'
  | 'invalid-request'
  | 'body-too-large'
  | 'unsupported-media-type'
  | 'not-found'
  | 'unavailable'
  | 'provider-unreachable'
  | 'provider-timeout'
  | 'provider-broke-off'
  | 'internal'

/** A problem with what is particular to this occurrence. */
export interface Problem {
  readonly kind: ProblemKind
  readonly status: number
  /** One or two sentences: what is wrong, and what to do. Never a secret, never a body. */
  readonly message: string
  readonly requestId: string
  /** When a retry makes sense, in milliseconds from now; `undefined`: it makes none, or nobody knows. */
  readonly retryAfterMs?: number | undefined
  /** Names of the limits that were in the way. */
  readonly violated?: readonly string[] | undefined
}

/** A body and its media type. */
export interface ProblemBody {
  readonly contentType: string
  readonly body: string
}

interface Words {
  readonly title: string
  /** `error.type` and `error.code`. Source: OpenAI API, error codes. */
  readonly openai: readonly [type: string, code: string | null]
  /** `error.type`. Source: Anthropic API, errors. */
  readonly anthropic: string
  /** `error.status`. Source: google.rpc.Code. */
  readonly gemini: string
  /** `__type`. Source: Amazon Bedrock Runtime API reference, errors of Converse. */
  readonly bedrock: string
}

const WORDS: Readonly<Record<ProblemKind, Words>> = {
  'rate-limited': {
    title: 'Quota exceeded',
    openai: ['rate_limit_error', 'rate_limit_exceeded'],
    anthropic: 'rate_limit_error',
    gemini: 'RESOURCE_EXHAUSTED',
    bedrock: 'ThrottlingException',
  },
  'quota-exhausted': {
    title: 'Quota exceeded',
    openai: ['insufficient_quota', 'insufficient_quota'],
    anthropic: 'rate_limit_error',
    gemini: 'RESOURCE_EXHAUSTED',
    bedrock: 'ServiceQuotaExceededException',
  },
  'too-large-for-quota': {
    title: 'Request too large for its quota',
    openai: ['invalid_request_error', 'request_too_large'],
    anthropic: 'request_too_large',
    gemini: 'INVALID_ARGUMENT',
    bedrock: 'ValidationException',
  },
  unauthenticated: {
    title: 'Unauthorized',
    openai: ['invalid_request_error', 'invalid_api_key'],
    anthropic: 'authentication_error',
    gemini: 'UNAUTHENTICATED',
    bedrock: 'AccessDeniedException',
  },
  'invalid-request': {
    title: 'Bad Request',
    openai: ['invalid_request_error', null],
    anthropic: 'invalid_request_error',
    gemini: 'INVALID_ARGUMENT',
    bedrock: 'ValidationException',
  },
  'body-too-large': {
    title: 'Content Too Large',
    openai: ['invalid_request_error', 'request_too_large'],
    anthropic: 'request_too_large',
    gemini: 'INVALID_ARGUMENT',
    bedrock: 'ValidationException',
  },
  'unsupported-media-type': {
    title: 'Unsupported Media Type',
    openai: ['invalid_request_error', 'unsupported_media_type'],
    anthropic: 'invalid_request_error',
    gemini: 'INVALID_ARGUMENT',
    bedrock: 'ValidationException',
  },
  'not-found': {
    title: 'Not Found',
    openai: ['invalid_request_error', 'unknown_url'],
    anthropic: 'not_found_error',
    gemini: 'NOT_FOUND',
    bedrock: 'ResourceNotFoundException',
  },
  unavailable: {
    title: 'Service Unavailable',
    openai: ['server_error', 'service_unavailable'],
    anthropic: 'api_error',
    gemini: 'UNAVAILABLE',
    bedrock: 'ServiceUnavailableException',
  },
  'provider-unreachable': {
    title: 'Bad Gateway',
    openai: ['server_error', 'bad_gateway'],
    anthropic: 'api_error',
    gemini: 'UNAVAILABLE',
    bedrock: 'ServiceUnavailableException',
  },
  'provider-timeout': {
    title: 'Gateway Timeout',
    openai: ['server_error', 'gateway_timeout'],
    anthropic: 'api_error',
    gemini: 'DEADLINE_EXCEEDED',
    bedrock: 'ModelTimeoutException',
  },
  'provider-broke-off': {
    title: 'Bad Gateway',
    openai: ['server_error', 'provider_broke_off'],
    anthropic: 'api_error',
    gemini: 'INTERNAL',
    bedrock: 'ModelStreamErrorException',
  },
  internal: {
    title: 'Internal Server Error',
    openai: ['server_error', 'internal_error'],
    anthropic: 'api_error',
    gemini: 'INTERNAL',
    bedrock: 'InternalServerException',
  },
}

/** Says a problem in a dialect, so that the provider's own client libraries understand it. */
export function problemBody(dialect: Dialect, problem: Problem): ProblemBody {
  const contentType = dialect === 'problem' ? 'application/problem+json' : 'application/json'
  return { contentType, body: JSON.stringify(problemDocument(dialect, problem)) }
}

/**
 * The event that ends an event stream which breaks off, in the dialect of its operation. What it looks like was taken
 * from what each provider's client library turns into an error.
 */
export function problemEvent(adapterId: string, dialect: Dialect, problem: Problem): string {
  const document = problemDocument(dialect, problem)
  if (adapterId === 'openai-responses') {
    const [, code] = WORDS[problem.kind].openai
    return `event: error\ndata: ${JSON.stringify({ type: 'error', code, message: problem.message, param: null })}\n\n`
  }
  const data = `data: ${JSON.stringify(document)}\n\n`
  return dialect === 'anthropic' ? `event: error\n${data}` : data
}

function problemDocument(dialect: Dialect, problem: Problem): unknown {
  const { kind, status, message, requestId, retryAfterMs, violated } = problem
  const { title, openai, anthropic, gemini, bedrock } = WORDS[kind]
  switch (dialect) {
    case 'openai':
      return { error: { message, type: openai[0], param: null, code: openai[1] } }
    case 'anthropic':
      return { type: 'error', error: { type: anthropic, message }, request_id: requestId }
    case 'gemini':
      return { error: { code: status, message, status: gemini, details: geminiDetails(retryAfterMs) } }
    // The clients go by `__type` where the header x-amzn-errortype is absent.
    case 'bedrock':
      return { __type: bedrock, message }
    case 'cohere':
      return { id: requestId, message }
    case 'ollama':
      return { error: message }
    case 'problem': {
      const isQuota = kind === 'rate-limited' || kind === 'quota-exhausted' || kind === 'too-large-for-quota'
      return {
        type: isQuota ? 'https://iana.org/assignments/http-problem-types#quota-exceeded' : 'about:blank',
        title,
        status,
        detail: message,
        instance: `urn:request:${requestId}`,
        ...(violated === undefined ? {} : { 'violated-policies': violated }),
      }
    }
  }
}

/** Source: google/rpc/error_details.proto, RetryInfo. */
function geminiDetails(retryAfterMs: number | undefined): readonly unknown[] {
  if (retryAfterMs === undefined) return []
  return [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${Math.ceil(retryAfterMs / 1_000)}s` }]
}
