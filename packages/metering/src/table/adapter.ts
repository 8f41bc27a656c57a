import type { Dialect } from '../dialect.ts'
import { OPERATIONS, type Operation } from './operations.ts'
import { providerOf, type Provider } from './providers.ts'

/** An operation as a provider serves it: the row that code goes by. */
export type Adapter = Operation

/** An operation that was recognised, and what its path says. */
export interface AdapterMatch {
  readonly adapter: Adapter
  /** Named groups of the route. */
  readonly named: Readonly<Record<string, string | undefined>>
}

/** Every operation that is metered: known by its path, whoever serves it. */
export const ADAPTERS: readonly Adapter[] = OPERATIONS.filter(isBilled)

const NOTHING_NAMED: AdapterMatch['named'] = {}
/** Operations by the last segment of their paths; those whose last segment can be anything under `*`. */
const BY_END = new Map<string, Operation[]>()
for (const operation of OPERATIONS) {
  for (const end of operation.ends) {
    const row = BY_END.get(end) ?? []
    row.push(operation)
    BY_END.set(end, row)
  }
}
const BY_ID = new Map(OPERATIONS.map((operation) => [operation.id, operation]))

function isBilled({ bills }: Operation): boolean {
  return bills[0] !== 'nothing'
}

/**
 * The operation that a request calls; `undefined` where none is metered. A request that opens a WebSocket is a GET, all
 * others are a POST.
 *
 * @param provider Id of who serves it, or its host. Without it, an operation counts as of whoever devised it.
 */
export function matchAdapter(method: string, url: string, provider?: string): AdapterMatch | undefined {
  const match = matchOperation(method, url, provider)
  return match !== undefined && isBilled(match.adapter) ? match : undefined
}

/** As {@link matchAdapter}, also where nobody is charged: counts of tokens, and answers that are asked for again. */
export function matchOperation(method: string, url: string, provider?: string): AdapterMatch | undefined {
  if (method !== 'POST' && method !== 'GET') return undefined
  const plain = pathOf(url)
  const row = providerOf(provider)
  return (
    matchPath(method, plain, row) ??
    (MORE_SPELLINGS.test(plain) ? matchPath(method, normalPath(plain), row) : undefined)
  )
}

/** An operation by its id, as a provider serves it, where no path tells. */
export function adapterOf(id: string, provider?: string): Adapter | undefined {
  const operation = BY_ID.get(id)
  return operation && servedBy(operation, providerOf(provider))
}

/** A match as the provider that is now known serves it. */
export function matchServedBy(match: AdapterMatch, url: string, provider: string): AdapterMatch {
  const row = providerOf(provider)
  if (row === undefined) return match
  const own = row.own?.find(({ path }) => path.test(pathOf(url)))
  const operation = own === undefined ? match.adapter : BY_ID.get(own.operation)!
  return { adapter: servedBy(operation, row), named: match.named }
}

/** Whether an operation is a session over WebSocket. */
export function isSessionRow({ transport }: Adapter): boolean {
  return transport === 'websocket'
}

function matchPath(method: string, path: string, provider: Provider | undefined): AdapterMatch | undefined {
  const own = method === 'POST' ? provider?.own?.find((each) => each.path.test(path)) : undefined
  if (own !== undefined) return { adapter: servedBy(BY_ID.get(own.operation)!, provider), named: NOTHING_NAMED }
  return (
    matchRows(BY_END.get(endOf(path)), method, path, provider) ?? matchRows(BY_END.get('*'), method, path, provider)
  )
}

function matchRows(
  rows: readonly Operation[] | undefined,
  method: string,
  path: string,
  provider: Provider | undefined,
): AdapterMatch | undefined {
  if (rows === undefined) return undefined
  for (const operation of rows) {
    if ((operation.method ?? 'POST') !== method) continue
    const match = operation.route.exec(path)
    if (match !== null) return { adapter: servedBy(operation, provider), named: match.groups ?? NOTHING_NAMED }
  }
  return undefined
}

const SERVED = new Map<Provider, Map<Operation, Adapter>>()

/** The row of an operation with what its provider has of its own; the same object each time. */
function servedBy(operation: Operation, provider: Provider | undefined): Adapter {
  if (provider === undefined) return operation
  let rows = SERVED.get(provider)
  if (rows === undefined) SERVED.set(provider, (rows = new Map()))
  let adapter = rows.get(operation)
  if (adapter === undefined) {
    const { injects, ...rest } = operation
    const asks = injects === undefined || provider.isAlwaysStated === true ? {} : { injects }
    rows.set(operation, (adapter = { ...rest, ...asks, provider: provider.id }))
  }
  return adapter
}

/** Last segment of a path, in lower case: what stands behind the last slash, or of Google's verbs the colon and what follows. */
function endOf(path: string): string {
  let to = path.length
  while (to > 0 && path.charCodeAt(to - 1) === SLASH) to -= 1
  const segment = path.slice(path.lastIndexOf('/', to - 1) + 1, to)
  const colon = segment.lastIndexOf(':')
  if (colon !== -1) return segment.slice(colon).toLowerCase()
  return segment.startsWith('google.') ? LIVE : segment.toLowerCase()
}

const SLASH = 0x2f
/** The service of Google's Live API is all in one segment. */
const LIVE = 'google.'

/** Words by which a path tells its dialect where no operation is known, so that a refusal still speaks it. */
const DIALECT_ROUTES: readonly (readonly [RegExp, Dialect])[] = [
  [/\/openai\//, 'openai'],
  [/\/(?:messages|complete)(?:\/|$)/, 'anthropic'],
  [/\/(?:models|tunedModels|cachedContents|files)\/[^/]+:|\/v1(?:beta|alpha)\d*\//, 'gemini'],
  [/\/(?:chat|completions|responses|embeddings|images|audio|models|batches|files|moderations)(?:\/|$)/, 'openai'],
  [/\/model\/[^/]+\//, 'bedrock'],
]

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
  if (method !== 'POST') return false
  const match = matchPath(method, pathOf(path), undefined)
  return match !== undefined && !isBilled(match.adapter)
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
