import {
  planLabel,
  repricedSum,
  type CounterEventQuery,
  type Entry,
  type EntryCharge,
  type RepricingEntry,
  type Usage,
  type UsageEntry,
} from '@tallygate/core'
import type { EntryTable } from './schema.ts'

/** Columns in the order of {@link rowOf}. */
export const ENTRY_COLUMNS = [
  'tenant',
  'id',
  'kind',
  'at_ms',
  'subject',
  'user_name',
  'group_name',
  'plan',
  'provider',
  'operation',
  'model',
  'outcome',
  'overage',
  'basis',
  'input_tokens',
  'output_tokens',
  'total_tokens',
  'cache_read_tokens',
  'cache_write_tokens',
  'reasoning_tokens',
  'detail',
  // Behind it, what came later: the journal of an older version has rows without.
  'priced',
  'cost_nanos',
  'credits',
  'seconds',
  'images',
  'searches',
] as const satisfies readonly (keyof EntryTable)[]

/** Columns of rows as the first version wrote them. */
export const FIRST_COLUMNS = ENTRY_COLUMNS.indexOf('priced')

/** An entry as values of a row. */
export function rowOf(entry: Entry): (string | number | null)[] {
  const { tenant, id, kind, atMs } = entry
  if (entry.kind === 'repricing') return repricingRow(entry)
  if (entry.kind !== 'usage') {
    const row: (string | number | null)[] = Array.from({ length: ENTRY_COLUMNS.length }, () => null)
    row.splice(0, 5, tenant, id, kind, atMs, counterLabel(entry))
    row[ENTRY_COLUMNS.indexOf('overage')] = 0
    row[ENTRY_COLUMNS.indexOf('detail')] = JSON.stringify(entry)
    return row
  }
  const { subject, dimensions, provider, operation, model, outcome, overage, usage } = entry
  return [
    tenant,
    id,
    kind,
    atMs,
    subject,
    dimensions['user'] ?? null,
    dimensions['group'] ?? null,
    planLabel(entry),
    provider ?? null,
    operation ?? null,
    model ?? null,
    outcome,
    overage ? 1 : 0,
    usage?.basis ?? null,
    usage?.inputTokens ?? null,
    usage?.outputTokens ?? null,
    usage?.inputTokens === undefined && usage?.outputTokens === undefined ? (usage?.totalTokens ?? null) : null,
    usage?.cacheReadTokens ?? null,
    usage?.cacheWriteTokens ?? null,
    usage?.reasoningTokens ?? null,
    detailOf(entry),
    usage?.costNanos === undefined ? null : 1,
    usage?.costNanos ?? null,
    usage?.credits ?? null,
    usage?.seconds ?? null,
    usage?.images ?? null,
    usage?.searches ?? null,
  ]
}

/** Stands in the groups of its call, so that sums need not look for that. */
function repricingRow(entry: RepricingEntry): (string | number | null)[] {
  const { tenant, id, kind, atMs, subject, user, group, plan, provider, operation, model } = entry
  const { priced, costNanos, credits } = repricedSum(entry)
  const names = [user, group, plan, provider, operation, model].map((name) => name ?? null)
  const row: (string | number | null)[] = Array.from({ length: ENTRY_COLUMNS.length }, () => null)
  row.splice(0, 11, tenant, id, kind, atMs, subject, ...names)
  row[ENTRY_COLUMNS.indexOf('overage')] = 0
  row.splice(ENTRY_COLUMNS.indexOf('detail'), 4, JSON.stringify(entry), priced, costNanos, credits)
  return row
}

/** What stands in place of the subject where an entry is of a counter and not of a call. */
export function counterLabel({ partition, counter }: { readonly partition: string; readonly counter: string }): string {
  return `${partition} ${counter}`
}

/** A row as its entry. */
export function entryOf(row: EntryTable): Entry {
  return row.kind === 'usage' ? usageEntryOf(row) : (JSON.parse(row.detail) as Entry)
}

/** Figures that have no column, and are seldom there. */
type FurtherUsage = Omit<Usage, ColumnedFigure | 'totalTokens'>
type ColumnedFigure =
  | 'basis'
  | 'inputTokens'
  | 'outputTokens'
  | 'cacheReadTokens'
  | 'cacheWriteTokens'
  | 'reasoningTokens'
  | 'costNanos'
  | 'credits'
  | 'seconds'
  | 'images'
  | 'searches'

/**
 * What of a usage entry has no column, as a JSON list, written by hand: most of it is plain words and numbers, and to
 * write them as such takes a third of the time. Owners and partitions, which charges share, are named once.
 */
function detailOf(entry: UsageEntry): string {
  const { id, callId, parentId, dimensions, plans, responseModel, model, providerRequestId, status, streamed } = entry
  const places: string[] = []
  let charges = ''
  for (const { owner, partition, counter, unit, reserved, actual } of entry.charges) {
    if (charges !== '') charges += ','
    charges += `${placeOf(owner, places)},${placeOf(partition, places)},${quoted(counter)},"${unit}",${reserved},${actual}`
  }
  const sameModel = responseModel === model
  return (
    `[${callId === id ? 0 : quoted(callId)},${wordOr0(parentId)},${isPlain(entry) ? 0 : JSON.stringify(dimensions)},` +
    `[${plans.map(({ version }) => quoted(version)).join()}],` +
    `${sameModel ? 0 : responseModel === undefined ? null : quoted(responseModel)},${wordOr0(providerRequestId)},` +
    `${status ?? 0},${streamed ? 1 : 0},${entry.admittedAtMs},${entry.durationMs},` +
    `${totalOf(entry.usage)},${furtherOf(entry.usage)},[${places.map(quoted).join()}],[${charges}]` +
    (entry.withoutStore === undefined ? ']' : `,"${entry.withoutStore}"]`)
  )
}

/** Characters that JSON writes as they are. */
const AS_IT_IS = /^[\w .:/=,;+@%()|-]*$/

function quoted(text: string): string {
  return AS_IT_IS.test(text) ? `"${text}"` : JSON.stringify(text)
}

function wordOr0(text: string | undefined): string {
  return text === undefined ? '0' : quoted(text)
}

/** The stated total where it is not the sum of input and output; -1 where it is, `null` where there is none. */
function totalOf(usage: Usage | undefined): number | null {
  const { inputTokens, outputTokens, totalTokens } = usage ?? NO_FIGURES
  if (totalTokens === undefined) return null
  const isSum =
    (inputTokens !== undefined || outputTokens !== undefined) &&
    totalTokens === (inputTokens ?? 0) + (outputTokens ?? 0)
  return isSum ? -1 : totalTokens
}

function furtherOf(usage: Usage | undefined): string {
  const {
    basis: _basis,
    inputTokens: _input,
    outputTokens: _output,
    totalTokens: _total,
    cacheReadTokens: _cacheRead,
    cacheWriteTokens: _cacheWrite,
    reasoningTokens: _reasoning,
    costNanos: _costNanos,
    credits: _credits,
    seconds: _seconds,
    images: _images,
    searches: _searches,
    ...further
  } = usage ?? NO_FIGURES
  for (const name in further) if (further[name as keyof FurtherUsage] !== undefined) return JSON.stringify(further)
  return '0'
}

const NO_FIGURES: Usage = { basis: 'reported' }
const FIGURES_PER_CHARGE = 6

/** Index of a name in a list of names, to which it is added if it is new. */
function placeOf(name: string, places: string[]): number {
  const known = places.indexOf(name)
  return known === -1 ? places.push(name) - 1 : known
}

/** Whether a caller has no dimensions but its tenant and its key. */
function isPlain({ tenant, subject, dimensions }: UsageEntry): boolean {
  for (const name in dimensions) {
    const expected = name === 'tenant' ? tenant : name === 'key' ? subject : undefined
    if (dimensions[name] !== expected) return false
  }
  return dimensions['tenant'] !== undefined && dimensions['key'] !== undefined
}

type Detail = [
  callId: string | 0,
  parentId: string | 0,
  dimensions: UsageEntry['dimensions'] | 0,
  versions: string[],
  responseModel: string | 0 | null,
  providerRequestId: string | 0,
  status: number,
  streamed: 0 | 1,
  admittedAtMs: number,
  durationMs: number,
  total: number | null,
  further: FurtherUsage | 0,
  places: string[],
  charges: (string | number)[],
  withoutStore?: UsageEntry['withoutStore'],
]

/** A row as its usage entry. */
export function usageEntryOf(row: EntryTable): UsageEntry {
  const detail = JSON.parse(row.detail) as Detail
  const [
    callId,
    parentId,
    dimensions,
    versions,
    responseModel,
    providerRequestId,
    status,
    streamed,
    admittedAtMs,
    durationMs,
  ] = detail
  const names = row.plan === null ? [] : row.plan.split('+')
  return present({
    kind: 'usage' as const,
    id: row.id,
    tenant: row.tenant,
    atMs: row.at_ms,
    callId: callId === 0 ? row.id : callId,
    parentId: parentId === 0 ? undefined : parentId,
    subject: row.subject ?? '',
    dimensions: dimensions === 0 ? { tenant: row.tenant, key: row.subject ?? '' } : dimensions,
    plans: names.map((name, index) => ({ name, version: versions[index] ?? '' })),
    provider: row.provider ?? undefined,
    operation: row.operation ?? undefined,
    model: row.model ?? undefined,
    responseModel: responseModel === 0 ? (row.model ?? undefined) : (responseModel ?? undefined),
    providerRequestId: providerRequestId === 0 ? undefined : providerRequestId,
    status: status === 0 ? undefined : status,
    outcome: (row.outcome ?? 'complete') as UsageEntry['outcome'],
    streamed: streamed === 1,
    admittedAtMs,
    durationMs,
    usage: usageOf(row, detail[10], detail[11]),
    charges: chargesOf(detail[12], detail[13]),
    overage: row.overage === 1,
    withoutStore: detail[14],
  })
}

function usageOf(row: EntryTable, total: number | null, further: FurtherUsage | 0): Usage | undefined {
  if (row.basis === null) return undefined
  const sum = (row.input_tokens ?? 0) + (row.output_tokens ?? 0)
  return present({
    basis: row.basis as Usage['basis'],
    inputTokens: row.input_tokens ?? undefined,
    outputTokens: row.output_tokens ?? undefined,
    totalTokens: total === -1 ? sum : (total ?? undefined),
    costNanos: row.cost_nanos ?? undefined,
    credits: row.credits ?? undefined,
    seconds: row.seconds ?? undefined,
    images: row.images ?? undefined,
    searches: row.searches ?? undefined,
    ...(further === 0 ? {} : further),
    cacheReadTokens: row.cache_read_tokens ?? undefined,
    cacheWriteTokens: row.cache_write_tokens ?? undefined,
    reasoningTokens: row.reasoning_tokens ?? undefined,
  })
}

/**
 * What a row of a call did to the counters that are asked for: time of admission, then index of the counter, reserved and
 * actual amount of each. Parses no more than it must: it is for histories of a million calls.
 */
export function chargesFor(
  detail: string,
  counters: CounterEventQuery['counters'],
): { admittedAtMs: number; charged: number[] } {
  const parsed = JSON.parse(detail) as Detail
  const places = parsed[12]
  const flat = parsed[13]
  const charged: number[] = []
  for (let at = 0; at < flat.length; at += FIGURES_PER_CHARGE) {
    const partition = places[flat[at + 1] as number]
    const name = flat[at + 2]
    const counter = counters.findIndex((each) => each.name === name && each.partition === partition)
    if (counter !== -1) charged.push(counter, flat[at + 4] as number, flat[at + 5] as number)
  }
  return { admittedAtMs: parsed[8], charged }
}

function chargesOf(places: readonly string[], flat: readonly (string | number)[]): EntryCharge[] {
  return Array.from({ length: flat.length / FIGURES_PER_CHARGE }, (_, index) => {
    const at = index * FIGURES_PER_CHARGE
    const [owner, partition, counter, unit, reserved, actual] = flat.slice(at, at + FIGURES_PER_CHARGE) as Flat
    return { owner: places[owner]!, partition: places[partition]!, counter, unit, reserved, actual }
  })
}

type Flat = [
  owner: number,
  partition: number,
  counter: string,
  unit: EntryCharge['unit'],
  reserved: number,
  actual: number,
]

/** Without members that are absent, as the entry was written. */
function present<T extends object>(entry: T): T {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) as T
}
