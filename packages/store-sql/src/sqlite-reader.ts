import { Worker } from 'node:worker_threads'
import type { CounterEventQuery } from '@tallygate/core'
import type { PackedEvents } from './counter-event-rows.ts'

/** A query as it goes to the reader. */
export interface ReadRequest {
  readonly id: number
  readonly sql: string
  readonly parameters: readonly unknown[]
  /** Rows are to become events of these counters, over there. */
  readonly events?: CounterEventQuery
}

/** What comes back. */
export type ReadReply =
  | { readonly id: number; readonly found: Record<string, unknown>[] | PackedEvents }
  | { readonly id: number; readonly error: string }

interface Asked {
  readonly resolve: (found: never) => void
  readonly reject: (error: Error) => void
}

/**
 * Reads a SQLite file in a thread of its own, through a connection of its own, so that a report over a million entries
 * holds up neither calls nor writes. Started by the first query.
 */
export class SqliteReader {
  readonly #file: string
  readonly #name: string
  readonly #asked = new Map<number, Asked>()
  #worker: Worker | undefined
  #nextId = 0

  /** @param name Of the thread. */
  constructor(file: string, name: string) {
    this.#file = file
    this.#name = name
  }

  all(sql: string, parameters: readonly unknown[]): Promise<Record<string, unknown>[]> {
    return this.#ask({ sql, parameters })
  }

  events(sql: string, parameters: readonly unknown[], events: CounterEventQuery): Promise<PackedEvents> {
    return this.#ask({ sql, parameters, events })
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
    this.#fail(new Error('the ledger was closed'))
  }

  #ask<T>(request: Omit<ReadRequest, 'id'>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#nextId += 1
      this.#asked.set(this.#nextId, { resolve, reject })
      const worker = (this.#worker ??= this.#start())
      worker.ref()
      worker.postMessage({ id: this.#nextId, ...request } satisfies ReadRequest)
    })
  }

  #start(): Worker {
    const worker = new Worker(new URL('./sqlite-read-worker.js', import.meta.url), {
      name: this.#name,
      workerData: this.#file,
    })
    worker.on('message', (reply: ReadReply) => {
      const asked = this.#asked.get(reply.id)
      this.#asked.delete(reply.id)
      if ('found' in reply) asked?.resolve(reply.found as never)
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
