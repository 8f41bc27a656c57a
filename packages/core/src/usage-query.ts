import { calendarBucket } from './calendar.ts'
import type { RepricingEntry, UsageEntry } from './entry.ts'
import { USAGE_GROUPS, type UsageFilter, type UsageGroup, type UsageQuery, type UsageSum } from './ledger.ts'
import { QuotaError } from './quota-error.ts'
import { isTimeZone, localTime } from './time-zone.ts'

/** A {@link UsageQuery} that was checked, with its defaults. */
export type CompleteUsageQuery = Required<UsageQuery>

/** A calendar day or month that a report's range touches. */
export interface DateSpan {
  readonly label: string
  readonly startMs: number
  readonly endMs: number
}

/** Longest ranges that are told day by day, and month by month. */
const MOST_MS = { day: 1_100 * 86_400_000, month: 2_000 * 31 * 86_400_000 } as const

/** Within them, a date has four digits for its year in every zone. */
const FIRST_MS = Date.parse('0001-01-02T00:00:00Z')
const LAST_MS = Date.parse('9999-12-31T00:00:00Z')

/** @throws QuotaError `ERR_QUOTA_QUERY`, naming what is wrong and what to use. */
export function completeUsageQuery(query: UsageQuery): CompleteUsageQuery {
  const { filter, by, zone = 'UTC', offset = 0, limit = 1_000 } = query
  const unknown = by.find((group) => !USAGE_GROUPS.includes(group))
  if (unknown !== undefined) throw wrong(`there is no group ${JSON.stringify(unknown)}: use ${USAGE_GROUPS.join(', ')}`)
  if (new Set(by).size < by.length) throw wrong(`by names a group twice: ${by.join(', ')}`)
  if (by.includes('day') && by.includes('month')) throw wrong('by names day and month: use one of them')
  if (!isTimeZone(zone)) throw wrong(`zone is ${JSON.stringify(zone)}: use a name of the IANA time zone database`)
  if (!(filter.fromMs < filter.toMs)) throw wrong('the range is empty: from must be before to')
  for (const every of ['day', 'month'] as const) {
    if (by.includes(every) && filter.toMs - filter.fromMs > MOST_MS[every]) {
      throw wrong(`the range is too long to be told by ${every}: ask for at most ${MOST_MS[every] / 86_400_000} days`)
    }
    if (by.includes(every) && (filter.fromMs < FIRST_MS || filter.toMs > LAST_MS)) {
      throw wrong(`the range can't be told by ${every}: ask for years from 1 to 9999`)
    }
  }
  if (!Number.isSafeInteger(offset) || offset < 0) throw wrong(`offset is ${offset}: use a whole number from 0`)
  if (!Number.isInteger(limit) || limit < 1 || limit > 10_000)
    throw wrong(`limit is ${limit}: use a whole number from 1 to 10000`)
  return { filter, by, zone, offset, limit }
}

const MOST_REMEMBERED = 32
const remembered = new Map<string, readonly DateSpan[]>()

/**
 * The calendar days or months of a zone that a range touches, cut to the range. Remembers the last few: a range of years
 * takes milliseconds to work out, and pages of a report ask for the same one.
 */
export function dateSpans({ fromMs, toMs }: UsageFilter, every: 'day' | 'month', zone: string): readonly DateSpan[] {
  const key = `${every} ${fromMs} ${toMs} ${zone}`
  const known = remembered.get(key)
  if (known !== undefined) return known
  const spans = spansOf(fromMs, toMs, every, zone)
  const [oldest] = remembered.keys()
  if (remembered.size >= MOST_REMEMBERED) remembered.delete(oldest!)
  remembered.set(key, spans)
  return spans
}

function spansOf(fromMs: number, toMs: number, every: 'day' | 'month', zone: string): readonly DateSpan[] {
  const spans: DateSpan[] = []
  let startMs = fromMs
  while (startMs < toMs) {
    const { endMs } = calendarBucket({ kind: 'fixed', every, zone }, startMs)
    spans.push({ label: dateLabel(startMs, every, zone), startMs, endMs: Math.min(endMs, toMs) })
    startMs = endMs
  }
  return spans
}

/** `2026-11-21` or `2026-11`, as a calendar on the wall in the zone shows it. */
export function dateLabel(atMs: number, every: 'day' | 'month', zone: string): string {
  return new Date(localTime(zone, atMs)).toISOString().slice(0, every === 'day' ? 10 : 7)
}

/** The value of a group that an entry falls into; `null` where it has none. */
export function groupOf(entry: UsageEntry | RepricingEntry, group: UsageGroup, zone: string): string | null {
  switch (group) {
    case 'key':
      return entry.subject
    case 'plan':
      return entry.kind === 'usage' ? planLabel(entry) : (entry.plan ?? null)
    case 'day':
    case 'month':
      return dateLabel(entry.atMs, group, zone)
    case 'user':
    case 'group':
      return (entry.kind === 'usage' ? entry.dimensions[group] : entry[group]) ?? null
    case 'model':
    case 'provider':
    case 'operation':
      return entry[group] ?? null
  }
}

/** The names of an entry's plans in one string; `null` where it has none. */
export function planLabel({ plans }: Pick<UsageEntry, 'plans'>): string | null {
  return plans.length === 0 ? null : plans.map(({ name }) => name).join('+')
}

/** Nothing yet. */
export const NO_USAGE: UsageSum = {
  calls: 0,
  estimated: 0,
  unknown: 0,
  failed: 0,
  aborted: 0,
  overage: 0,
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
  priced: 0,
  costNanos: 0,
  credits: 0,
  seconds: 0,
  images: 0,
  searches: 0,
}

/** What one entry adds to a sum. */
export function sumOf(entry: UsageEntry | RepricingEntry): UsageSum {
  if (entry.kind === 'repricing') return repricedSum(entry)
  const { usage, outcome, overage } = entry
  const inputTokens = usage?.inputTokens ?? 0
  const outputTokens = usage?.outputTokens ?? 0
  const isSplit = usage?.inputTokens !== undefined || usage?.outputTokens !== undefined
  return {
    calls: 1,
    estimated: usage !== undefined && usage.basis !== 'reported' ? 1 : 0,
    unknown: usage === undefined && outcome === 'complete' ? 1 : 0,
    failed: outcome === 'failed' ? 1 : 0,
    aborted: outcome === 'aborted' ? 1 : 0,
    overage: overage ? 1 : 0,
    inputTokens,
    outputTokens,
    totalTokens: isSplit ? inputTokens + outputTokens : (usage?.totalTokens ?? 0),
    cacheReadTokens: usage?.cacheReadTokens ?? 0,
    cacheWriteTokens: usage?.cacheWriteTokens ?? 0,
    reasoningTokens: usage?.reasoningTokens ?? 0,
    priced: usage?.costNanos === undefined ? 0 : 1,
    costNanos: usage?.costNanos ?? 0,
    credits: usage?.credits ?? 0,
    seconds: usage?.seconds ?? 0,
    images: usage?.images ?? 0,
    searches: usage?.searches ?? 0,
  }
}

/** By how much a repricing changes what is priced, and at how much. */
export function repricedSum({ costNanos, credits, before }: RepricingEntry): UsageSum {
  return {
    ...NO_USAGE,
    priced: (costNanos === undefined ? 0 : 1) - (before.costNanos === undefined ? 0 : 1),
    costNanos: (costNanos ?? 0) - (before.costNanos ?? 0),
    credits: (credits ?? 0) - (before.credits ?? 0),
  }
}

/** Adds two sums, figure by figure. */
export function addSums(one: UsageSum, other: UsageSum): UsageSum {
  const sum: Record<string, number> = {}
  for (const figure of Object.keys(NO_USAGE) as (keyof UsageSum)[]) sum[figure] = one[figure] + other[figure]
  return sum as unknown as UsageSum
}

function wrong(message: string): QuotaError {
  return new QuotaError('ERR_QUOTA_QUERY', message)
}
