import { readFile, truncate } from 'node:fs/promises'
import { crc32 } from 'node:zlib'
import type { Entry } from '@tallygate/core'

/** One entry as a line: its checksum, a space, its JSON. */
export function lineOf(entry: Entry): string {
  const json = JSON.stringify(entry)
  return `${checksum(json)} ${json}\n`
}

/** What a file of lines holds. */
export interface Segment {
  readonly entries: readonly Entry[]
  /** Lines that are not what was written. */
  readonly damaged: number
}

/**
 * Reads a file of lines, and cuts off the line at its end that a killed process has not finished. A line that is damaged
 * in the middle is passed over, as each stands for itself.
 */
export async function readSegment(path: string): Promise<Segment> {
  const bytes = await readFile(path)
  const end = bytes.lastIndexOf(0x0a) + 1
  if (end < bytes.length) await truncate(path, end)
  const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1)
  const entries = lines.flatMap((line) => entryOf(line) ?? [])
  return { entries, damaged: lines.length - entries.length }
}

function entryOf(line: string): Entry | undefined {
  const json = line.slice(9)
  if (line.slice(0, 9) !== `${checksum(json)} `) return undefined
  return JSON.parse(json) as Entry
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}
