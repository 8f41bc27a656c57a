import type { AdapterMatch } from '../table/operation-table.ts'
import type { MemberPath, RequestShape } from '../table/request-shape.ts'
import { isRaw, type Raw } from '../usage/reported-usage.ts'

/** What a request says of itself, as far as quotas depend on it. */
export interface RequestFacts {
  /** As the caller wrote it, at most 256 characters; absent where the request names none. */
  readonly model: string | undefined
  readonly stream: boolean
  /**
   * Most output tokens that the provider will make, over all answers and prompts; absent where the request sets none; 0
   * where the operation makes none.
   */
  readonly outputCeiling: number | undefined
  /** Answers that are asked for, over all prompts; absent: one. */
  readonly answers?: number
  /** How many images are asked for; absent where the operation makes none. */
  readonly images?: number | undefined
  /** Of audio that it sends or asks for, at most. */
  readonly seconds?: number | undefined
  /** Searches that it allows, at most. */
  readonly searches?: number | undefined
  /** The class of service that it asks for, at most 64 characters. */
  readonly serviceTier?: string | undefined
}

const MOST_MODEL_CHARACTERS = 256
const MOST_TIER_CHARACTERS = 64

/** Reads what a request says of itself, by the row of its operation. */
export function readRequestFacts({ adapter: { request }, named }: AdapterMatch, body: Raw): RequestFacts {
  // Where the path names a model or a deployment, the provider ignores the model that the body names.
  const ofPath = decoded(named['deployment'] ?? named['model'])
  const model = request.model === 'path' ? (ofPath ?? at(body, ['model'])) : (ofPath ?? at(body, request.model))
  const tier = at(body, ['service_tier'])
  const answers = answersOf(request, body)
  return {
    model: typeof model === 'string' ? model.slice(0, MOST_MODEL_CHARACTERS) : undefined,
    stream: isStream(request.stream, named, body),
    outputCeiling: ceilingOf(request.ceiling, answers, body),
    ...(answers === 1 ? {} : { answers }),
    ...(request.images === undefined ? {} : { images: Math.ceil(largest(body, request.images) ?? 1) }),
    ...(typeof tier === 'string' ? { serviceTier: tier.slice(0, MOST_TIER_CHARACTERS) } : {}),
  }
}

/** Whether a body has what every request of an operation has: so that a short path alone makes no call of a request. */
export function tellsOperation({ adapter: { request } }: AdapterMatch, body: Raw): boolean {
  return (request.tells ?? ['model']).some((name) => (at(body, [name]) ?? null) !== null)
}

function isStream(stream: MemberPath | 'path' | 'always', named: AdapterMatch['named'], body: Raw): boolean {
  if (stream === 'always') return true
  if (stream === 'path') return named['stream'] !== undefined
  const value = at(body, stream)
  return value === true || value === 'sse'
}

function ceilingOf(ceiling: RequestShape['ceiling'], answers: number, body: Raw): number | undefined {
  if (ceiling === 'none') return 0
  const each = largest(body, ceiling)
  return each === undefined ? undefined : Math.min(Math.ceil(each) * answers, Number.MAX_SAFE_INTEGER)
}

/** Answers that are asked for, over all prompts. */
function answersOf({ answers, prompts = [] }: RequestShape, body: Raw): number {
  return (
    Math.max(1, Math.ceil(largest(body, answers) ?? 1)) *
    Math.max(1, ...prompts.map((path) => promptsIn(at(body, path))))
  )
}

/** A text, or the numbers of its tokens, is one prompt; a list of these is as many. */
function promptsIn(value: unknown): number {
  return Array.isArray(value) && typeof value[0] !== 'number' ? value.length : 1
}

function at(body: unknown, path: MemberPath): unknown {
  let value: unknown = body
  for (const name of path) {
    if (!isRaw(value) || !Object.hasOwn(value, name)) return undefined
    value = value[name]
  }
  return value
}

/**
 * The largest of the members that are positive numbers. What is not, the provider refuses or ignores; of two spellings
 * it may obey either.
 */
function largest(body: Raw, paths: readonly MemberPath[]): number | undefined {
  let most: number | undefined
  for (const path of paths) {
    const value = at(body, path)
    if (typeof value === 'number' && Number.isFinite(value) && value > (most ?? 0)) most = value
  }
  return most
}

function decoded(segment: string | undefined): string | undefined {
  if (segment === undefined) return undefined
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
