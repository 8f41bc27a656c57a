import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { isBusy } from './sqlite-busy.ts'

/**
 * Makes the folder of a database where it is not there, one after the other from the top: the recursive `mkdirSync` of
 * Node.js goes on without end in a folder that takes none and says ENOENT to that, as those of `/proc` do.
 */
export function makeFolderOf(file: string): void {
  const folder = dirname(file)
  if (isThere(folder)) return
  if (folder !== file) makeFolderOf(folder)
  try {
    mkdirSync(folder)
  } catch (error) {
    // Another process was first.
    if (!isThere(folder)) throw error
  }
}

/** Why a database can't be opened, and what to do. */
export function openingFault(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error)
  if (isBusy(error)) return `${reason}: another process has it locked; try again when it is done`
  if (/^corrupted migrations: .* is missing$/.test(reason))
    return `${reason}: a newer version has made it; use that one, or name another file`
  if (/not a database|malformed/.test(reason)) return `${reason}: name another file, or put a copy of it back`
  return `${reason}: name a file, in a folder, that this process may write to`
}

function isThere(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true
}
