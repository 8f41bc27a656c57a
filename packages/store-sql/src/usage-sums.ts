import { dateSpans, type CompleteUsageQuery, type UsageFilter, type UsageGroup } from '@tallygate/core'
import { sql, type RawBuilder } from 'kysely'
import type { EntryTable } from './schema.ts'

/** A row of sums, with the groups under their own names. */
export type SumRow = Readonly<Record<string, unknown>>

const COLUMN: Readonly<Record<Exclude<UsageGroup, 'day' | 'month'>, keyof EntryTable>> = {
  key: 'subject',
  user: 'user_name',
  group: 'group_name',
  model: 'model',
  provider: 'provider',
  operation: 'operation',
  plan: 'plan',
}

const SUMS = sql`
  coalesce(sum(kind = 'usage'), 0) as calls,
  coalesce(sum(case when basis <> 'reported' then 1 else 0 end), 0) as estimated,
  coalesce(sum(case when basis is null and outcome = 'complete' then 1 else 0 end), 0) as unknown,
  coalesce(sum(case when outcome = 'failed' then 1 else 0 end), 0) as failed,
  coalesce(sum(case when outcome = 'aborted' then 1 else 0 end), 0) as aborted,
  coalesce(sum(overage), 0) as overage,
  total(input_tokens) as "inputTokens",
  total(output_tokens) as "outputTokens",
  total(case
    when input_tokens is null and output_tokens is null then total_tokens
    else coalesce(input_tokens, 0) + coalesce(output_tokens, 0)
  end) as "totalTokens",
  total(cache_read_tokens) as "cacheReadTokens",
  total(cache_write_tokens) as "cacheWriteTokens",
  total(reasoning_tokens) as "reasoningTokens",
  coalesce(sum(priced), 0) as priced,
  total(cost_nanos) as "costNanos",
  total(credits) as credits,
  total(seconds) as seconds,
  total(images) as images,
  total(searches) as searches`

/** Sums of the usage entries that a filter lets through, in one row. */
export function totalQuery(filter: UsageFilter): RawBuilder<SumRow> {
  return sql<SumRow>`select ${SUMS} from entries where ${conditions(filter, SUMMED)}`
}

/** Sums group by group: one row more than asked for, to tell whether there is another page. */
export function groupQuery({ filter, by, zone, offset, limit }: CompleteUsageQuery): RawBuilder<SumRow> {
  const date = by.find((group) => group === 'day' || group === 'month')
  const columns = by.map((group) =>
    group === 'day' || group === 'month' ? sql.ref('spans.label') : sql.ref(COLUMN[group]),
  )
  const named = columns.map((column, index) => sql`${column} as ${sql.id(by[index]!)}`)
  const grouped = sql`group by ${sql.join(columns)} order by ${sql.join(columns)} limit ${limit + 1} offset ${offset}`
  if (date === undefined)
    return sql<SumRow>`select ${sql.join(named)}, ${SUMS} from entries where ${conditions(filter, SUMMED)} ${grouped}`
  // The spans come first, so that each looks up its own part of the index on time.
  return sql<SumRow>`
    with spans (label, start_ms, end_ms) as (values ${spansOf(filter, date, zone)})
    select ${sql.join(named)}, ${SUMS} from spans cross join entries
    where at_ms >= spans.start_ms and at_ms < spans.end_ms and ${conditions(filter, SUMMED)} ${grouped}`
}

/** Calls, and what their repricings have changed. */
const SUMMED = sql`kind in ('usage', 'repricing')`

/** What a filter asks of entries. @param which Default: calls. */
export function conditions(
  { tenant, fromMs, toMs, ...equal }: UsageFilter,
  which: RawBuilder<unknown> = sql`kind = 'usage'`,
): RawBuilder<unknown> {
  const all = [sql`${which} and tenant = ${tenant} and at_ms >= ${fromMs} and at_ms < ${toMs}`]
  for (const [name, value] of Object.entries(equal) as [keyof typeof COLUMN, string | undefined][]) {
    if (value !== undefined) all.push(sql`${sql.ref(COLUMN[name])} = ${value}`)
  }
  return sql.join(all, sql` and `)
}

function spansOf(filter: UsageFilter, every: 'day' | 'month', zone: string): RawBuilder<unknown> {
  return sql.join(
    dateSpans(filter, every, zone).map(({ label, startMs, endMs }) => sql`(${label}, ${startMs}, ${endMs})`),
  )
}
