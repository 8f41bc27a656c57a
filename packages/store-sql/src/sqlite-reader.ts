import { Worker } from 'node:worker_threads'

/** A query as it goes to the reader. */
export interface ReadRequest {
  readonly id: number
  readonly sql: string
  readonly parameters: readonly unknown[]
}

/** What comes back. */
export type ReadReply =
  | { readonly id: number; readonly rows: Record<string, unknown>[] }
  | { readonly id: number; readonly error: string }

interface Asked {
  readonly resolve: (rows: Record<string, unknown>[]) => void
  readonly reject: (error: Error) => void
}

/**
 * Reads a SQLite file in a thread of its own, through a connection of its own, so that a report over a million entries
 * holds up neither calls nor writes. Started by the first query.
 */
export class SqliteReader {
  readonly #file: string
  readonly #asked = new Map<number, Asked>()
  #worker: Worker | undefined
  #nextId = 0

  constructor(file: string) {
    this.#file = file
  }

  all(sql: string, parameters: readonly unknown[]): Promise<Record<string, unknown>[]> {
    return new Promise((resolve, reject) => {
      this.#nextId += 1
      this.#asked.set(this.#nextId, { resolve, reject })
      const worker = (this.#worker ??= this.#start())
      worker.ref()
      worker.postMessage({ id: this.#nextId, sql, parameters } satisfies ReadRequest)
    })
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
    this.#fail(new Error('the ledger was closed'))
  }

  #start(): Worker {
    const worker = new Worker(new URL('./sqlite-read-worker.js', import.meta.url), {
      name: 'tallygate-reports',
      workerData: this.#file,
    })
    worker.on('message', (reply: ReadReply) => {
      const asked = this.#asked.get(reply.id)
      this.#asked.delete(reply.id)
      if ('rows' in reply) asked?.resolve(reply.rows)
      else asked?.reject(new Error(reply.error))
      if (this.#asked.size === 0) worker.unref()
    })
    worker.on('error', (error) => {
      if (worker === this.#worker) this.#worker = undefined
      this.#fail(error)
    })
    return worker
  }

  #fail(error: Error): void {
    for (const { reject } of this.#asked.values()) reject(error)
    this.#asked.clear()
  }
}
