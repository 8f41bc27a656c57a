import { readdirSync, statSync } from 'node:fs'
import { open, rename, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { configError, QuotaError, type Entry, type Outbox } from '@tallygate/core'
import { lockFolder, type FolderLock } from './folder-lock.ts'
import { lineOf, readSegment } from './outbox-segment.ts'

export interface FileOutboxOptions {
  /** Where the files are; each process has a folder of its own in it, and takes over those of processes that are gone. */
  readonly folder: string
  /** Entries that it holds, from 1. Default: 100,000. */
  readonly most?: number
  /** Bytes that it takes on the disk. Default: 100 MB. */
  readonly mostBytes?: number
  /** What an entry survives once it was put: the process being killed, or the machine losing power. Default: `process`. */
  readonly durability?: 'process' | 'power'
  /** Told of lines that can't be read, and are passed over. Default: nobody is. */
  readonly onDamage?: (path: string, lines: number) => void
}

/** A file that is read, written, or both. */
interface SegmentFile {
  readonly path: string
  bytes: number
  /** Entries in it that were not removed. */
  left: number
  /** Lines that can't be read. */
  readonly damaged: number
}

const SEGMENT = /^\d{6,}\.jsonl$/
const SEGMENT_BYTES = 1_000_000
/** Entries that the ledger will never take, in each process's folder. Nothing reads it but people. */
const REFUSED = 'refused.jsonl'
const MOST_REFUSED_BYTES = 10_000_000
const MOST_FOLDERS = 1_000

/**
 * An outbox that outlives its process: entries are lines in files, appended as they come, and a file goes when all of it is
 * in the ledger. What was removed from a file that is still there comes again after a crash, which ledgers leave as it is.
 */
export class FileOutbox implements Outbox {
  readonly #options: FileOutboxOptions
  readonly #folder: string
  readonly #locks: readonly FolderLock[]
  /** Oldest first. */
  readonly #segments: SegmentFile[]
  /** What the oldest file still holds, once it was read. */
  #head: readonly Entry[] | undefined
  /** The newest file, as long as it is written to. */
  #file: FileHandle | undefined
  #nextNumber: number
  #size: number
  #bytes: number
  #working: Promise<unknown> = Promise.resolve()

  private constructor(options: FileOutboxOptions, folder: string, locks: readonly FolderLock[], found: SegmentFile[]) {
    this.#options = options
    this.#folder = folder
    this.#locks = locks
    this.#segments = found
    const numbers = found.map(({ path }) => Number(/(\d+)\.jsonl$/.exec(path)![1]))
    this.#nextNumber = Math.max(0, ...numbers) + 1
    this.#size = found.reduce((sum, { left }) => sum + left, 0)
    this.#bytes = found.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /**
   * Opens the outbox of a process, with what earlier ones have left.
   *
   * @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work, or a folder that can't be written.
   */
  static async open(options: FileOutboxOptions): Promise<FileOutbox> {
    const { folder, most = 1, mostBytes = 1 } = options
    if (typeof folder !== 'string' || folder === '') throw configError('FileOutbox.folder', folder, 'use a path')
    for (const [name, value] of Object.entries({ most, mostBytes }))
      if (!Number.isInteger(value) || value < 1)
        throw configError(`FileOutbox.${name}`, value, 'use a whole number from 1')
    try {
      const taken = await takeFolders(folder)
      const found: SegmentFile[] = []
      for (const { path } of taken) found.push(...(await segmentsIn(path, options)))
      found.sort((one, other) => (one.path < other.path ? -1 : 1))
      return new FileOutbox(
        options,
        taken[0]!.path,
        taken.map(({ lock }) => lock),
        found,
      )
    } catch (error) {
      if (error instanceof QuotaError) throw error
      const reason = error instanceof Error ? error.message : String(error)
      throw new QuotaError('ERR_QUOTA_CONFIG', `the outbox ${folder} can't be opened: ${reason}`, { cause: error })
    }
  }

  get size(): number {
    return this.#size
  }

  put(entries: readonly Entry[]): Promise<void> {
    return this.#next(() => this.#put(entries))
  }

  peek(most: number): Promise<readonly Entry[]> {
    return this.#next(async () => (await this.#oldest()).slice(0, most))
  }

  /** Removes what was peeked. Entries that are not among the oldest are not there any more, and left alone. */
  remove(entries: readonly Entry[]): Promise<void> {
    return this.#next(() => this.#remove(entries))
  }

  /** Adds it to `refused.jsonl`, up to 10 MB: what is more is not kept. */
  setAside(entry: Entry): Promise<void> {
    return this.#next(async () => {
      const file = await open(join(this.#folder, REFUSED), 'a', 0o600)
      try {
        const { size } = await file.stat()
        if (size < MOST_REFUSED_BYTES) await file.write(lineOf(entry))
      } finally {
        await file.close()
      }
    })
  }

  /** Leaves what is in it for the next process. */
  async close(): Promise<void> {
    await this.#next(async () => {
      await this.#seal()
      for (const lock of this.#locks) lock.release()
    })
  }

  /** One after the other: files are written in order. */
  #next<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#working.then(work, work)
    this.#working = next.catch(() => {})
    return next
  }

  async #put(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return
    const { most = 100_000, mostBytes = 100_000_000, durability } = this.#options
    const lines = Buffer.from(entries.map(lineOf).join(''))
    if (this.#size + entries.length > most || this.#bytes + lines.length > mostBytes) {
      throw new QuotaError(
        'ERR_QUOTA_OUTBOX_FULL',
        `the outbox ${this.#folder} holds ${this.#size} entries of ${most}, ${this.#bytes} bytes of ${mostBytes}: bring the ledger back, or allow more`,
      )
    }
    const segment = await this.#open()
    try {
      await writeAll(this.#file!, lines, segment.bytes)
      if (durability === 'power') await this.#file!.datasync()
    } catch (error) {
      // A part of it may be there. What follows goes into another file, so that it does not end up in a broken line.
      await this.#file!.truncate(segment.bytes).catch(() => {})
      await this.#seal()
      const reason = error instanceof Error ? error.message : String(error)
      throw new QuotaError('ERR_QUOTA_OUTBOX_FULL', `the outbox ${this.#folder} can't be written: ${reason}`, {
        cause: error,
      })
    }
    segment.bytes += lines.length
    segment.left += entries.length
    this.#bytes += lines.length
    this.#size += entries.length
  }

  /** The file that is written to; a new one where it has become too long, or is being read. */
  async #open(): Promise<SegmentFile> {
    const newest = this.#segments.at(-1)
    if (this.#file !== undefined && newest !== undefined && newest.bytes < SEGMENT_BYTES) return newest
    await this.#seal()
    const path = join(this.#folder, `${String(this.#nextNumber).padStart(6, '0')}.jsonl`)
    this.#nextNumber += 1
    this.#file = await open(path, 'wx', 0o600)
    if (this.#options.durability === 'power') await syncFolder(this.#folder)
    const segment = { path, bytes: 0, left: 0, damaged: 0 }
    this.#segments.push(segment)
    return segment
  }

  async #seal(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  async #oldest(): Promise<readonly Entry[]> {
    for (;;) {
      const [oldest] = this.#segments
      if (oldest === undefined) return []
      if (this.#head === undefined) {
        if (this.#segments.length === 1) await this.#seal()
        this.#head = (await readSegment(oldest.path)).entries
      }
      if (this.#head.length > 0) return this.#head
      await this.#drop(oldest)
    }
  }

  async #remove(entries: readonly Entry[]): Promise<void> {
    const [oldest] = this.#segments
    if (oldest === undefined || this.#head === undefined) return
    const gone = new Set(entries.map(keyOf))
    const left = this.#head.filter((entry) => !gone.has(keyOf(entry)))
    const removed = this.#head.length - left.length
    this.#head = left
    oldest.left -= removed
    this.#size -= removed
    if (left.length === 0) await this.#drop(oldest)
  }

  async #drop(oldest: SegmentFile): Promise<void> {
    this.#segments.shift()
    this.#head = undefined
    this.#bytes -= oldest.bytes
    // What could not be read is not there.
    this.#size -= oldest.left
    // Somebody may still make sense of a file that we can't read.
    if (oldest.damaged > 0) await rename(oldest.path, `${oldest.path}.damaged`)
    else await unlink(oldest.path)
  }
}

/** Takes a folder that nobody has, and all those of processes that are gone. */
async function takeFolders(folder: string): Promise<{ path: string; lock: FolderLock }[]> {
  const taken: { path: string; lock: FolderLock }[] = []
  for (let number = 1; number <= MOST_FOLDERS; number += 1) {
    const path = join(folder, String(number))
    const isThere = statSync(path, { throwIfNoEntry: false }) !== undefined
    if (!isThere && taken.length > 0) return taken
    const lock = await lockFolder(path)
    if (lock !== undefined) taken.push({ path, lock })
  }
  if (taken.length > 0) return taken
  throw new QuotaError('ERR_QUOTA_CONFIG', `${folder} is the outbox of ${MOST_FOLDERS} processes: use another folder`)
}

async function segmentsIn(folder: string, { onDamage }: FileOutboxOptions): Promise<SegmentFile[]> {
  const found: SegmentFile[] = []
  for (const name of readdirSync(folder)
    .filter((each) => SEGMENT.test(each))
    .sort()) {
    const path = join(folder, name)
    const { entries, damaged } = await readSegment(path)
    if (damaged > 0) onDamage?.(path, damaged)
    if (entries.length === 0 && damaged === 0) await unlink(path)
    else found.push({ path, bytes: statSync(path).size, left: entries.length, damaged })
  }
  return found
}

/** So that the file itself is there after a loss of power, and not only what is in it. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  await handle.sync()
  await handle.close()
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let written = 0; written < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, at + written)
    written += bytesWritten
  }
}

function keyOf({ tenant, id }: Entry): string {
  return `${tenant} ${id}`
}
