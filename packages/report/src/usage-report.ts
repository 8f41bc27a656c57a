import {
  decimalText,
  latestPrices,
  NO_USAGE,
  planLabel,
  QuotaError,
  USAGE_GROUPS,
  type EntryPage,
  type Ledger,
  type UsageFilter,
  type UsageGroup,
  type UsageRow,
  type UsageSum,
} from '@tallygate/core'
import { keyFor, type ReportAccess } from './report-access.ts'
import { assertParameters } from './report-parameters.ts'
import { reportRange } from './report-range.ts'

/** A table of a report, and where its next page is. */
export interface ReportTable {
  readonly about: Readonly<Record<string, unknown>>
  readonly columns: readonly string[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly total?: Readonly<Record<string, unknown>>
  /** Parameters of the next page; absent on the last. */
  readonly next?: Readonly<Record<string, string>>
  /** Whether the query's `key` is a secret, which no link may repeat. */
  readonly keyIsSecret: boolean
}

const FIGURES = Object.keys(NO_USAGE).map((figure) => (figure === 'costNanos' ? 'cost' : figure))
const FILTERS = ['user', 'group', 'model', 'provider', 'operation', 'plan'] as const
const OF_BOTH = ['from', 'to', 'month', 'zone', 'key', 'limit', ...FILTERS]

/**
 * Sums of usage: `?by=month,key&from=2026-01&to=2026-03&zone=Europe/Berlin&model=gpt-4o&limit=100&offset=0`. Default: by
 * month and key, over the last twelve months.
 */
export async function usageReport(
  ledger: Ledger,
  access: ReportAccess,
  query: URLSearchParams,
  nowMs: number,
): Promise<ReportTable> {
  assertParameters(access, query, [...OF_BOTH, 'by', 'offset'])
  const { filter, zone } = filterOf(access, query, nowMs)
  const by = groupsOf(query)
  const [offset, limit] = [wholeNumber(query, 'offset', 0), wholeNumber(query, 'limit', 1_000)]
  const { rows, total, nextOffset } = await ledger.sum({ filter, by, zone, offset, limit })
  return {
    about: { from: iso(filter.fromMs), to: iso(filter.toMs), zone, by },
    columns: [...by, ...FIGURES],
    keyIsSecret: isKeySecret(access),
    rows: rows.map(({ group, ...figures }: UsageRow) => ({ ...group, ...inMoney(figures) })),
    total: inMoney(total),
    ...(nextOffset === undefined ? {} : { next: { offset: String(nextOffset) } }),
  }
}

/** With the cost as an exact decimal of whole dollars, which no number would be. */
function inMoney({ costNanos, ...figures }: UsageSum): Readonly<Record<string, unknown>> {
  return { ...figures, cost: decimalText(costNanos) }
}

/** Single calls, newest first: `?from=…&to=…&key=…&limit=100`; `before`, in the link to the next page, names the last seen. */
export async function callsReport(
  ledger: Ledger,
  access: ReportAccess,
  query: URLSearchParams,
  nowMs: number,
): Promise<ReportTable> {
  assertParameters(access, query, [...OF_BOTH, 'before'])
  const { filter, zone } = filterOf(access, query, nowMs)
  const limit = wholeNumber(query, 'limit', 100)
  if (limit < 1 || limit > 1_000)
    throw new QuotaError('ERR_QUOTA_QUERY', `limit is ${limit}: use a whole number from 1 to 1000`)
  const before = lastSeen(query.get('before'))
  const entries = await ledger.entries(filter, { limit, ...(before === undefined ? {} : { before }) })
  const latest = await latestPrices(ledger, filter.tenant, entries)
  const rows = entries.map(
    ({
      usage: metered,
      plans,
      charges: _charges,
      dimensions,
      kind: _kind,
      atMs,
      admittedAtMs,
      subject,
      tenant: _tenant,
      ...entry
    }) => {
      const usage = metered === undefined ? undefined : { ...metered, ...latest.get(entry.id) }
      const { costNanos, reportedCostNanos, ...figures } = usage ?? {}
      return {
        ...entry,
        key: subject,
        user: dimensions['user'] ?? null,
        group: dimensions['group'] ?? null,
        at: iso(atMs),
        admittedAt: iso(admittedAtMs),
        plan: planLabel({ plans }),
        ...figures,
        ...(costNanos === undefined ? {} : { cost: decimalText(costNanos) }),
        ...(reportedCostNanos === undefined ? {} : { reportedCost: decimalText(reportedCostNanos) }),
        flags: usage?.flags?.join(' '),
      }
    },
  )
  const last = entries.at(-1)
  return {
    about: { from: iso(filter.fromMs), to: iso(filter.toMs), zone },
    columns: CALL_COLUMNS,
    keyIsSecret: isKeySecret(access),
    rows,
    ...(entries.length === limit && last !== undefined ? { next: { before: `${last.atMs}~${last.id}` } } : {}),
  }
}

/** The place of the last call seen, as the link to the next page writes it. */
function lastSeen(before: string | null): EntryPage['before'] {
  if (before === null) return undefined
  const [, atMs, id] = /^(\d{1,15}(?:\.\d{1,9})?)~(.{1,256})$/.exec(before) ?? []
  if (id !== undefined) return { atMs: Number(atMs), id }
  throw new QuotaError(
    'ERR_QUOTA_QUERY',
    `before is ${JSON.stringify(before.slice(0, 64))}: use the link to the next page as it is`,
  )
}

function isKeySecret(access: ReportAccess): boolean {
  return access.scope === 'own' && access.keyIsCredential
}

const CALL_COLUMNS = [
  'at',
  'id',
  'callId',
  'parentId',
  'key',
  'user',
  'group',
  'provider',
  'operation',
  'model',
  'responseModel',
  'plan',
  'status',
  'outcome',
  'overage',
  'streamed',
  'durationMs',
  'basis',
  'inputTokens',
  'outputTokens',
  'totalTokens',
  'cacheReadTokens',
  'cacheWriteTokens',
  'cacheWrite5mTokens',
  'cacheWrite1hTokens',
  'reasoningTokens',
  'audioInputTokens',
  'imageInputTokens',
  'toolUseInputTokens',
  'audioOutputTokens',
  'imageOutputTokens',
  'billedInputTokens',
  'billedOutputTokens',
  'seconds',
  'images',
  'searches',
  'serviceTier',
  'cost',
  'reportedCost',
  'credits',
  'pricedBy',
  'confidence',
  'flags',
  'providerRequestId',
]

function filterOf(access: ReportAccess, query: URLSearchParams, nowMs: number): { filter: UsageFilter; zone: string } {
  const { fromMs, toMs, zone } = reportRange(query, nowMs)
  const tenant = access.scope === 'tenant' ? access.tenant : access.subject.tenant
  const equal = FILTERS.map((name) => [name, query.get(name) ?? undefined] as const)
  return { filter: { tenant, fromMs, toMs, key: keyFor(access, query.get('key')), ...Object.fromEntries(equal) }, zone }
}

function groupsOf(query: URLSearchParams): UsageGroup[] {
  const by = query.getAll('by').flatMap((names) => names.split(','))
  const named = by.map((name) => name.trim()).filter((name) => name !== '')
  if (!query.has('by')) return ['month', 'key']
  const unknown = named.find((name) => !USAGE_GROUPS.includes(name as UsageGroup))
  if (unknown !== undefined) {
    throw new QuotaError(
      'ERR_QUOTA_QUERY',
      `there is no group ${JSON.stringify(unknown.slice(0, 64))}: use ${USAGE_GROUPS.join(', ')}`,
    )
  }
  return named as UsageGroup[]
}

function wholeNumber(query: URLSearchParams, name: string, byDefault: number): number {
  const text = query.get(name)
  if (text === null) return byDefault
  if (!/^\d{1,9}$/.test(text))
    throw new QuotaError('ERR_QUOTA_QUERY', `${name} is ${JSON.stringify(text.slice(0, 64))}: use a whole number`)
  return Number(text)
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString()
}
