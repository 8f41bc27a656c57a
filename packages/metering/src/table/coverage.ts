import { adapterOf, isFreeRoute, matchOperation, pathOf, type Adapter } from './adapter.ts'
import { OPERATIONS, type Bill } from './operations.ts'
import { providerOf, PROVIDERS, type Provider, type ProviderRoute } from './providers.ts'

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

/** The billable routes of all providers: those that are metered, and those that nothing meters. */
export const COVERAGE: readonly CoverageRow[] = PROVIDERS.flatMap((provider) => [
  ...meteredRows(provider),
  ...(provider.unmetered ?? []).map((route) => ({ kind: 'unmetered' as const, provider: provider.id, ...route })),
])

/**
 * What becomes of a route: metered, billable and unmetered, or free. `undefined`: nobody knows it.
 *
 * @param provider Id of who serves it, or its host. Without it, a route that any provider bills and nothing meters is
 *   taken for that.
 */
export function coverageOf(method: string, url: string, provider?: string): Coverage | undefined {
  const row = providerOf(provider)
  const route = unmeteredRoute(method, pathOf(url), row === undefined ? PROVIDERS : [row])
  const match = matchOperation(method, url, provider)
  if (match !== undefined && match.adapter.bills[0] === 'nothing') return { kind: 'free' }
  // A route of the provider's own goes before an operation that others serve under such a path.
  if (route !== undefined && (row !== undefined || match === undefined)) return { kind: 'unmetered', route }
  if (match !== undefined) return { kind: 'metered', operation: match.adapter }
  return isFreeRoute(method, url) ? { kind: 'free' } : undefined
}

function unmeteredRoute(method: string, path: string, providers: readonly Provider[]): ProviderRoute | undefined {
  for (const { unmetered = [] } of providers) {
    const found = unmetered.find((route) => route.method === method && route.path.test(path))
    if (found !== undefined) return found
  }
  return undefined
}

function meteredRows({ id, serves, own = [] }: Provider): CoverageRow[] {
  const usual = serves.map((operation) => [operation, OPERATIONS.find((row) => row.id === operation)?.route] as const)
  return [...usual, ...own.map(({ operation, path }) => [operation, path] as const)].map(([operation, path]) => {
    const adapter = adapterOf(operation, id)
    if (adapter === undefined || path === undefined) throw new Error(`provider ${id}: no operation ${operation}`)
    const { method = 'POST', bills, counts } = adapter
    return { kind: 'metered', provider: id, method, path, operation, bills, counts }
  })
}
