import { mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import {
  completeUsageQuery,
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
import { Kysely, sql, SqliteDialect, type RawBuilder } from 'kysely'
import { Migrator } from 'kysely/migration'
import { eventRowsQuery, windowStartsQuery } from './counter-event-query.ts'
import { startsOf, unpackEvents, type EventRow } from './counter-event-rows.ts'
import { EntryJournal, journalsLeft, rowsLeft, type Row } from './entry-journal.ts'
import { ENTRY_COLUMNS, entryOf, rowOf, usageEntryOf } from './entry-row.ts'
import { migrationProvider } from './migrations.ts'
import type { EntryTable, Schema } from './schema.ts'
import { SqliteReader } from './sqlite-reader.ts'
import { conditions, groupQuery, totalQuery, type SumRow } from './usage-sums.ts'

export interface SqliteLedgerOptions {
  /** Path of the database; its folder is made if it is not there. */
  readonly file: string
  /**
   * What an entry survives once it is appended. `process`: the process being killed. `power`: the machine losing power,
   * at the cost of a flush to the disk for each batch. Default: `process`.
   */
  readonly durability?: 'process' | 'power'
}

/** How long opening waits for another process that holds the file. */
const OPEN_TIMEOUT_MS = 5_000
/** How long an append waits for one: the event loop waits with it. After that, entries go to the outbox. */
const BUSY_TIMEOUT_MS = 20

/** Rows reach the database together with those of this time: a row costs half as much among hundreds. */
const STORE_AFTER_MS = 50
const MOST_AT_ONCE = 500
/** More wait only for a database that takes none. */
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
  readonly #insert: StatementSync
  readonly #journal: EntryJournal
  /** In the journal, and not in the database yet. */
  #waiting: Row[] = []
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  private constructor(file: string, database: DatabaseSync, db: Kysely<Schema>, isSynced: boolean) {
    this.#database = database
    this.#db = db
    this.#reader = new SqliteReader(file, 'tallygate-reports')
    this.#counterReader = new SqliteReader(file, 'tallygate-counters')
    this.#insert = database.prepare(insertSql(db))
    for (const left of journalsLeft(file)) {
      this.#insertAll(rowsLeft(left, ENTRY_COLUMNS.length))
      rmSync(left, { force: true })
    }
    this.#journal = new EntryJournal(file, isSynced)
  }

  /**
   * Opens a file, creates it if it is not there, and brings its schema up to date.
   *
   * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE` for a file that can't be opened, or is newer than this version.
   */
  static async open({ file, durability = 'process' }: SqliteLedgerOptions): Promise<SqliteLedger> {
    try {
      mkdirSync(dirname(file), { recursive: true })
      const database = new DatabaseSync(file, { timeout: OPEN_TIMEOUT_MS })
      database.exec(`pragma journal_mode = wal; pragma synchronous = ${durability === 'power' ? 'full' : 'normal'}`)
      const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: forKysely(database) }) })
      const { error } = await new Migrator({ db, provider: migrationProvider }).migrateToLatest()
      if (error !== undefined) throw error
      database.exec(`pragma busy_timeout = ${BUSY_TIMEOUT_MS}`)
      return new SqliteLedger(file, database, db, durability === 'power')
    } catch (error) {
      throw unavailable(`the ledger ${file} can't be opened`, error)
    }
  }

  async append(entries: readonly Entry[]): Promise<void> {
    try {
      if (this.#waiting.length > MOST_WAITING) this.#store()
      const rows = entries.map(storableRow)
      this.#journal.append(rows)
      this.#waiting.push(...rows)
    } catch (error) {
      throw unavailable('the ledger took no entries', error)
    }
    if (this.#waiting.length >= MOST_AT_ONCE) this.#storeOrWait()
    this.#timer ??= setTimeout(() => this.#storeOrWait(), STORE_AFTER_MS).unref()
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
    const older = before === undefined ? sql`` : sql`and (at_ms, id) < (${before.atMs}, ${before.id})`
    const rows = await this.#read(sql`
      select * from entries where ${conditions(filter)} ${older}
      order by at_ms desc, id desc limit ${Math.min(limit, 1_000)}`)
    return rows.map((row) => usageEntryOf(row as unknown as EntryTable))
  }

  async counterEvents(query: CounterEventQuery): Promise<CounterEventPage> {
    try {
      this.#store()
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

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#timer)
    try {
      this.#store()
    } catch (error) {
      throw unavailable('the last entries stay in their journal until the ledger is opened again', error)
    } finally {
      this.#journal.close()
      await Promise.all([this.#reader.close(), this.#counterReader.close()])
      this.#database.close()
    }
  }

  /** Brings what waits into the database; what it does not take now, it takes later. */
  #storeOrWait(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      this.#store()
    } catch {
      this.#timer = setTimeout(() => this.#storeOrWait(), STORE_AFTER_MS).unref()
    }
  }

  #store(): void {
    if (this.#waiting.length === 0) return
    this.#insertAll(this.#waiting)
    this.#waiting = []
    this.#journal.clear()
  }

  #insertAll(rows: readonly Row[]): void {
    this.#database.exec('begin immediate')
    try {
      for (const row of rows) this.#insert.run(...(row as SQLInputValue[]))
      this.#database.exec('commit')
    } catch (error) {
      this.#database.exec('rollback')
      throw error
    }
  }

  async #read(query: RawBuilder<unknown>, reader = this.#reader): Promise<Record<string, unknown>[]> {
    try {
      this.#store()
      const { sql: text, parameters } = query.compile(this.#db)
      return await reader.all(text, parameters)
    } catch (error) {
      throw unavailable('the ledger could not be read', error)
    }
  }
}

/** What the database would refuse must not stay in the journal. */
function storableRow(entry: Entry): Row {
  const { tenant, id, atMs } = entry
  if (typeof tenant !== 'string' || typeof id !== 'string' || !Number.isSafeInteger(atMs))
    throw new TypeError(`an entry has tenant ${tenant}, id ${id} and atMs ${atMs}: it needs two strings and an instant`)
  return rowOf(entry)
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

/** `node:sqlite` in the shape that Kysely's dialect knows. */
function forKysely(database: DatabaseSync): ConstructorParameters<typeof SqliteDialect>[0]['database'] {
  return {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql)
      const spread = (parameters: readonly unknown[]): SQLInputValue[] => [...(parameters as SQLInputValue[])]
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...spread(parameters)),
        run: (parameters) => statement.run(...spread(parameters)),
        iterate: (parameters) => statement.iterate(...spread(parameters)),
      }
    },
  }
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
