import {
  eventsOf,
  type CounterEvent,
  type CounterEventPage,
  type CounterEventQuery,
  type Entry,
  type WindowStartEvent,
} from '@tallygate/core'
import { chargesFor } from './entry-row.ts'
import type { EntryTable } from './schema.ts'

/** What of a row makes events. */
export type EventRow = Pick<EntryTable, 'id' | 'kind' | 'at_ms' | 'detail'>

const MOST_ENTRIES = 10_000

/** Entries of a page. */
export function pageSize({ limit = MOST_ENTRIES }: CounterEventQuery): number {
  return Math.max(1, limit)
}

/** One row more than a page holds tells that there is another. */
export function eventPageOf(rows: readonly EventRow[], query: CounterEventQuery): CounterEventPage {
  const limit = pageSize(query)
  const page = rows.slice(0, limit)
  const events = page.flatMap((row) => eventsOfRow(row, query))
  const last = page.at(-1)
  return rows.length <= limit || last === undefined ? { events } : { events, next: { atMs: last.at_ms, id: last.id } }
}

export function startsOf(
  rows: readonly EventRow[],
  query: Pick<CounterEventQuery, 'counters'>,
): readonly WindowStartEvent[] {
  return rows.flatMap((row) => eventsOf(JSON.parse(row.detail) as Entry, query) as WindowStartEvent[])
}

function eventsOfRow({ id, kind, at_ms: atMs, detail }: EventRow, query: CounterEventQuery): CounterEvent[] {
  if (kind !== 'usage') return eventsOf(JSON.parse(detail) as Entry, query)
  const { admittedAtMs, charged } = chargesFor(detail, query.counters)
  return Array.from({ length: charged.length / 3 }, (_, index): CounterEvent => {
    const [counter, reserved, actual] = charged.slice(index * 3, index * 3 + 3) as [number, number, number]
    return { id, atMs, counter, kind: 'usage', admittedAtMs, reserved, actual }
  })
}
