import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { QuotaError } from '@tallygate/core'
import { makeFolder } from './make-folder.ts'

/** The key by which credentials are fingerprinted. Whoever has it can test guesses; nobody can read keys out of it. */
export type Pepper = KeyObject

const LEAST_CHARACTERS = 32

/**
 * A pepper from a text of at least 32 characters, as a secret of the deployment.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for a shorter one.
 */
export function pepperOf(text: string): Pepper {
  const trimmed = text.trim()
  if (trimmed.length < LEAST_CHARACTERS) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `the pepper has ${trimmed.length} characters: use at least ${LEAST_CHARACTERS}, at random`,
    )
  }
  return createSecretKey(Buffer.from(trimmed, 'utf8'))
}

/**
 * The pepper in a file, which is created with a random one, readable by its owner alone, if it is not there. Processes
 * that create it at the same time all get the same.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` when the file can be neither read nor created, or holds less than a pepper.
 */
export function pepperFromFile(file: string): Pepper {
  try {
    return pepperOf(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unusable(file, error)
  }
  try {
    create(file)
    return pepperOf(readFileSync(file, 'utf8'))
  } catch (error) {
    throw unusable(file, error)
  }
}

/** Writes beside the file and links it into place, so that nobody reads half of it and nobody overwrites another's. */
function create(file: string): void {
  makeFolder(dirname(file))
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  writeFileSync(draft, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  try {
    linkSync(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft)
  }
}

function unusable(file: string, cause: unknown): QuotaError {
  const remedy =
    cause instanceof QuotaError
      ? 'write a longer secret into it, or remove it, so that a new one is made'
      : 'make its folder writable, or set TALLYGATE_PEPPER to a secret of the deployment'
  return new QuotaError(
    'ERR_QUOTA_CONFIG',
    `the pepper file ${file} can't be used (${(cause as Error).message}): ${remedy}`,
    { cause },
  )
}
