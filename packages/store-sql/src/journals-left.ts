import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { lockJournal } from './journal-lock.ts'
import { storableValues, type Row } from './storable-row.ts'

/** What becomes of the rows and lines of a journal that is taken up. */
export interface JournalTaker {
  /** Has stored all of them when it returns. */
  readonly store: (rows: readonly Row[]) => void
  /** Told of lines that are no rows, and of the file in which they are now. */
  readonly onDamage: (file: string, lines: number) => void
}

/**
 * Takes up the journals that writers who are gone have left beside a database. Should the process die here, they are taken
 * up again: what was stored already is left as it is.
 */
export function takeJournalsLeft(database: string, { store, onDamage }: JournalTaker): void {
  for (const journal of journalsOf(database)) {
    const lock = lockJournal(journal)
    if (lock === undefined) continue
    try {
      const { rows, damaged } = linesOf(journal)
      store(rows)
      if (damaged.length > 0) {
        writeFileSync(`${journal}.damaged`, Buffer.concat(damaged), { mode: 0o600 })
        onDamage(`${journal}.damaged`, damaged.length)
      }
      rmSync(journal, { force: true })
    } finally {
      lock.release()
    }
  }
}

/** How many write to a database just now, whoever they are. */
export function writersOf(database: string): number {
  return journalsOf(database).filter((journal) => {
    const lock = lockJournal(journal)
    lock?.release()
    return lock === undefined
  }).length
}

function journalsOf(database: string): readonly string[] {
  const folder = dirname(database)
  const prefix = `${basename(database)}-entries-`
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && /^[0-9a-f]+$/.test(name.slice(prefix.length)))
    .map((name) => join(folder, name))
}

/** Rows, and lines that are none: damaged ones, and one at the end that was not finished. */
function linesOf(journal: string): { rows: readonly Row[]; damaged: readonly Buffer[] } {
  const rows: Row[] = []
  const damaged: Buffer[] = []
  const bytes = bytesOf(journal)
  for (let start = 0, end = 0; start < bytes.length; start = end) {
    end = bytes.indexOf(0x0a, start) + 1
    if (end === 0) end = bytes.length
    const line = bytes.subarray(start, end)
    const row = rowOf(line)
    if (row === undefined) damaged.push(line)
    else rows.push(row)
  }
  return { rows, damaged }
}

/** Empty where somebody else has taken it up since it was listed. */
function bytesOf(journal: string): Buffer {
  try {
    return readFileSync(journal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw error
  }
}

function rowOf(line: Buffer): Row | undefined {
  if (line.at(-1) !== 0x0a) return undefined
  const space = line.indexOf(0x20)
  const json = line.subarray(space + 1, -1)
  if (line.toString('latin1', 0, Math.max(0, space)) !== String(crc32(json))) return undefined
  return storableValues(JSON.parse(json.toString()))
}
