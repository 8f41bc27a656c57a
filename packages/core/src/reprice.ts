import type { RepricingEntry, UsageEntry } from './entry.ts'
import type { Ledger, UsageFilter } from './ledger.ts'
import type { PriceBook, Unpriced } from './price-book.ts'
import { planLabel } from './usage-query.ts'
import type { Usage } from './usage.ts'

/** What to rate again, and by what. */
export interface RepriceOptions {
  readonly ledger: Ledger
  readonly book: PriceBook
  readonly filter: UsageFilter
  /** When it is done, for the entries. */
  readonly atMs: number
  /** What becomes of models without a price: `flag` makes their cost unknown, `refuse` leaves it. Default: `refuse`. */
  readonly unpriced?: Unpriced
  /** Whether entries are appended. Default: `append`. */
  readonly mode?: 'append' | 'dry-run'
  /** Calls that are looked at together, from 1 to 1,000. Default: 1,000. */
  readonly pageSize?: number
}

/** What came of it. Costs in nanos are exact, as no number has room for those of a whole history. */
export interface RepriceSummary {
  readonly calls: number
  /** Calls whose cost or credits are others now. */
  readonly changed: number
  /** Calls with usage for which the book has no price. */
  readonly unpriced: number
  /** Cost of all calls whose cost is known, before and after. */
  readonly beforeNanos: bigint
  readonly afterNanos: bigint
}

/** What a call costs, by its latest price. */
export type PriceOfCall = Pick<Usage, 'costNanos' | 'credits' | 'pricedBy'>

/**
 * Rates calls again and appends what has changed, as entries of their own: history and counters stay as they were. Done
 * twice, it adds nothing the second time. Goes from the newest call to the oldest, page by page, so that memory is bounded.
 *
 * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE`: what was appended stays; run it again.
 */
export async function reprice(options: RepriceOptions): Promise<RepriceSummary> {
  const { ledger, filter, mode = 'append', pageSize = 1_000 } = options
  const tally = { calls: 0, changed: 0, unpriced: 0, beforeNanos: 0n, afterNanos: 0n }
  let before: UsageEntry | undefined
  for (;;) {
    const page = await ledger.entries(filter, { limit: pageSize, ...(before === undefined ? {} : { before }) })
    const appended = repricedPage(page, await chains(ledger, filter.tenant, page), options, tally)
    if (mode === 'append' && appended.length > 0) await ledger.append(appended)
    if (page.length < pageSize) return tally
    before = page.at(-1)
  }
}

/** What calls cost by their latest prices, by id, for those that were rated again. */
export async function latestPrices(
  ledger: Ledger,
  tenant: string,
  calls: readonly UsageEntry[],
): Promise<ReadonlyMap<string, PriceOfCall>> {
  const latest = new Map<string, PriceOfCall>()
  for (const [id, { costNanos, credits, pricedBy }] of await chains(ledger, tenant, calls))
    latest.set(id, { costNanos, credits, pricedBy })
  return latest
}

type Chains = ReadonlyMap<string, RepricingEntry>

/** The latest repricing of each call that has one. */
async function chains(ledger: Ledger, tenant: string, calls: readonly UsageEntry[]): Promise<Chains> {
  const latest = new Map<string, RepricingEntry>()
  let ids = calls.filter(({ usage }) => usage !== undefined).map(({ id }) => id)
  for (let number = 1; ids.length > 0; number += 1) {
    const found = await ledger.find(
      tenant,
      ids.map((id) => `${id}~${number}`),
    )
    const next = found.filter((entry) => entry.kind === 'repricing')
    for (const entry of next) latest.set(entry.repricingOf, entry)
    ids = next.map(({ repricingOf }) => repricingOf)
  }
  return latest
}

function repricedPage(
  page: readonly UsageEntry[],
  latest: Chains,
  { book, atMs, unpriced = 'refuse' }: RepriceOptions,
  tally: { -readonly [K in keyof RepriceSummary]: RepriceSummary[K] },
): RepricingEntry[] {
  return page.flatMap((call) => {
    tally.calls += 1
    const { usage } = call
    // What a handler has said by itself, no book knows better.
    if (usage === undefined || (usage.costNanos !== undefined && usage.pricedBy === undefined)) return []
    const last = latest.get(call.id)
    const was: PriceOfCall = last ?? usage
    const { costNanos: _cost, credits: _credits, pricedBy: _pricedBy, flags, ...figures } = usage
    const plain: Usage = { ...figures, flags: flags?.filter((flag) => flag !== 'unpriced') }
    const rated = book.priced(plain, { ...call, atMs: call.admittedAtMs }, unpriced)
    if (rated.flags?.includes('unpriced') === true) tally.unpriced += 1
    const isLeft = rated.costNanos === undefined && rated.credits === undefined && unpriced !== 'flag'
    const now: PriceOfCall = isLeft ? was : rated
    tally.beforeNanos += BigInt(was.costNanos ?? 0)
    tally.afterNanos += BigInt(now.costNanos ?? 0)
    if (now.costNanos === was.costNanos && now.credits === was.credits) return []
    tally.changed += 1
    return [entryOf(call, last, was, now, atMs)]
  })
}

function entryOf(
  call: UsageEntry,
  last: RepricingEntry | undefined,
  was: PriceOfCall,
  now: PriceOfCall,
  repricedAtMs: number,
): RepricingEntry {
  const { id, tenant, atMs, subject, dimensions, provider, operation, model } = call
  const number = last === undefined ? 1 : Number(last.id.slice(id.length + 1)) + 1
  return present({
    kind: 'repricing' as const,
    id: `${id}~${number}`,
    tenant,
    atMs,
    repricingOf: id,
    repricedAtMs,
    subject,
    user: dimensions['user'],
    group: dimensions['group'],
    plan: planLabel(call) ?? undefined,
    provider,
    operation,
    model,
    costNanos: now.costNanos,
    credits: now.credits,
    pricedBy: now.pricedBy,
    before: present({ costNanos: was.costNanos, credits: was.credits }),
  })
}

/** Without members that are absent. */
function present<T extends object>(entry: T): T {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) as T
}
