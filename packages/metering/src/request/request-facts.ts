import type { AdapterMatch } from '../table/adapter.ts'
import { isRaw, type Raw } from '../usage/reported-usage.ts'

/** What a request says of itself, as far as quotas depend on it. */
export interface RequestFacts {
  /** As the caller wrote it, at most 256 characters; absent where the request names none. */
  readonly model: string | undefined
  readonly stream: boolean
  /** Most output tokens that the provider will make, over all answers asked for; absent where the request sets none. */
  readonly outputCeiling: number | undefined
  /** Answers that are asked for; absent: one. */
  readonly answers?: number
}

const MOST_MODEL_CHARACTERS = 256

/** Reads what a request says of itself, by the row of its operation. */
export function readRequestFacts({ adapter: { request }, named }: AdapterMatch, body: Raw): RequestFacts {
  // Where the path names a deployment, the provider ignores the model that the body names.
  const model =
    request.model === 'path' ? decoded(named['model']) : (decoded(named['deployment']) ?? at(body, request.model))
  const ceiling = largest(body, request.ceiling)
  const answers = Math.max(1, Math.ceil(largest(body, request.answers) ?? 1))
  return {
    model: typeof model === 'string' ? model.slice(0, MOST_MODEL_CHARACTERS) : undefined,
    stream: request.stream === 'path' ? named['stream'] !== undefined : at(body, request.stream) === true,
    outputCeiling: ceiling === undefined ? undefined : Math.ceil(ceiling) * answers,
    ...(answers === 1 ? {} : { answers }),
  }
}

function at(body: unknown, path: readonly string[]): unknown {
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
function largest(body: Raw, paths: readonly (readonly string[])[]): number | undefined {
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
