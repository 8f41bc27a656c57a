import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/**
 * Makes a folder that is not there, with those above it, for its owner alone, one after the other from the top: the
 * recursive `mkdirSync` of Node.js goes on without end in a folder that takes none and says ENOENT to that, as those of
 * `/proc` do. Throws what the file system says.
 */
export function makeFolder(folder: string): void {
  if (isThere(folder)) return
  const above = dirname(folder)
  if (above !== folder) makeFolder(above)
  try {
    mkdirSync(folder, { mode: 0o700 })
  } catch (error) {
    // Another process was first.
    if (!isThere(folder)) throw error
  }
}

function isThere(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
}
