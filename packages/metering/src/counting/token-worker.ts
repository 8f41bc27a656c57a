import { parentPort } from 'node:worker_threads'
import { countTask } from './count-task.ts'
import type { TokenReply, TokenRequest } from './token-work.ts'

parentPort?.on('message', ({ id, task, deadlineMs }: TokenRequest) => {
  let reply: TokenReply
  try {
    reply = { id, count: countTask(task, deadlineMs) }
  } catch (error) {
    // A trap in WebAssembly leaves its memory unusable: only the end of the thread gives that back. What a body can
    // cause (no JSON, too deep, too long) does not cost the encoders.
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error
    reply = { id, error: error.name }
  }
  parentPort?.postMessage(reply)
})
