import type { CounterEventQuery } from '@tallygate/core'
import { sql, type RawBuilder } from 'kysely'
import { pageSize, type EventRow } from './counter-event-rows.ts'
import { counterLabel } from './entry-row.ts'

/**
 * Rows of the next page of events. Of calls: those of the subject, by its own index; without one, those of the tenant
 * that name a partition in question, which is told from their text, as parsing it takes ten times as long. Of everything
 * else: those of the counters, which stand in the same index as a subject's.
 */
export function eventRowsQuery(query: CounterEventQuery): RawBuilder<EventRow> {
  const { tenant, subject, counters, fromMs, after } = query
  const limit = pageSize(query)
  // Written so that the planner can't take it for a range of the tenant's index.
  const since =
    after === undefined
      ? sql`tenant = ${tenant} and at_ms >= ${fromMs}`
      : sql`tenant = ${tenant} and at_ms >= ${Math.max(fromMs, after.atMs)} and (+at_ms > ${after.atMs} or id > ${after.id})`
  const partitions = [...new Set(counters.map(({ partition }) => partition))]
  const named = partitions.map((partition) => sql`instr(detail, ${JSON.stringify(partition)}) > 0`)
  const calls =
    subject === undefined
      ? sql`kind = 'usage' and (${sql.join(named, sql` or `)})`
      : sql`kind = 'usage' and subject = ${subject}`
  const page = (which: RawBuilder<unknown>): RawBuilder<EventRow> =>
    sql<EventRow>`select * from (select id, kind, at_ms, detail from entries where ${since} and ${which}
      order by at_ms, id limit ${limit + 1})`
  const labels = counters.map(({ partition, name }) => sql`${counterLabel({ partition, counter: name })}`)
  const others = sql`kind not in ('usage', 'repricing') and subject in (${sql.join(labels)})`
  const pages = [calls, others].map(page)
  return sql<EventRow>`${sql.join(pages, sql` union all `)} order by at_ms, id limit ${limit + 1}`
}

/** Rows of the latest window that each counter has begun. */
export function windowStartsQuery(
  { tenant, counters }: Pick<CounterEventQuery, 'tenant' | 'counters'>,
  toMs: number,
): RawBuilder<EventRow> {
  const latest = counters.map(
    ({ partition, name }) => sql`select * from (select id, kind, at_ms, detail from entries
      where tenant = ${tenant} and subject = ${counterLabel({ partition, counter: name })} and kind = 'window-start' and at_ms <= ${toMs}
      order by at_ms desc limit 1)`,
  )
  return sql<EventRow>`${sql.join(latest, sql` union all `)}`
}
