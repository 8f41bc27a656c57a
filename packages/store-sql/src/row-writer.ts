import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { QuotaError } from '@tallygate/core'
import type { EntryJournal } from './entry-journal.ts'
import { OutageNotice, type LedgerOutage } from './outage-notice.ts'
import { isBusy } from './sqlite-busy.ts'
import type { Row } from './storable-row.ts'

/** Rows reach the database together with those of this time: a row costs half as much among hundreds. */
const STORE_AFTER_MS = 50
/** More would hold up the event loop for longer than some 5 ms. */
const MOST_AT_ONCE = 500
/** Pauses between tries, while the database takes nothing. */
const LONGEST_PAUSE_MS = 1_000
/** How long a question waits for another process that has the database locked, and how often it looks. */
const PATIENCE_MS = 1_000
const LOOK_EVERY_MS = 20

export interface RowWriterOptions {
  /** Waits for nobody (`busy_timeout` 0), as the event loop would wait with it. */
  readonly database: DatabaseSync
  readonly insert: StatementSync
  readonly journal: EntryJournal
  /** Rows that wait for a database that takes none. */
  readonly mostWaiting: number
  /** Told when the database takes none, and when it has taken all. */
  readonly onOutage: (outage: LedgerOutage) => void
}

/** Brings rows into the journal at once, and into the database a little later, hundreds at a time. */
export class RowWriter {
  readonly #options: RowWriterOptions
  readonly #notice: OutageNotice
  /** In the journal, and not in the database yet. */
  #waiting: Row[] = []
  #appended = 0
  #stored = 0
  #timer: NodeJS.Timeout | undefined
  /** Until the next try; 0 while the database takes what it is given. */
  #pauseMs = 0
  #isClosed = false

  constructor(options: RowWriterOptions) {
    this.#options = options
    this.#notice = new OutageNotice(options.onOutage)
  }

  /** Rows that are in the journal, and not in the database yet. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Writes rows into the journal: all of them, or none, where it fails or too many wait. */
  append(rows: readonly Row[]): void {
    if (this.#isClosed) throw new Error('it is closed')
    const { journal, mostWaiting } = this.#options
    if (this.#waiting.length >= mostWaiting) this.#makeRoom()
    journal.append(rows)
    for (const row of rows) this.#waiting.push(row)
    this.#appended += rows.length
    if (this.#waiting.length >= MOST_AT_ONCE && this.#pauseMs === 0) this.#storeOrWait()
    this.#storeAfter(STORE_AFTER_MS)
  }

  /**
   * Resolves when the database has all that was appended before. Waits up to 1 s for another process that has it locked,
   * then rejects with what SQLite says.
   */
  async bringIn(): Promise<void> {
    const upTo = this.#appended
    const untilMs = performance.now() + PATIENCE_MS
    while (this.#stored < upTo) {
      try {
        this.#store()
      } catch (error) {
        if (!isBusy(error) || performance.now() >= untilMs) throw error
        await delay(LOOK_EVERY_MS)
      }
      if (this.#stored < upTo) await nextTurn()
    }
  }

  /** Brings in what waits; what the database does not take stays in the journal for whoever opens it next. */
  async close(): Promise<void> {
    this.#isClosed = true
    try {
      await this.bringIn()
    } finally {
      clearTimeout(this.#timer)
      this.#options.journal.close()
    }
  }

  #makeRoom(): void {
    const { mostWaiting } = this.#options
    this.#store()
    if (this.#waiting.length >= mostWaiting)
      throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', `${mostWaiting} entries wait for the ledger already`)
  }

  #storeAfter(ms: number): void {
    this.#timer ??= setTimeout(() => this.#storeOrWait(), ms).unref()
  }

  /** Brings what waits into the database; what it does not take now, it takes later. */
  #storeOrWait(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      this.#store()
    } catch {
      this.#pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(STORE_AFTER_MS, this.#pauseMs * 2))
    }
    if (this.#waiting.length > 0) this.#storeAfter(this.#pauseMs)
  }

  #store(): void {
    if (this.#waiting.length === 0) return
    const { database, insert, journal } = this.#options
    const rows = this.#waiting.slice(0, MOST_AT_ONCE)
    try {
      insertRows(database, insert, rows)
    } catch (error) {
      this.#notice.failed(error, this.#waiting.length)
      throw error
    }
    this.#waiting = this.#waiting.slice(rows.length)
    this.#stored += rows.length
    this.#pauseMs = 0
    if (this.#waiting.length > 0) return
    journal.clear()
    this.#notice.tookAll()
  }
}

/** Adds rows in one transaction: all of them, or none. */
export function insertRows(database: DatabaseSync, insert: StatementSync, rows: readonly Row[]): void {
  if (rows.length === 0) return
  database.exec('begin immediate')
  try {
    for (const row of rows) insert.run(...(row as SQLInputValue[]))
    database.exec('commit')
  } catch (error) {
    // Some failures, such as a full disk, end the transaction by themselves.
    if (database.isTransaction) database.exec('rollback')
    throw error
  }
}
