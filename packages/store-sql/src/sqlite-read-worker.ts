import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { packEvents, type EventRow } from './counter-event-rows.ts'
import type { ReadReply, ReadRequest } from './sqlite-reader.ts'

const database = new DatabaseSync(workerData as string, { readOnly: true, timeout: 5_000 })

parentPort?.on('message', ({ id, sql, parameters, events }: ReadRequest) => {
  let reply: ReadReply
  let moved: ArrayBuffer[] = []
  try {
    const rows = database.prepare(sql).all(...(parameters as SQLInputValue[])) as Record<string, unknown>[]
    // Rows have no prototype, which no message can carry over.
    if (events === undefined) reply = { id, found: rows.map((row) => ({ ...row })) }
    else {
      const found = packEvents(rows as unknown as EventRow[], events)
      reply = { id, found }
      moved = [found.figures.buffer]
    }
  } catch (error) {
    reply = { id, error: error instanceof Error ? error.message : String(error) }
  }
  parentPort?.postMessage(reply, moved)
})
