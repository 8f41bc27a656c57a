import type { Dialect } from '../dialect.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

/**
 * One row of the table of providers: what an operation looks like on the wire. Adding a provider is adding a row; code
 * goes by the row's members, never by its name.
 */
export interface Adapter {
  readonly id: string
  /** `gen_ai.provider.name` of OpenTelemetry. */
  readonly provider: string
  /** `gen_ai.operation.name` of OpenTelemetry. */
  readonly operation: string
  /** In which words errors are answered. */
  readonly dialect: Dialect
  /** End of the path, below any mount point or version. */
  readonly route: RegExp
  readonly request: RequestShape
  readonly usage: UsageShape
  /** How streams are asked to state usage when the caller did not ask; absent: they state it anyway. */
  readonly injects?: 'stream_options' | undefined
}

/** Where a request says what it wants. Paths are member names from the top; of several numbers the largest counts. */
export interface RequestShape {
  /** `path`: the model is the named group `model` of the route. */
  readonly model: readonly string[] | 'path'
  /** `path`: the route's named group `stream` says so. */
  readonly stream: readonly string[] | 'path'
  /** Ceilings on output tokens. */
  readonly ceiling: readonly (readonly string[])[]
  /** How many answers are asked for; each may reach the ceiling. */
  readonly answers: readonly (readonly string[])[]
}

const OPENAI_CHAT: RequestShape = {
  model: ['model'],
  stream: ['stream'],
  ceiling: [['max_completion_tokens'], ['max_tokens']],
  answers: [['n']],
}

/** Every operation that is metered. */
export const ADAPTERS: readonly Adapter[] = [
  {
    id: 'openai-chat',
    provider: 'openai',
    operation: 'chat',
    dialect: 'openai',
    route: /(?:\/deployments\/(?<deployment>[^/]+))?\/chat\/completions\/?$/i,
    request: OPENAI_CHAT,
    usage: 'openai-chat',
    injects: 'stream_options',
  },
  {
    id: 'openai-responses',
    provider: 'openai',
    operation: 'chat',
    dialect: 'openai',
    route: /(?:^|\/(?:v\d+\w*|openai|api))\/responses\/?$/i,
    request: { model: ['model'], stream: ['stream'], ceiling: [['max_output_tokens']], answers: [] },
    usage: 'openai-responses',
  },
  {
    id: 'anthropic-messages',
    provider: 'anthropic',
    operation: 'chat',
    dialect: 'anthropic',
    route: /(?:^|\/(?:v\d+\w*|anthropic|api))\/messages\/?$/i,
    request: { model: ['model'], stream: ['stream'], ceiling: [['max_tokens']], answers: [] },
    usage: 'anthropic',
  },
  {
    id: 'gemini-generate',
    provider: 'gcp.gemini',
    operation: 'generate_content',
    dialect: 'gemini',
    route: /\/models\/(?<model>[^/:]+):(?:generateContent|(?<stream>streamGenerateContent))$/i,
    request: {
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
    usage: 'gemini',
  },
]

/** Operations that providers don't charge for, among those that change nothing or count only. */
const FREE_ROUTES: readonly RegExp[] = [
  /\/messages\/count_tokens\/?$/,
  /\/responses\/input_tokens\/?$/,
  /:countTokens$/,
]

/** Words by which a path tells its dialect where no operation is known, so that a refusal still speaks it. */
const DIALECT_ROUTES: readonly (readonly [RegExp, Dialect])[] = [
  [/\/openai\//, 'openai'],
  [/\/(?:messages|complete)(?:\/|$)/, 'anthropic'],
  [/\/(?:models|tunedModels|cachedContents|files)\/[^/]+:|\/v1(?:beta|alpha)\d*\//, 'gemini'],
  [/\/(?:chat|completions|responses|embeddings|images|audio|models|batches|files|moderations)(?:\/|$)/, 'openai'],
]

/** An operation that was recognised, and what its path says. */
export interface AdapterMatch {
  readonly adapter: Adapter
  /** Named groups of the route. */
  readonly named: Readonly<Record<string, string | undefined>>
}

/** The operation that a request calls; `undefined` where none is metered. Only POST has one. */
export function matchAdapter(method: string, path: string): AdapterMatch | undefined {
  if (method !== 'POST') return undefined
  const plain = pathOf(path)
  return matchPath(plain) ?? (MORE_SPELLINGS.test(plain) ? matchPath(normalPath(plain)) : undefined)
}

function matchPath(path: string): AdapterMatch | undefined {
  for (const adapter of ADAPTERS) {
    const match = adapter.route.exec(path)
    if (match !== null) return { adapter, named: match.groups ?? {} }
  }
  return undefined
}

/** What a path has that can be written in another way. */
const MORE_SPELLINGS = /%[0-7][0-9a-f]|\/\/|\/\.|\\/i

/** A path as a provider's server may understand it. Taking too many for metered harms nobody: their provider refuses them. */
function normalPath(path: string): string {
  const decoded = path.replace(/%[0-7][0-9a-f]/gi, (escaped) =>
    String.fromCharCode(Number.parseInt(escaped.slice(1), 16)),
  )
  const url = `http://host${decoded.startsWith('/') ? '' : '/'}${decoded}`
  return URL.canParse(url) ? new URL(url).pathname.replaceAll(/\/{2,}/g, '/') : decoded
}

/** Whether a request costs nothing at its provider: it reads, deletes, or counts. */
export function isFreeRoute(method: string, path: string): boolean {
  if (method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'DELETE') return true
  const plain = pathOf(path)
  return method === 'POST' && FREE_ROUTES.some((route) => route.test(plain))
}

/** In which words to answer a path. */
export function dialectOf(path: string): Dialect {
  const plain = pathOf(path)
  return DIALECT_ROUTES.find(([route]) => route.test(plain))?.[1] ?? 'problem'
}

/** A path without its query and without a fragment, which clients should not send but can. */
export function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end === -1 ? url : url.slice(0, end)
}
