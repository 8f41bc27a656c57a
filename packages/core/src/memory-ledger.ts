import type { Entry, RepricingEntry, UsageEntry } from './entry.ts'
import { eventsOf } from './counter-events.ts'
import type {
  CounterEventPage,
  CounterEventQuery,
  EntryPage,
  Ledger,
  UsageFilter,
  UsageGroup,
  UsagePage,
  UsageQuery,
  UsageRow,
  WindowStartEvent,
} from './ledger.ts'
import { addSums, completeUsageQuery, groupOf, NO_USAGE, sumOf } from './usage-query.ts'

/**
 * A ledger of one process, and the reference for what every other one answers. Bounded: the oldest entries go when it is
 * full. Everything is gone when the process ends.
 */
export class MemoryLedger implements Ledger {
  readonly #entries = new Map<string, Entry>()
  readonly #most: number

  /** @param most Entries it keeps. Default: 100,000. */
  constructor({ most = 100_000 }: { readonly most?: number } = {}) {
    this.#most = most
  }

  async append(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) {
      const key = `${entry.tenant} ${entry.id}`
      const known = this.#entries.get(key)
      if (known === undefined || (isGuess(known) && entry.kind === 'usage' && !isGuess(entry)))
        this.#entries.set(key, entry)
    }
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#most) return
      this.#entries.delete(oldest)
    }
  }

  async sum(query: UsageQuery): Promise<UsagePage> {
    const { filter, by, zone, offset, limit } = completeUsageQuery(query)
    const rows = new Map<string, UsageRow>()
    let total = NO_USAGE
    for (const entry of this.#summed(filter)) {
      const sum = sumOf(entry)
      const group: Partial<Record<UsageGroup, string | null>> = {}
      for (const name of by) group[name] = groupOf(entry, name, zone)
      const key = JSON.stringify(Object.values(group))
      const row = rows.get(key)
      rows.set(key, { ...(row === undefined ? sum : addSums(row, sum)), group })
      total = addSums(total, sum)
    }
    if (by.length === 0 && rows.size === 0) rows.set('[]', { ...NO_USAGE, group: {} })
    const ordered = [...rows.values()].sort((one, other) => compareGroups(one, other, by))
    const nextOffset = offset + limit < ordered.length ? offset + limit : undefined
    return { rows: ordered.slice(offset, offset + limit), total, nextOffset }
  }

  async entries(filter: UsageFilter, { before, limit = 100 }: EntryPage = {}): Promise<readonly UsageEntry[]> {
    const newestFirst = [...this.#usage(filter)].sort(fromNewest)
    const left = before === undefined ? newestFirst : newestFirst.filter((entry) => fromNewest(before, entry) < 0)
    return left.slice(0, Math.min(limit, 1_000))
  }

  async counterEvents(query: CounterEventQuery): Promise<CounterEventPage> {
    const { tenant, subject, fromMs, after, limit = 10_000 } = query
    const oldestFirst = [...this.#entries.values()]
      .filter((entry) => entry.tenant === tenant && entry.atMs >= fromMs && isOf(entry, subject))
      .filter((entry) => after === undefined || fromNewest(after, entry) > 0)
      .sort((one, other) => fromNewest(other, one))
    const page = oldestFirst.slice(0, limit)
    const events = page.flatMap((entry) => eventsOf(entry, query))
    return page.length === oldestFirst.length ? { events } : { events, next: page.at(-1) }
  }

  async windowStarts(query: Parameters<Ledger['windowStarts']>[0]): Promise<readonly WindowStartEvent[]> {
    const latest = new Map<number, WindowStartEvent>()
    for (const entry of this.#entries.values()) {
      if (entry.kind !== 'window-start' || entry.tenant !== query.tenant || entry.atMs > query.toMs) continue
      for (const event of eventsOf(entry, query) as WindowStartEvent[]) {
        const known = latest.get(event.counter)
        if (known === undefined || fromNewest(event, known) < 0) latest.set(event.counter, event)
      }
    }
    return [...latest.values()]
  }

  async find(tenant: string, ids: readonly string[]): Promise<readonly Entry[]> {
    return [...new Set(ids)].flatMap((id) => this.#entries.get(`${tenant} ${id}`) ?? [])
  }

  async close(): Promise<void> {}

  *#usage(filter: UsageFilter): Generator<UsageEntry> {
    for (const entry of this.#summed(filter)) if (entry.kind === 'usage') yield entry
  }

  *#summed(filter: UsageFilter): Generator<UsageEntry | RepricingEntry> {
    for (const entry of this.#entries.values()) {
      if ((entry.kind === 'usage' || entry.kind === 'repricing') && passes(entry, filter)) yield entry
    }
  }
}

/** Whether it tells of a call that nobody has seen the end of. */
function isGuess(entry: Entry): boolean {
  return entry.kind === 'usage' && entry.outcome === 'expired'
}

type Place = Pick<UsageEntry, 'atMs' | 'id'>

function fromNewest(one: Place, other: Place): number {
  return other.atMs - one.atMs || (one.id < other.id ? 1 : one.id > other.id ? -1 : 0)
}

function passes(entry: UsageEntry | RepricingEntry, filter: UsageFilter): boolean {
  const { tenant, fromMs, toMs, key, user, group, model, provider, operation, plan } = filter
  return (
    entry.tenant === tenant &&
    entry.atMs >= fromMs &&
    entry.atMs < toMs &&
    (key === undefined || entry.subject === key) &&
    (user === undefined || groupOf(entry, 'user', 'UTC') === user) &&
    (group === undefined || groupOf(entry, 'group', 'UTC') === group) &&
    (model === undefined || entry.model === model) &&
    (provider === undefined || entry.provider === provider) &&
    (operation === undefined || entry.operation === operation) &&
    (plan === undefined || groupOf(entry, 'plan', 'UTC') === plan)
  )
}

/** By each group in turn, as bytes compare; calls without a value first, as SQL's NULLs. */
function compareGroups({ group: one }: UsageRow, { group: other }: UsageRow, by: readonly UsageGroup[]): number {
  for (const name of by) {
    const left = one[name] ?? ''
    const right = other[name] ?? ''
    if (left !== right) return left < right ? -1 : 1
  }
  return 0
}

function isOf(entry: Entry, subject: string | undefined): boolean {
  return subject === undefined || entry.kind !== 'usage' || entry.subject === subject
}
