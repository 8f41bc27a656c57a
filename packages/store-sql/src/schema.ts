/** Tables as Kysely sees them. Instants in milliseconds since the epoch; JSON as text; booleans as 0 and 1. */
export interface Schema {
  entries: EntryTable
  calibration: CalibrationTable
}

/** The ledger. Rows are only ever added, and replaced where a call that `expired` has ended after all. What reports sum or filter by has a column; the rest is in `detail`. */
export interface EntryTable {
  tenant: string
  id: string
  kind: 'usage' | 'adjustment' | 'window-start'
  at_ms: number
  /** Of a call; else the partition and the name of the counter that was adjusted or begun. */
  subject: string | null
  user_name: string | null
  group_name: string | null
  plan: string | null
  provider: string | null
  operation: string | null
  model: string | null
  outcome: string | null
  overage: number
  basis: string | null
  input_tokens: number | null
  output_tokens: number | null
  /** Only where neither input nor output is known: else it is their sum. */
  total_tokens: number | null
  cache_read_tokens: number | null
  cache_write_tokens: number | null
  reasoning_tokens: number | null
  /** What has no column, as JSON: see `entry-row.ts`. */
  detail: string
}

/** What was learned of estimates: a row for each series, made anew whenever it learns. */
export interface CalibrationTable {
  /** Greater than that of every series that learned before. */
  turn: number
  name: string
  /** `[[counted, reported, atMs], …]` as JSON, oldest first. */
  samples: string
}
