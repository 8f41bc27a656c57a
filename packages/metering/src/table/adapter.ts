import type { Dialect } from '../dialect.ts'
import {
  isBilled,
  isReading,
  OperationTable,
  type Adapter,
  type AdapterMatch,
  type Coverage,
  type CoverageRow,
} from './operation-table.ts'
import { OPERATIONS } from './operations.ts'
import { PROVIDERS, type Provider } from './providers.ts'
import { normalPath, pathOf } from './request-path.ts'

/** What is known of providers: its rows are in `operations.ts` and `providers.ts`. */
const TABLE = new OperationTable(OPERATIONS, PROVIDERS)

/** Every operation that is metered: known by its path, whoever serves it. */
export const ADAPTERS: readonly Adapter[] = OPERATIONS.filter(isBilled)

/** The billable routes of all providers: those that are metered, and those that nothing meters. */
export const COVERAGE: readonly CoverageRow[] = TABLE.coverage

/**
 * The operation that a request calls; `undefined` where none is metered. A request that opens a WebSocket is a GET, all
 * others are a POST.
 *
 * @param provider Id of who serves it, or its host. Without it, an operation counts as of whoever devised it.
 */
export function matchAdapter(method: string, url: string, provider?: string): AdapterMatch | undefined {
  const match = TABLE.match(method, url, provider)
  return match !== undefined && isBilled(match.adapter) ? match : undefined
}

/** As {@link matchAdapter}, also where nobody is charged: counts of tokens, and answers that are asked for again. */
export function matchOperation(method: string, url: string, provider?: string): AdapterMatch | undefined {
  return TABLE.match(method, url, provider)
}

/** A match as the provider that is now known, by its id or host, serves it. */
export function matchServedBy(match: AdapterMatch, url: string, provider: string): AdapterMatch {
  return TABLE.servedBy(match, url, provider)
}

/** An operation by its id, as a provider serves it, where no path tells. */
export function adapterOf(id: string, provider?: string): Adapter | undefined {
  return TABLE.adapter(id, provider)
}

/** A provider by its id or alias, or by the host that it answers under; `undefined`: none is known. */
export function providerOf(nameOrHost: string | undefined): Provider | undefined {
  return TABLE.provider(nameOrHost)
}

/**
 * What becomes of a route: metered, billable and unmetered, or free. `undefined`: nobody knows it.
 *
 * @param provider Id of who serves it, or its host. Without it, a route that any provider bills and nothing meters is
 *   taken for that.
 */
export function coverageOf(method: string, url: string, provider?: string): Coverage | undefined {
  return TABLE.coverageOf(method, url, provider)
}

/** Whether an operation is a session over WebSocket. */
export function isSessionRow({ transport }: Adapter): boolean {
  return transport === 'websocket'
}

/** Whether a request costs nothing at its provider: it reads, deletes, or counts. */
export function isFreeRoute(method: string, path: string): boolean {
  if (isReading(method)) return true
  const plain = pathOf(path)
  // In each way that a provider may read it: nobody gets around a meter by a spelling.
  return [plain, normalPath(plain)].every((spelled) => {
    const match = TABLE.match(method, spelled)
    return match !== undefined && !isBilled(match.adapter)
  })
}

/** Words by which a path tells its dialect where no operation is known, so that a refusal still speaks it. */
const DIALECT_ROUTES: readonly (readonly [RegExp, Dialect])[] = [
  [/\/openai\//, 'openai'],
  [/\/(?:messages|complete)(?:\/|$)/, 'anthropic'],
  [/\/(?:models|tunedModels|cachedContents|files)\/[^/]+:|\/v1(?:beta|alpha)\d*\//, 'gemini'],
  [/\/(?:chat|completions|responses|embeddings|images|audio|models|batches|files|moderations)(?:\/|$)/, 'openai'],
  [/\/model\/[^/]+\//, 'bedrock'],
]

/** In which words to answer a path. */
export function dialectOf(path: string): Dialect {
  const plain = pathOf(path)
  return DIALECT_ROUTES.find(([route]) => route.test(plain))?.[1] ?? 'problem'
}
