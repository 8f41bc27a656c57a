import { join } from 'node:path'
import { makeFolder } from '@tallygate/identity'

/** A folder that no other process has as long as this one lives. */
export interface FolderLock {
  release(): void
}

/**
 * Takes a folder for this process, or answers `undefined` where another process has it. The lock is SQLite's, on an empty
 * file: the operating system gives it back when the process ends, however it ends, and it says the truth where process
 * ids do not, as between containers. Not over a network file system.
 */
export async function lockFolder(folder: string): Promise<FolderLock | undefined> {
  makeFolder(folder)
  // Loaded here, as only those who keep an outbox need it.
  const { DatabaseSync } = await import('node:sqlite')
  const database = new DatabaseSync(join(folder, 'lock'), { timeout: 0 })
  try {
    database.exec('pragma locking_mode = exclusive; begin exclusive')
  } catch (error) {
    database.close()
    if (String(error).includes('locked')) return undefined
    throw error
  }
  return { release: () => database.close() }
}
