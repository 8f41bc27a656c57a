import { Worker } from 'node:worker_threads'
import { outputText } from './output-text.ts'
import { BYTES_PER_TOKEN, type TokenCount, type TokenReply, type TokenRequest, type TokenTask } from './token-work.ts'

export interface TokenCounterOptions {
  /** How long one text is counted before the rest is extrapolated, in milliseconds. Default: 200: with what is around a
   * count, it is answered within 250. */
  readonly deadlineMs?: number
  /** Bytes of texts that wait their turn; more are guessed from their size at once. Default: 64 MiB. */
  readonly maxQueueBytes?: number
}

interface Waiting {
  readonly request: TokenRequest
  readonly resolve: (count: TokenCount) => void
}

/** A worker that says nothing for this long after a task's deadline is ended. Loading the encoder takes up to 2 s. */
const GRACE_MS = 5_000

/**
 * Counts tokens with tiktoken, in a worker thread that is started by the first count: nothing is loaded while providers
 * report what was used, and no text blocks the event loop. A count always comes: the exact one, or, past its deadline, in
 * a full queue, or from a worker that died, a guess and a bound from the text's bytes.
 */
export class TokenCounter {
  readonly #deadlineMs: number
  readonly #maxQueueBytes: number
  readonly #queue: Waiting[] = []
  #queuedBytes = 0
  #worker: Worker | undefined
  #running: Waiting | undefined
  #watchdog: NodeJS.Timeout | undefined
  #nextId = 0
  #isClosed = false

  constructor({ deadlineMs = 200, maxQueueBytes = 64 * 1_048_576 }: TokenCounterOptions = {}) {
    this.#deadlineMs = deadlineMs
    this.#maxQueueBytes = maxQueueBytes
  }

  /** Whether a worker, and with it the tokenizer, was started. */
  get isLoaded(): boolean {
    return this.#worker !== undefined
  }

  /** Whether nothing is counted, and nothing waits for it. */
  get isIdle(): boolean {
    return this.#running === undefined && this.#queue.length === 0
  }

  /** Never rejects. */
  count(task: TokenTask): Promise<TokenCount> {
    const bytes = bytesOf(task)
    if (this.#isClosed || this.#queuedBytes + bytes > this.#maxQueueBytes) return Promise.resolve(boundOf(task))
    this.#queuedBytes += bytes
    return new Promise((resolve) => {
      this.#nextId += 1
      this.#queue.push({ request: { id: this.#nextId, task, deadlineMs: this.#deadlineMs }, resolve })
      this.#next()
    })
  }

  /** Ends the worker. What waits is answered with its bound. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#queuedBytes = 0
    for (const waiting of this.#queue.splice(0)) waiting.resolve(boundOf(waiting.request.task))
    await this.#abandon()
  }

  #next(): void {
    if (this.#running !== undefined) return
    const next = this.#queue.shift()
    this.#running = next
    if (next === undefined) {
      this.#worker?.unref()
      return
    }
    this.#queuedBytes -= bytesOf(next.request.task)
    const worker = (this.#worker ??= this.#start())
    worker.ref()
    worker.postMessage(next.request)
    this.#watchdog = setTimeout(() => void this.#abandon(), this.#deadlineMs + GRACE_MS)
  }

  #start(): Worker {
    const worker = new Worker(new URL('./token-worker.js', import.meta.url), {
      name: 'tallygate-tokens',
      // Flags of the process (`--input-type`, `--import` of an instrumentation) are not meant for it.
      execArgv: [],
    })
    worker.on('message', (reply: TokenReply) => {
      if (worker !== this.#worker || reply.id !== this.#running?.request.id) return
      this.#finish('count' in reply ? reply.count : boundOf(this.#running.request.task))
    })
    const died = (): void => {
      if (worker === this.#worker) void this.#abandon()
    }
    worker.on('error', died)
    worker.on('exit', died)
    return worker
  }

  #finish(count: TokenCount): void {
    clearTimeout(this.#watchdog)
    const finished = this.#running
    this.#running = undefined
    finished?.resolve(count)
    this.#next()
  }

  /** Gives up the worker, and the count that it runs. */
  async #abandon(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    if (this.#running !== undefined) this.#finish(boundOf(this.#running.request.task))
    await worker?.terminate()
  }
}

function bytesOf(task: TokenTask): number {
  return task.body.byteLength + ('request' in task ? (task.request?.byteLength ?? 0) : 0)
}

/** Of an answer this much is looked through for its text, so that its framing is not taken for words. */
const MOST_LOOKED_THROUGH = 65_536

function boundOf(task: TokenTask): TokenCount {
  const { byteLength } = task.body
  const tokens = Math.ceil((byteLength * shareOfText(task)) / BYTES_PER_TOKEN)
  return { tokens, bound: byteLength, isComplete: false, confidence: 'low', isLowerBound: false }
}

/** How much of an answer is text, judged by its beginning: of an event stream of single words, a hundredth. */
function shareOfText(task: TokenTask): number {
  if (task.kind !== 'output' || task.body.byteLength === 0) return 1
  const beginning = Buffer.from(
    task.body.buffer,
    task.body.byteOffset,
    Math.min(task.body.byteLength, MOST_LOOKED_THROUGH),
  )
  const { texts, toolCalls } = outputText(task.shape, task.framing, beginning.toString('utf8'))
  const written = [...texts, ...toolCalls].reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  // A document that is cut off can't be read: then all of it counts.
  return written === 0 && task.framing === 'json' ? 1 : Math.min(1, written / beginning.length)
}
