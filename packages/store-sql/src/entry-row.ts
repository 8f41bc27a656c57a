import { planLabel, type Entry, type EntryCharge, type Usage, type UsageEntry } from '@tallygate/core'
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
  'cache_read_tokens',
  'cache_write_tokens',
  'reasoning_tokens',
  'detail',
] as const satisfies readonly (keyof EntryTable)[]

/** An entry as values of a row. */
export function rowOf(entry: Entry): (string | number | null)[] {
  const { tenant, id, kind, atMs } = entry
  if (entry.kind !== 'usage') {
    const detail = JSON.stringify(entry)
    return [
      tenant,
      id,
      kind,
      atMs,
      null,
      null,
      null,
      null,
      null,
      null,
      null,
      null,
      0,
      null,
      null,
      null,
      null,
      null,
      null,
      detail,
    ]
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
    usage?.cacheReadTokens ?? null,
    usage?.cacheWriteTokens ?? null,
    usage?.reasoningTokens ?? null,
    detailOf(entry),
  ]
}

/** Figures that have no column. */
type FurtherUsage = Omit<
  Usage,
  'basis' | 'inputTokens' | 'outputTokens' | 'cacheReadTokens' | 'cacheWriteTokens' | 'reasoningTokens'
>

/**
 * What of a usage entry has no column, as a JSON list: shorter and quicker than an object, and most of what a row costs.
 * Owners and partitions, which charges share, are named once.
 */
function detailOf(entry: UsageEntry): string {
  const { id, callId, parentId, dimensions, plans, responseModel, model, providerRequestId, status, streamed } = entry
  const {
    basis: _,
    inputTokens: _1,
    outputTokens: _2,
    cacheReadTokens: _3,
    cacheWriteTokens: _4,
    reasoningTokens: _5,
    ...further
  } = entry.usage ?? NO_FIGURES
  const places: string[] = []
  const charges: (string | number)[] = []
  for (const { owner, partition, counter, unit, reserved, actual } of entry.charges) {
    charges.push(placeOf(owner, places), placeOf(partition, places), counter, unit, reserved, actual)
  }
  return JSON.stringify([
    callId === id ? 0 : callId,
    parentId ?? 0,
    isPlain(entry) ? 0 : dimensions,
    plans.map(({ version }) => version),
    responseModel === model ? 0 : (responseModel ?? null),
    providerRequestId ?? 0,
    status ?? 0,
    streamed ? 1 : 0,
    entry.admittedAtMs,
    entry.durationMs,
    further,
    places,
    charges,
  ])
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
  further: FurtherUsage,
  places: string[],
  charges: (string | number)[],
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
    usage: usageOf(row, detail[10]),
    charges: chargesOf(detail[11], detail[12]),
    overage: row.overage === 1,
  })
}

function usageOf(row: EntryTable, further: FurtherUsage): Usage | undefined {
  if (row.basis === null) return undefined
  return present({
    basis: row.basis as Usage['basis'],
    inputTokens: row.input_tokens ?? undefined,
    outputTokens: row.output_tokens ?? undefined,
    ...further,
    cacheReadTokens: row.cache_read_tokens ?? undefined,
    cacheWriteTokens: row.cache_write_tokens ?? undefined,
    reasoningTokens: row.reasoning_tokens ?? undefined,
  })
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
