import { rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { isBusy } from './sqlite-busy.ts'

/** Says that a journal has somebody who writes it, or takes it up. */
export interface JournalLock {
  release(): void
}

/**
 * Locks a journal, or answers `undefined` where somebody has it. The lock is SQLite's, on an empty file: the operating
 * system gives it back when the process ends, however it ends, and it says the truth where process ids do not, as between
 * containers and after a restart.
 */
export function lockJournal(journal: string): JournalLock | undefined {
  const path = `${journal}.lock`
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('pragma journal_mode = memory; begin exclusive')
  } catch (error) {
    database.close()
    if (isBusy(error)) return undefined
    throw error
  }
  const release = (): void => {
    database.close()
    rmSync(path, { force: true })
  }
  return { release }
}
