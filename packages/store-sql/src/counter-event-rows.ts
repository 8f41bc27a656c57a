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

/** A page on its way from one thread to the other: numbers, as a hundred thousand objects take long to copy. */
export interface PackedEvents {
  readonly ids: readonly string[]
  /** Of each charge: index of its row, `atMs`, time of admission, index of its counter, reserved and actual amount. */
  readonly figures: Float64Array<ArrayBuffer>
  /** What is not of a call, and the index of its row. Seldom there. */
  readonly others: readonly { readonly row: number; readonly events: readonly CounterEvent[] }[]
  readonly next?: CounterEventPage['next']
}

const FIGURES = 6

/** One row more than a page holds tells that there is another. */
export function packEvents(rows: readonly EventRow[], query: CounterEventQuery): PackedEvents {
  const limit = pageSize(query)
  const page = rows.slice(0, limit)
  const figures: number[] = []
  const others: { row: number; events: CounterEvent[] }[] = []
  for (const [row, { kind, at_ms: atMs, detail }] of page.entries()) {
    if (kind !== 'usage') {
      others.push({ row, events: eventsOf(JSON.parse(detail) as Entry, query) })
      continue
    }
    const { admittedAtMs, charged } = chargesFor(detail, query.counters)
    for (let at = 0; at < charged.length; at += 3)
      figures.push(row, atMs, admittedAtMs, charged[at]!, charged[at + 1]!, charged[at + 2]!)
  }
  const packed = { ids: page.map(({ id }) => id), figures: new Float64Array(figures), others }
  const last = page.at(-1)
  return rows.length <= limit || last === undefined ? packed : { ...packed, next: { atMs: last.at_ms, id: last.id } }
}

/** The page that was packed. */
export function unpackEvents({ ids, figures, others, next }: PackedEvents): CounterEventPage {
  const events: CounterEvent[] = []
  let other = 0
  const othersUpTo = (row: number): void => {
    for (; other < others.length && others[other]!.row < row; other += 1) events.push(...others[other]!.events)
  }
  for (let at = 0; at < figures.length; at += FIGURES) {
    const row = figures[at]!
    othersUpTo(row)
    events.push({
      id: ids[row]!,
      atMs: figures[at + 1]!,
      counter: figures[at + 3]!,
      kind: 'usage',
      admittedAtMs: figures[at + 2]!,
      reserved: figures[at + 4]!,
      actual: figures[at + 5]!,
    })
  }
  othersUpTo(Infinity)
  return next === undefined ? { events } : { events, next }
}

export function startsOf(
  rows: readonly EventRow[],
  query: Pick<CounterEventQuery, 'counters'>,
): readonly WindowStartEvent[] {
  return rows.flatMap((row) => eventsOf(JSON.parse(row.detail) as Entry, query) as WindowStartEvent[])
}
