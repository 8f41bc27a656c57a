import { configError, isQuotaError, QuotaError, type Entry, type UsageEntry } from '@tallygate/core'
import { ENTRY_COLUMNS, FIRST_COLUMNS, rowOf } from './entry-row.ts'

/** Values of one row, in the order of the ledger's columns. */
export type Row = readonly (string | number | null)[]

type Column = (typeof ENTRY_COLUMNS)[number]

/** Members of entries whose columns have another name. */
const MEMBERS: Partial<Record<Column, string>> = {
  at_ms: 'atMs',
  user_name: 'dimensions.user',
  group_name: 'dimensions.group',
  plan: 'plans',
  basis: 'usage.basis',
  input_tokens: 'usage.inputTokens',
  output_tokens: 'usage.outputTokens',
  total_tokens: 'usage.totalTokens',
  cache_read_tokens: 'usage.cacheReadTokens',
  cache_write_tokens: 'usage.cacheWriteTokens',
  reasoning_tokens: 'usage.reasoningTokens',
  cost_nanos: 'usage.costNanos',
  credits: 'usage.credits',
  seconds: 'usage.seconds',
  images: 'usage.images',
  searches: 'usage.searches',
}
const NUMBERS: readonly Column[] = [
  'at_ms',
  'overage',
  ...ENTRY_COLUMNS.filter((name) => name.endsWith('_tokens')),
  ...ENTRY_COLUMNS.slice(FIRST_COLUMNS),
]
const REQUIRED: readonly Column[] = ['tenant', 'id', 'kind', 'at_ms', 'overage', 'detail']
const AT_MS = ENTRY_COLUMNS.indexOf('at_ms')

/** What each column takes, in their order. */
const SHAPE = ENTRY_COLUMNS.map((name) => ({
  type: NUMBERS.includes(name) ? 'number' : 'string',
  isRequired: REQUIRED.includes(name),
}))

/**
 * An entry as values that the database surely takes: what it would refuse must not get into the journal.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` with the member that makes it impossible.
 */
export function storableRow(entry: Entry): Row {
  const row = rowOrFault(entry)
  const wrong = wrongColumn(row)
  if (wrong === -1) return row
  const column = ENTRY_COLUMNS[wrong]!
  const remedy = wrong === AT_MS ? 'whole milliseconds' : SHAPE[wrong]!.type === 'number' ? 'a finite number' : 'a text'
  throw configError(`entry.${MEMBERS[column] ?? column}`, row[wrong], `use ${remedy}`)
}

/** A row that the database takes, of what a journal has, also of an older version; `undefined` where it is none. */
export function storableValues(value: unknown): Row | undefined {
  if (!Array.isArray(value)) return undefined
  const isOlder = value.length === FIRST_COLUMNS
  const row = isOlder ? [...value, ...Array.from({ length: SHAPE.length - FIRST_COLUMNS }, () => null)] : value
  return row.length === SHAPE.length && wrongColumn(row) === -1 ? (row as Row) : undefined
}

function wrongColumn(row: readonly unknown[]): number {
  for (let at = 0; at < SHAPE.length; at += 1) {
    const value = row[at]
    const { type, isRequired } = SHAPE[at]!
    const isRight =
      value === null ? !isRequired : typeof value === type && (type === 'string' || Number.isFinite(value))
    if (!isRight) return at
  }
  return Number.isSafeInteger(row[AT_MS]) ? -1 : AT_MS
}

/** Figures that have no column are written as they are, and no JSON has what is not finite. */
function assertFigures({ admittedAtMs, durationMs, status, usage, charges }: UsageEntry): void {
  assertFinite(admittedAtMs, 'admittedAtMs')
  assertFinite(durationMs, 'durationMs')
  if (status !== undefined) assertFinite(status, 'status')
  if (usage?.totalTokens !== undefined) assertFinite(usage.totalTokens, 'usage.totalTokens')
  for (const { reserved, actual } of charges) {
    assertFinite(reserved, 'charges.reserved')
    assertFinite(actual, 'charges.actual')
  }
}

function assertFinite(value: unknown, member: string): void {
  if (!Number.isFinite(value)) throw configError(`entry.${member}`, value, 'use a finite number')
}

function rowOrFault(entry: Entry): Row {
  try {
    if (entry.kind === 'usage') assertFigures(entry)
    return rowOf(entry)
  } catch (error) {
    if (isQuotaError(error)) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new QuotaError('ERR_QUOTA_CONFIG', `entry ${entry.id} can't be written: ${reason}`, { cause: error })
  }
}
