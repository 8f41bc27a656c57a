import { DatabaseSync } from 'node:sqlite'
import {
  completeUsageQuery,
  configError,
  NO_USAGE,
  QuotaError,
  type CounterEventPage,
  type CounterEventQuery,
  type Entry,
  type EntryPage,
  type Ledger,
  type UsageEntry,
  type UsageFilter,
  type UsagePage,
  type UsageQuery,
  type UsageRow,
  type UsageSum,
  type WindowStartEvent,
} from '@tallygate/core'
import { sql, type Kysely, type RawBuilder } from 'kysely'
import { eventRowsQuery, windowStartsQuery } from './counter-event-query.ts'
import { startsOf, unpackEvents, type EventRow } from './counter-event-rows.ts'
import { makeFolderOf, openingFault } from './database-file.ts'
import { EntryJournal } from './entry-journal.ts'
import { ENTRY_COLUMNS, entryOf, usageEntryOf } from './entry-row.ts'
import { takeJournalsLeft, writersOf } from './journals-left.ts'
import type { LedgerOutage } from './outage-notice.ts'
import { insertRows, RowWriter } from './row-writer.ts'
import type { EntryTable, Schema } from './schema.ts'
import { upToDate } from './schema-update.ts'
import { SqliteReader } from './sqlite-reader.ts'
import { storableRow } from './storable-row.ts'
import { conditions, groupQuery, totalQuery, type SumRow } from './usage-sums.ts'

export interface SqliteLedgerOptions {
  /** Path of the database; its folder is made if it is not there. */
  readonly file: string
  /**
   * What an entry survives once it is appended. `process`: the process being killed. `power`: the machine losing power,
   * at the cost of a flush to the disk for each batch. Default: `process`.
   */
  readonly durability?: 'process' | 'power'
  /**
   * Entries that wait in the journal while the database takes none, as it is locked; an append beyond that fails. From 1.
   * Default: 10,000.
   */
  readonly mostWaiting?: number
  /**
   * Told of lines, in the journal of a process that is gone, that can't be read: they are set aside in a file.
   * Default: nobody is.
   */
  readonly onDamage?: (file: string, lines: number) => void
  /** Told, when it is opened, how many others write to the same file just now, where there are some. Default: nobody is. */
  readonly onShared?: (others: number) => void
  /**
   * Told when the database takes no entries: at once, or, while it is locked, after a second; then once a minute; and when it
   * has taken all that waited. Until then they wait in the journal. Default: nobody is.
   */
  readonly onOutage?: (outage: LedgerOutage) => void
}

/** How long opening waits for another process that holds the file. */
const OPEN_TIMEOUT_MS = 5_000
const MOST_WAITING = 10_000

/**
 * The embedded ledger: one SQLite file, through `node:sqlite`. What is appended is durable at once, in a journal beside the
 * database, which takes it 50 ms later, or before the next question. Reports are read by another thread.
 */
export class SqliteLedger implements Ledger {
  readonly #database: DatabaseSync
  readonly #db: Kysely<Schema>
  readonly #reader: SqliteReader
  /** A thread of its own: decisions wait for counters that are rebuilt, and must not stand behind a report. */
  readonly #counterReader: SqliteReader
  readonly #writer: RowWriter
  #closed: Promise<void> | undefined

  private constructor(file: string, { database, db, writer }: Opened) {
    this.#database = database
    this.#db = db
    this.#writer = writer
    this.#reader = new SqliteReader(file, 'tallygate-reports')
    this.#counterReader = new SqliteReader(file, 'tallygate-counters')
  }

  /**
   * Opens a file, creates it if it is not there, and brings its schema up to date.
   *
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE` for a file that can't be opened, or is newer than this version;
   * `ERR_QUOTA_CONFIG` for options that can't work.
   */
  static async open(options: SqliteLedgerOptions): Promise<SqliteLedger> {
    const { file, mostWaiting = MOST_WAITING } = options
    if (!Number.isInteger(mostWaiting) || mostWaiting < 1)
      throw configError('SqliteLedger.mostWaiting', mostWaiting, 'use a whole number from 1')
    let database: DatabaseSync | undefined
    try {
      makeFolderOf(file)
      database = new DatabaseSync(file, { timeout: OPEN_TIMEOUT_MS })
      return new SqliteLedger(file, await opened(database, { ...options, mostWaiting }))
    } catch (error) {
      database?.close()
      if (error instanceof QuotaError) throw error
      const message = `the ledger ${file} can't be opened: ${openingFault(error)}`
      throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', message, { cause: error })
    }
  }

  /** Entries that are in the journal, and not in the database yet: of the last 50 ms, or while it takes none. */
  get waiting(): number {
    return this.#writer.waiting
  }

  async append(entries: readonly Entry[]): Promise<void> {
    const rows = entries.map(storableRow)
    try {
      this.#writer.append(rows)
    } catch (error) {
      throw unavailable('the ledger took no entries', error)
    }
  }

  async sum(query: UsageQuery): Promise<UsagePage> {
    const complete = completeUsageQuery(query)
    const { filter, by, offset, limit } = complete
    const [total] = await this.#read(totalQuery(filter))
    if (by.length === 0) {
      const sum = sumOf(total)
      return { rows: offset === 0 ? [{ ...sum, group: {} }] : [], total: sum }
    }
    const rows = await this.#read(groupQuery(complete))
    const page = rows.slice(0, limit).map((row): UsageRow => {
      const group = Object.fromEntries(by.map((name) => [name, row[name] as string | null]))
      return { ...sumOf(row), group }
    })
    return { rows: page, total: sumOf(total), ...(rows.length > limit ? { nextOffset: offset + limit } : {}) }
  }

  async entries(filter: UsageFilter, { before, limit = 100 }: EntryPage = {}): Promise<readonly UsageEntry[]> {
    // The range ends where the page begins, and the planner can't take another one: else each page passes over all before.
    const older = before === undefined ? sql`` : sql`and (+at_ms, id) < (${before.atMs}, ${before.id})`
    const toMs = before === undefined ? filter.toMs : Math.min(filter.toMs, Math.floor(before.atMs) + 1)
    const rows = await this.#read(sql`
      select * from entries where ${conditions({ ...filter, toMs })} ${older}
      order by at_ms desc, id desc limit ${Math.min(limit, 1_000)}`)
    return rows.map((row) => usageEntryOf(row as unknown as EntryTable))
  }

  async counterEvents(query: CounterEventQuery): Promise<CounterEventPage> {
    try {
      await this.#writer.bringIn()
      const { sql: text, parameters } = eventRowsQuery(query).compile(this.#db)
      return unpackEvents(await this.#counterReader.events(text, parameters, query))
    } catch (error) {
      throw unavailable('the ledger could not be read', error)
    }
  }

  async windowStarts(query: Parameters<Ledger['windowStarts']>[0]): Promise<readonly WindowStartEvent[]> {
    if (query.counters.length === 0) return []
    const rows = await this.#read(windowStartsQuery(query, query.toMs), this.#counterReader)
    return startsOf(rows as unknown as EventRow[], query)
  }

  async find(tenant: string, ids: readonly string[]): Promise<readonly Entry[]> {
    if (ids.length === 0) return []
    const rows = await this.#read(
      sql`select * from entries where tenant = ${tenant} and id in (${sql.join(ids)})`,
      this.#counterReader,
    )
    return rows.map((row) => entryOf(row as unknown as EntryTable))
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    try {
      await this.#writer.close()
    } catch (error) {
      throw unavailable('the last entries stay in their journal until the ledger is opened again', error)
    } finally {
      await Promise.all([this.#reader.close(), this.#counterReader.close()])
      this.#database.close()
    }
  }

  async #read(query: RawBuilder<unknown>, reader = this.#reader): Promise<Record<string, unknown>[]> {
    try {
      await this.#writer.bringIn()
      const { sql: text, parameters } = query.compile(this.#db)
      return await reader.all(text, parameters)
    } catch (error) {
      throw unavailable('the ledger could not be read', error)
    }
  }
}

interface Opened {
  readonly database: DatabaseSync
  readonly db: Kysely<Schema>
  readonly writer: RowWriter
}

/** A database that is up to date and has what earlier writers left beside it, and who writes to it. */
async function opened(
  database: DatabaseSync,
  {
    file,
    durability,
    mostWaiting,
    onDamage = () => {},
    onShared = () => {},
    onOutage = () => {},
  }: SqliteLedgerOptions & { readonly mostWaiting: number },
): Promise<Opened> {
  const isSynced = durability === 'power'
  database.exec(`pragma journal_mode = wal; pragma synchronous = ${isSynced ? 'full' : 'normal'}`)
  const db = await upToDate(database)
  const insert = database.prepare(insertSql(db))
  takeJournalsLeft(file, { store: (rows) => insertRows(database, insert, rows), onDamage })
  // From here on nothing waits for another process with the event loop.
  database.exec('pragma busy_timeout = 0')
  const journal = new EntryJournal(file, isSynced)
  // Behind its own journal: of two that open it at once, the later one sees the other.
  const others = writersOf(file) - 1
  if (others > 0) onShared(others)
  return { database, db, writer: new RowWriter({ database, insert, journal, mostWaiting, onOutage }) }
}

/**
 * The insert is compiled once: compiling it anew costs more than running it. A call that has ended after all replaces what
 * was written when it `expired`.
 */
function insertSql(db: Kysely<Schema>): string {
  const values = Object.fromEntries(ENTRY_COLUMNS.map((column) => [column, '']))
  return db
    .insertInto('entries')
    .values(values as never)
    .onConflict((conflict) =>
      conflict
        .columns(['tenant', 'id'])
        .doUpdateSet(Object.fromEntries(ENTRY_COLUMNS.map((column) => [column, sql.ref(`excluded.${column}`)])))
        .where(sql<boolean>`entries.outcome = 'expired' and excluded.kind = 'usage' and excluded.outcome <> 'expired'`),
    )
    .compile().sql
}

function sumOf(row: SumRow | undefined): UsageSum {
  const figures = Object.fromEntries(Object.keys(NO_USAGE).map((figure) => [figure, Number(row?.[figure] ?? 0)]))
  const sum = figures as unknown as UsageSum
  return sum
}

function unavailable(message: string, cause: unknown): QuotaError {
  if (cause instanceof QuotaError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `${message}: ${reason}`, { cause })
}
