import { randomBytes } from 'node:crypto'
import { closeSync, ftruncateSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { lockJournal, type JournalLock } from './journal-lock.ts'
import type { Row } from './storable-row.ts'

/**
 * Rows on their way into the database, each a line of its checksum and a JSON list: durable as soon as they are written,
 * for a fraction of what a transaction costs, so that the database can take hundreds at once. One file for each that
 * writes, beside the database, locked as long as it is written.
 */
export class EntryJournal {
  readonly #file: string
  readonly #lock: JournalLock
  readonly #descriptor: number
  readonly #isSynced: boolean
  /** Bytes that are whole lines. */
  #length = 0
  /** There may be more in the file than whole lines. */
  #isTorn = false

  /** @param isSynced Whether rows survive a loss of power too. */
  constructor(database: string, isSynced: boolean) {
    this.#file = `${database}-entries-${randomBytes(8).toString('hex')}`
    // Before the file is there: whoever sees the file must find it locked.
    const lock = lockJournal(this.#file)
    if (lock === undefined) throw new Error(`${this.#file}.lock is held by somebody else`)
    this.#lock = lock
    try {
      this.#descriptor = openSync(this.#file, 'ax', 0o600)
    } catch (error) {
      lock.release()
      throw error
    }
    this.#isSynced = isSynced
  }

  /** Writes rows: all of them, or none. */
  append(rows: readonly Row[]): void {
    let text = ''
    for (const row of rows) text += lineOf(row)
    const bytes = Buffer.from(text)
    if (this.#isTorn) this.#cut()
    this.#isTorn = true
    try {
      for (let written = 0; written < bytes.length;) written += writeSync(this.#descriptor, bytes, written)
      if (this.#isSynced) fsyncSync(this.#descriptor)
    } catch (error) {
      this.#cut()
      throw error
    }
    this.#length += bytes.length
    this.#isTorn = false
  }

  /** The database has all rows. */
  clear(): void {
    this.#length = 0
    this.#isTorn = true
    this.#cut()
  }

  /** Closes the file; removes it if it is empty, else leaves it to whoever opens the database next. */
  close(): void {
    closeSync(this.#descriptor)
    if (this.#length === 0) rmSync(this.#file, { force: true })
    this.#lock.release()
  }

  /** Without what is no whole line: what is written next would become a part of it. */
  #cut(): void {
    ftruncateSync(this.#descriptor, this.#length)
    this.#isTorn = false
  }
}

function lineOf(row: Row): string {
  const json = JSON.stringify(row)
  return `${crc32(json)} ${json}\n`
}
