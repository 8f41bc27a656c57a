import type { Bill, Operation } from './operations.ts'
import type { Provider, ProviderRoute } from './providers.ts'
import { normalPath, pathOf } from './request-path.ts'

/** An operation as a provider serves it: the row that code goes by. */
export type Adapter = Operation

/** An operation that was recognised, and what its path says. */
export interface AdapterMatch {
  readonly adapter: Adapter
  /** Named groups of the route. */
  readonly named: Readonly<Record<string, string | undefined>>
}

/** One billable route of a provider, and what becomes of it. */
export type CoverageRow =
  | {
      readonly kind: 'metered'
      readonly provider: string
      readonly method: 'POST' | 'GET'
      readonly path: RegExp
      /** Id of the operation. */
      readonly operation: string
      /** What its answers are charged by; of several, what an answer states. */
      readonly bills: readonly Bill[]
      /** What is counted where an answer states nothing. */
      readonly counts: Adapter['counts']
    }
  | ({ readonly kind: 'unmetered'; readonly provider: string } & ProviderRoute)

/** What becomes of a route. */
export type Coverage =
  | { readonly kind: 'metered'; readonly operation: Adapter }
  | { readonly kind: 'unmetered'; readonly route: ProviderRoute }
  | { readonly kind: 'free' }

const NOTHING_NAMED: AdapterMatch['named'] = {}
const SLASH = 0x2f
/** Operations whose last segment can be anything. */
const ANY_END = '*'
/** The service of Google's Live API is all in one segment. */
const LIVE_END = 'google.'
const MOST_HOSTS = 256

/**
 * Operations and providers, to be found by paths and hosts. One row of each is all that code knows of a provider.
 *
 * @throws Error where a provider serves an operation that is not there.
 */
export class OperationTable {
  readonly operations: readonly Operation[]
  readonly providers: readonly Provider[]
  /** The billable routes of all providers: those that are metered, and those that nothing meters. */
  readonly coverage: readonly CoverageRow[]
  /** By the last segment of their paths. */
  readonly #byEnd = new Map<string, Operation[]>()
  readonly #byId: ReadonlyMap<string, Operation>
  readonly #byName: ReadonlyMap<string, Provider>
  readonly #byHost = new Map<string, Provider | undefined>()
  readonly #served = new Map<Provider, Map<Operation, Adapter>>()

  constructor(operations: readonly Operation[], providers: readonly Provider[]) {
    this.operations = operations
    this.providers = providers
    this.#byId = new Map(operations.map((operation) => [operation.id, operation]))
    for (const operation of operations) {
      for (const end of operation.ends) {
        const row = this.#byEnd.get(end) ?? []
        row.push(operation)
        this.#byEnd.set(end, row)
      }
    }
    const names = providers.flatMap((row) => [row.id, ...(row.alias ?? [])].map((name) => [name, row] as const))
    this.#byName = new Map(names)
    this.coverage = providers.flatMap((provider) => [
      ...this.#meteredRows(provider),
      ...(provider.unmetered ?? []).map((route) => ({ kind: 'unmetered' as const, provider: provider.id, ...route })),
    ])
  }

  /** The operation that a request calls, also where nobody is charged for it; `undefined` where none is known. */
  match(method: string, url: string, provider?: string): AdapterMatch | undefined {
    if (method !== 'POST' && method !== 'GET') return undefined
    const plain = pathOf(url)
    const row = this.provider(provider)
    const match = this.#matchPath(method, plain, row)
    if (match !== undefined) return match
    const normal = normalPath(plain)
    return normal === plain ? undefined : this.#matchPath(method, normal, row)
  }

  /** An operation by its id, as a provider serves it, where no path tells. */
  adapter(id: string, provider?: string): Adapter | undefined {
    const operation = this.#byId.get(id)
    return operation && this.#servedBy(operation, this.provider(provider))
  }

  /** A match as the provider that is now known serves it. */
  servedBy(match: AdapterMatch, url: string, provider: string): AdapterMatch {
    const row = this.provider(provider)
    if (row === undefined) return match
    const own = row.own?.find(({ path }) => path.test(pathOf(url)))
    const operation = own === undefined ? this.#byId.get(match.adapter.id) : this.#byId.get(own.operation)
    return { adapter: this.#servedBy(operation ?? match.adapter, row), named: match.named }
  }

  /** A provider by its id or alias, or by the host that it answers under; `undefined`: none is known. */
  provider(nameOrHost: string | undefined): Provider | undefined {
    if (nameOrHost === undefined || nameOrHost === '') return undefined
    const found = this.#byName.get(nameOrHost)
    if (found !== undefined) return found
    if (this.#byHost.has(nameOrHost)) return this.#byHost.get(nameOrHost)
    const host = nameOrHost.toLowerCase().replace(/:\d+$/, '')
    const provider = this.providers.find(({ hosts }) => hosts.some((end) => isUnder(host, end)))
    // Hosts come from configuration, but those that came from elsewhere must not fill the memory.
    if (this.#byHost.size >= MOST_HOSTS) this.#byHost.clear()
    this.#byHost.set(nameOrHost, provider)
    return provider
  }

  /** See `coverageOf`. */
  coverageOf(method: string, url: string, provider?: string): Coverage | undefined {
    const row = this.provider(provider)
    const route = unmeteredRoute(method, pathOf(url), row === undefined ? this.providers : [row])
    const match = this.match(method, url, provider)
    if (match !== undefined && !isBilled(match.adapter)) return { kind: 'free' }
    // A route of the provider's own goes before an operation that others serve under such a path.
    if (route !== undefined && (row !== undefined || match === undefined)) return { kind: 'unmetered', route }
    if (match !== undefined) return { kind: 'metered', operation: match.adapter }
    return isReading(method) ? { kind: 'free' } : undefined
  }

  #matchPath(method: string, path: string, provider: Provider | undefined): AdapterMatch | undefined {
    const own = method === 'POST' ? provider?.own?.find((each) => each.path.test(path)) : undefined
    if (own !== undefined) {
      return { adapter: this.#servedBy(this.#byId.get(own.operation)!, provider), named: NOTHING_NAMED }
    }
    const found =
      this.#matchRows(endOf(path), method, path, provider) ?? this.#matchRows(ANY_END, method, path, provider)
    return found ?? (method === 'POST' && provider === undefined ? this.#matchOwn(path) : undefined)
  }

  /** Where nobody has said who serves a path that only one provider has: it is that one's. */
  #matchOwn(path: string): AdapterMatch | undefined {
    for (const provider of this.providers) {
      const own = provider.own?.find((each) => each.path.test(path))
      if (own !== undefined) return { adapter: this.#byId.get(own.operation)!, named: NOTHING_NAMED }
    }
    return undefined
  }

  #matchRows(end: string, method: string, path: string, provider: Provider | undefined): AdapterMatch | undefined {
    const rows = this.#byEnd.get(end)
    if (rows === undefined) return undefined
    for (const operation of rows) {
      if ((operation.method ?? 'POST') !== method) continue
      const match = operation.route.exec(path)
      if (match !== null) return { adapter: this.#servedBy(operation, provider), named: match.groups ?? NOTHING_NAMED }
    }
    return undefined
  }

  /** The row of an operation with what its provider has of its own; the same object each time. */
  #servedBy(operation: Operation, provider: Provider | undefined): Adapter {
    if (provider === undefined) return operation
    let rows = this.#served.get(provider)
    if (rows === undefined) this.#served.set(provider, (rows = new Map()))
    let adapter = rows.get(operation)
    if (adapter === undefined) {
      const { injects, ...rest } = operation
      const asks = injects === undefined || provider.isAlwaysStated === true ? {} : { injects }
      rows.set(operation, (adapter = { ...rest, ...asks, provider: provider.id }))
    }
    return adapter
  }

  #meteredRows(provider: Provider): CoverageRow[] {
    const { id, serves, own = [] } = provider
    const usual = serves.map((operation) => [operation, this.#byId.get(operation)?.route] as const)
    return [...usual, ...own.map(({ operation, path }) => [operation, path] as const)].map(([operation, path]) => {
      const row = this.#byId.get(operation)
      if (row === undefined || path === undefined) throw new Error(`provider ${id}: there is no operation ${operation}`)
      const { method = 'POST', bills, counts } = row
      return { kind: 'metered', provider: id, method, path, operation, bills, counts }
    })
  }
}

/** Whether an operation is charged for. */
export function isBilled({ bills }: Operation): boolean {
  return bills[0] !== 'nothing'
}

/** Whether a method reads, or takes away: no provider charges for that. */
export function isReading(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'DELETE'
}

/** Whether a host is this one or one below it; regional names of Google stand before a hyphen. */
function isUnder(host: string, end: string): boolean {
  return host === end || host.endsWith(`.${end}`) || host.endsWith(`-${end}`)
}

function unmeteredRoute(method: string, path: string, providers: readonly Provider[]): ProviderRoute | undefined {
  for (const { unmetered = [] } of providers) {
    const found = unmetered.find((route) => route.method === method && route.path.test(path))
    if (found !== undefined) return found
  }
  return undefined
}

/** What stands behind the last slash of a path, in lower case; of Google's verbs the colon and what follows. */
function endOf(path: string): string {
  let to = path.length
  while (to > 0 && path.charCodeAt(to - 1) === SLASH) to -= 1
  const segment = path.slice(path.lastIndexOf('/', to - 1) + 1, to)
  const colon = segment.lastIndexOf(':')
  if (colon !== -1) return segment.slice(colon).toLowerCase()
  return segment.startsWith(LIVE_END) ? LIVE_END : segment.toLowerCase()
}
