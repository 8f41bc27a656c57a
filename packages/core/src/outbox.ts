import type { Entry } from './entry.ts'
import { QuotaError } from './quota-error.ts'

/** Where entries wait that the ledger can't take yet. Bounded. */
export interface Outbox {
  /** @throws QuotaError `ERR_QUOTA_OUTBOX_FULL`; nothing was added. */
  put(entries: readonly Entry[]): Promise<void>
  /** The oldest entries, at most `most`. They stay until they are removed. */
  peek(most: number): Promise<readonly Entry[]>
  remove(entries: readonly Entry[]): Promise<void>
  /** Keeps an entry that the ledger will never take, for people to look at. Absent: nothing is kept of it. */
  setAside?(entry: Entry): Promise<void>
  readonly size: number
  close(): Promise<void>
}

/** An outbox that bridges an outage of the ledger, and ends with its process. */
export class MemoryOutbox implements Outbox {
  readonly #entries = new Map<string, Entry>()
  readonly #most: number

  /** @param most Entries it holds. Default: 10,000. */
  constructor({ most = 10_000 }: { readonly most?: number } = {}) {
    this.#most = most
  }

  get size(): number {
    return this.#entries.size
  }

  async put(entries: readonly Entry[]): Promise<void> {
    const added = new Map<string, Entry>()
    for (const entry of entries) {
      const key = keyOf(entry)
      if (!this.#entries.has(key) && !added.has(key)) added.set(key, entry)
    }
    if (this.#entries.size + added.size > this.#most) {
      throw new QuotaError(
        'ERR_QUOTA_OUTBOX_FULL',
        `the outbox holds ${this.#most} entries: bring the ledger back, or allow more`,
      )
    }
    for (const [key, entry] of added) this.#entries.set(key, entry)
  }

  async peek(most: number): Promise<readonly Entry[]> {
    return this.#entries.values().take(most).toArray()
  }

  async remove(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) this.#entries.delete(keyOf(entry))
  }

  async close(): Promise<void> {}
}

function keyOf({ tenant, id }: Entry): string {
  return `${tenant} ${id}`
}
