import { QuotaError } from '@tallygate/core'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Figures that a recording can state, and a replay prints. */
export const REPLAYED_FIGURES = ['input', 'output', 'total', 'cacheRead', 'cacheWrite', 'reasoning'] as const

/** One recorded call: a line of an index beside the folder of its bodies. */
export interface Recording {
  readonly id: string
  readonly provider: string
  readonly api: string
  readonly method?: string
  /** Default: 200, or 400 for an error. */
  readonly status: number
  readonly url: string
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, unknown>>
  readonly request: unknown
  /** Of the body that was received, relative to the index; `null`: there was none. */
  readonly responsePath: string | null
  /** Figures as they are to be reported; `null`: the provider stated none. */
  readonly expected: Readonly<Record<string, unknown>> | null
}

/**
 * The recordings of an index: JSON lines, each as {@link Recording}.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for a file that can't be read, or a line that is no recording, by its number.
 */
export function readRecordings(index: string): readonly Recording[] {
  const lines = read(index, `name an index of recordings that is there`).toString('utf8').split('\n')
  return lines.flatMap((line, at) => (line.trim() === '' ? [] : [recordingOf(line, `${index}:${at + 1}`)]))
}

/**
 * The body that a recording received.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` where it can't be read.
 */
export function readBody(index: string, { id, responsePath }: Recording): Buffer {
  return responsePath === null ? Buffer.alloc(0) : read(join(dirname(index), responsePath), `it is the body of ${id}`)
}

function read(file: string, remedy: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new QuotaError('ERR_QUOTA_CONFIG', `${file} can not be read (${reasonOf(error)}): ${remedy}`, {
      cause: error,
    })
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function recordingOf(line: string, at: string): Recording {
  let row: unknown
  try {
    row = JSON.parse(line)
  } catch (error) {
    throw new QuotaError('ERR_QUOTA_CONFIG', `${at}: is no JSON: an index has one recording a line`, { cause: error })
  }
  if (!isObject(row)) throw wrong(at, 'the line', row, 'an object')
  const { id, provider, api, method, kind, url, headers, request, responsePath } = row
  const { status = kind === 'error' ? 400 : 200, expected = null } = row
  if (typeof id !== 'string' || id === '') throw wrong(at, 'id', id, 'a text')
  if (typeof provider !== 'string') throw wrong(at, 'provider', provider, 'a text')
  if (typeof api !== 'string') throw wrong(at, 'api', api, 'a text')
  if (typeof status !== 'number' || !Number.isInteger(status)) throw wrong(at, 'status', status, 'a status of HTTP')
  if (responsePath !== null && responsePath !== undefined && typeof responsePath !== 'string')
    throw wrong(at, 'responsePath', responsePath, 'a path or null')
  if (expected !== null && !isObject(expected)) throw wrong(at, 'expected', expected, 'an object or null')
  return {
    id,
    provider,
    api,
    ...(typeof method === 'string' ? { method } : {}),
    status,
    url: typeof url === 'string' ? url : '',
    headers: isObject(headers) ? headers : {},
    request,
    responsePath: responsePath ?? null,
    expected,
  }
}

function wrong(at: string, member: string, value: unknown, wanted: string): QuotaError {
  const shown = JSON.stringify(value)?.slice(0, 80) ?? 'absent'
  return new QuotaError('ERR_QUOTA_CONFIG', `${at}: ${member} is ${shown}: it must be ${wanted}`)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
