import { randomBytes } from 'node:crypto'
import {
  closeSync,
  ftruncateSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { QuotaError } from '@tallygate/core'

/** Values of one row, in the order of the ledger's columns. */
export type Row = readonly (string | number | null)[]

/**
 * Rows on their way into the database, one JSON list a line: durable as soon as they are written, for a fraction of what a
 * transaction costs, so that the database can take hundreds at once. One file for each that writes, beside the database.
 */
export class EntryJournal {
  readonly #file: string
  readonly #descriptor: number
  readonly #isSynced: boolean
  /** Bytes that are whole lines. */
  #length = 0

  /** @param isSynced Whether rows survive a loss of power too. */
  constructor(database: string, isSynced: boolean) {
    this.#file = `${database}-entries-${process.pid}-${randomBytes(4).toString('hex')}`
    this.#descriptor = openSync(this.#file, 'a', 0o600)
    this.#isSynced = isSynced
  }

  /** Writes rows: all of them, or none. */
  append(rows: readonly Row[]): void {
    let text = ''
    for (const row of rows) text += `${JSON.stringify(row)}\n`
    const bytes = Buffer.from(text)
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(this.#descriptor, bytes, written)
      if (this.#isSynced) fsyncSync(this.#descriptor)
    } catch (error) {
      ftruncateSync(this.#descriptor, this.#length)
      throw error
    }
    this.#length += bytes.length
  }

  /** The database has all rows. */
  clear(): void {
    ftruncateSync(this.#descriptor, 0)
    this.#length = 0
  }

  /** Closes the file; removes it if it is empty. */
  close(): void {
    closeSync(this.#descriptor)
    if (this.#length === 0) rmSync(this.#file, { force: true })
  }
}

/** What writers that are gone have left beside a database. */
export function journalsLeft(database: string): readonly string[] {
  const prefix = `${basename(database)}-entries-`
  const folder = dirname(database)
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix))
    .filter((name) => isLeft(join(folder, name), Number(name.slice(prefix.length).split('-')[0])))
    .map((name) => join(folder, name))
}

/**
 * The rows of a journal. A last line without its end was never acknowledged, and is left out.
 *
 * @throws QuotaError `ERR_QUOTA_LEDGER_UNAVAILABLE` for a damaged line before that.
 */
export function rowsLeft(journal: string, columns: number): readonly Row[] {
  const lines = readFileSync(journal, 'utf8').split('\n')
  lines.pop()
  return lines.map((line, index) => {
    const row = parsed(line)
    if (Array.isArray(row) && row.length === columns) return row as Row
    throw new QuotaError(
      'ERR_QUOTA_LEDGER_UNAVAILABLE',
      `${journal}:${index + 1} is no row of this version: mend the line, or move the file away`,
    )
  })
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** Whether nobody writes this journal any more: its process is gone, or was one of an earlier life with our id. */
function isLeft(file: string, pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  if (pid === process.pid) return statSync(file).mtimeMs < performance.timeOrigin
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
