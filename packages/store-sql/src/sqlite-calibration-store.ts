import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import {
  configError,
  isSample,
  mergedSamples,
  MOST_NAME_CHARACTERS,
  QuotaError,
  SERIES_KEPT,
  type CalibrationSample,
  type CalibrationSeries,
  type CalibrationStore,
} from '@tallygate/core'
import { makeFolderOf, openingFault } from './database-file.ts'
import type { CalibrationTable } from './schema.ts'
import { upToDate } from './schema-update.ts'
import { isBusy } from './sqlite-busy.ts'

export interface SqliteCalibrationStoreOptions {
  /** Path of the database; its folder is made if it is not there. That of a ledger will do. */
  readonly file: string
  /** Series that are kept, from 1. Default: 5,000. */
  readonly most?: number
}

const OPEN_TIMEOUT_MS = 5_000
/** How long adding waits for another process that has the file locked, and how often it looks. */
const PATIENCE_MS = 1_000
const LOOK_EVERY_MS = 20
/** Series in one transaction: one or two milliseconds of the event loop. */
const MOST_AT_ONCE = 10

/** What was learned, in a SQLite file. Processes that share it add to the same series. */
export class SqliteCalibrationStore implements CalibrationStore {
  readonly #database: DatabaseSync
  readonly #statements: Readonly<Record<'page' | 'find' | 'remove' | 'insert' | 'count' | 'trim', StatementSync>>
  readonly #most: number
  #isClosed = false

  private constructor(database: DatabaseSync, most: number) {
    this.#database = database
    this.#most = most
    this.#statements = {
      page: database.prepare('select name, samples from calibration order by turn desc limit ? offset ?'),
      find: database.prepare('select samples from calibration where name = ?'),
      remove: database.prepare('delete from calibration where name = ?'),
      insert: database.prepare(
        'insert into calibration (turn, name, samples) values ((select coalesce(max(turn), 0) + 1 from calibration), ?, ?)',
      ),
      count: database.prepare('select count(*) as series from calibration'),
      trim: database.prepare(
        'delete from calibration where turn in (select turn from calibration order by turn limit ?)',
      ),
    }
  }

  /**
   * Opens a file, creates it if it is not there, and brings its schema up to date.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` for a file that can't be opened, or is newer than this version;
   * `ERR_QUOTA_CONFIG` for options that can't work.
   */
  static async open({ file, most = SERIES_KEPT }: SqliteCalibrationStoreOptions): Promise<SqliteCalibrationStore> {
    if (!Number.isInteger(most) || most < 1)
      throw configError('SqliteCalibrationStore.most', most, 'use a whole number from 1')
    let database: DatabaseSync | undefined
    try {
      makeFolderOf(file)
      database = new DatabaseSync(file, { timeout: OPEN_TIMEOUT_MS })
      database.exec('pragma journal_mode = wal; pragma synchronous = normal')
      await upToDate(database)
      // From here on nothing waits for another process with the event loop.
      database.exec('pragma busy_timeout = 0')
      return new SqliteCalibrationStore(database, most)
    } catch (error) {
      database?.close()
      if (error instanceof QuotaError) throw error
      const message = `what was learned can't be kept in ${file}: ${openingFault(error)}`
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', message, { cause: error })
    }
  }

  async load({ offset, limit }: { offset: number; limit: number }): Promise<readonly CalibrationSeries[]> {
    try {
      const rows = this.#statements.page.all(limit, offset) as unknown as CalibrationTable[]
      return rows.map(({ name, samples }) => ({ name, samples: samplesOf(samples) }))
    } catch (error) {
      throw unavailable('what was learned could not be read', error)
    }
  }

  async add(series: readonly CalibrationSeries[]): Promise<void> {
    for (let from = 0; from < series.length; from += MOST_AT_ONCE) {
      await this.#patiently(() => this.#write(series.slice(from, from + MOST_AT_ONCE)))
      // Calls, and other processes, get their turn in between.
      await nextTurn()
    }
    if (series.length > 0) await this.#patiently(() => this.#trim())
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#database.close()
  }

  async #patiently(write: () => void): Promise<void> {
    const untilMs = performance.now() + PATIENCE_MS
    for (;;) {
      try {
        return write()
      } catch (error) {
        if (!isBusy(error) || performance.now() >= untilMs) throw unavailable('what was learned was not kept', error)
        await delay(LOOK_EVERY_MS)
      }
    }
  }

  /** Forgets those that learned longest ago, of more than are kept. */
  #trim(): void {
    const { series } = this.#statements.count.get() as { series: number }
    if (series > this.#most) this.#statements.trim.run(series - this.#most)
  }

  #write(series: readonly CalibrationSeries[]): void {
    this.#database.exec('begin immediate')
    try {
      for (const { name, samples } of series) {
        const good = samples.filter(isSample)
        if (good.length === 0 || name === '' || name.length > MOST_NAME_CHARACTERS) continue
        const { find, remove, insert } = this.#statements
        const known = find.get(name) as unknown as Pick<CalibrationTable, 'samples'> | undefined
        const merged = mergedSamples(known === undefined ? [] : samplesOf(known.samples), good)
        remove.run(name)
        insert.run(name, JSON.stringify(merged.map(({ counted, reported, atMs }) => [counted, reported, atMs])))
      }
      this.#database.exec('commit')
    } catch (error) {
      // Some failures, such as a full disk, end the transaction by themselves.
      if (this.#database.isTransaction) this.#database.exec('rollback')
      throw error
    }
  }
}

/** What can't be read is as if it had not been learned. */
function samplesOf(text: string): CalibrationSample[] {
  let rows: unknown
  try {
    rows = JSON.parse(text)
  } catch {
    return []
  }
  if (!Array.isArray(rows)) return []
  return rows
    .filter((row): row is unknown[] => Array.isArray(row))
    .map(([counted, reported, atMs]) => ({ counted, reported, atMs }) as CalibrationSample)
    .filter(isSample)
}

function unavailable(message: string, cause: unknown): QuotaError {
  if (cause instanceof QuotaError) return cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `${message}: ${reason}`, { cause })
}
