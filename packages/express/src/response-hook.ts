import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { Answer, AnswerSink } from '@tallygate/flow'
import type { Response } from 'express'
import type { QuotaContext } from './quota-context.ts'

type Callback = (error?: Error | null) => void
type HeadersArgument = OutgoingHttpHeaders | OutgoingHttpHeader[]

/** The methods by which an answer is written, whoever writes it. */
interface Written {
  writeHead(status: number, ...rest: unknown[]): unknown
  write(chunk: unknown, ...rest: unknown[]): boolean
  end(...args: unknown[]): unknown
  destroy(error?: Error): unknown
}
/** What writes an answer, and stops when it is destroyed. */
interface Stoppable {
  destroy(): unknown
}
type HookedResponse = Response & { [HOOK]: ResponseHook }

const HOOK = Symbol('tallygate answer')

/**
 * Leads the answer of a request through its metering: whoever writes it, a proxy or a handler, and however it ends. The
 * answer is recorded before its end leaves.
 */
export function hookResponse(res: Response, context: QuotaContext): void {
  if (!context.claimAnswer()) return
  const hook = new ResponseHook(res, context)
  const hooked = res as HookedResponse
  hooked[HOOK] = hook
  Object.assign(hooked, HOOKED)
  res.on('close', closed).on('pipe', piped)
}

/** Says who writes an answer without being piped into it: where the answer is cut, it is destroyed. */
export function writtenBy(res: Response, source: Stoppable): void {
  ;(res as Partial<HookedResponse>)[HOOK]?.piped(source)
}

/**
 * What takes the place of the response's own methods: the same functions for all responses. A function made for each, and
 * kept in it, would keep the whole call alive until V8's next major collection; see docs/benchmarks.md.
 */
const HOOKED = {
  writeHead(this: HookedResponse, status: number, ...rest: unknown[]): Response {
    return this[HOOK].writeHead(status, rest)
  },
  write(this: HookedResponse, chunk: unknown, ...rest: unknown[]): boolean {
    return this[HOOK].write(chunk, rest)
  },
  end(this: HookedResponse, ...args: unknown[]): Response {
    return this[HOOK].end(args)
  },
  destroy(this: HookedResponse, error?: Error): Response {
    return this[HOOK].destroy(error)
  },
}

function closed(this: HookedResponse): void {
  this[HOOK].closed()
}

function piped(this: HookedResponse, source: Readable): void {
  this[HOOK].piped(source)
}

class ResponseHook implements AnswerSink {
  readonly #res: Response
  readonly #answer: Answer
  /** As they were: the response's own, or those of a middleware that came before. */
  readonly #original: Written
  #isHeadDone = false
  #isEnding = false
  #isFailing = false
  /** The answer was cut: what still comes for it is nobody's. */
  #isCut = false
  /** What writes the response: the provider's answer. */
  #source: Stoppable | undefined
  /** What the last write said: whether the caller keeps up. */
  #keepsUp = true
  /** Of the write that is on its way: for the bytes that go out for it. */
  #written: Callback | undefined

  constructor(res: Response, { call }: QuotaContext) {
    this.#res = res
    // oxlint-disable-next-line typescript/unbound-method -- they are called with the response as `this`
    const { writeHead, write, end, destroy } = res as unknown as Written
    this.#original = { writeHead, write, end, destroy }
    this.#answer = call.answer(this)
  }

  /** Sends bytes to the caller; for the answer. */
  push(bytes: Buffer): void {
    const written = this.#written
    this.#written = undefined
    this.#keepsUp = this.#original.write.call(this.#res, bytes, written)
  }

  /**
   * Stops the provider: what is piped into the response is destroyed, what a handler still writes goes nowhere. The answer
   * ends with these bytes; where there are none that could tell its end, the connection breaks.
   */
  cut(ending: Promise<Buffer | undefined>): void {
    this.#isCut = true
    this.#source?.destroy()
    void this.#endWith(ending)
  }

  piped(source: Stoppable): void {
    this.#source = source
    if (this.#isCut) source.destroy()
  }

  /** The connection is gone. The end of an answer that did end is on its way through the books already. */
  closed(): void {
    if (!this.#answer.isFinished) this.#answer.abort().catch(() => {})
  }

  writeHead(status: number, rest: unknown[]): Response {
    const message = typeof rest[0] === 'string' ? rest[0] : undefined
    const headers = (typeof rest[0] === 'string' ? rest[1] : rest[0]) as HeadersArgument | undefined
    if (headers !== undefined && !this.#res.headersSent) setAll(this.#res, headers)
    this.#res.statusCode = status
    this.#head()
    if (message === undefined) this.#original.writeHead.call(this.#res, status)
    else this.#original.writeHead.call(this.#res, status, message)
    return this.#res
  }

  write(chunk: unknown, rest: unknown[]): boolean {
    const callback = callbackOf(rest)
    if (this.#isEnding || this.#isFailing || this.#isCut) {
      if (callback !== undefined) process.nextTick(callback)
      // Whoever writes on by itself, after a cut, must not wait for a response that takes nothing more.
      return this.#isCut
    }
    this.#head()
    this.#keepsUp = true
    this.#written = callback
    this.#answer.write(bytesOf(chunk, rest[0]))
    // Nothing went out for it yet: it is kept back, or being decoded.
    if (this.#written !== undefined) process.nextTick(this.#written)
    this.#written = undefined
    if (!this.#answer.isBusy) return this.#keepsUp
    void this.#answer.settled().then(() => {
      if (!this.#res.writableNeedDrain) this.#res.emit('drain')
    })
    return false
  }

  end(args: unknown[]): Response {
    const callback = callbackOf(args)
    if (this.#isEnding || this.#isFailing || this.#isCut) {
      if (callback !== undefined) this.#res.once('finish', callback)
      return this.#res
    }
    this.#isEnding = true
    this.#head()
    const [chunk] = args
    const last =
      typeof chunk === 'function' || chunk === undefined || chunk === null ? undefined : bytesOf(chunk, args[1])
    void this.#leave(last, callback)
    return this.#res
  }

  /**
   * A proxy destroys the response when its provider breaks off. If the caller is still there, and reads an event stream,
   * the stream ends with an event that says so.
   */
  destroy(error?: Error): Response {
    const { socket } = this.#res
    if (this.#isFailing || this.#isCut) return this.#res
    if (this.#answer.isFinished || this.#isEnding || !this.#res.headersSent || socket === null || socket.destroyed) {
      // A caller who is gone has used something; a provider that broke off before its answer has not.
      const ended = this.#res.req.socket.destroyed ? this.#answer.abort() : this.#answer.fail()
      ended.catch(() => {})
      this.#original.destroy.call(this.#res, error)
      return this.#res
    }
    this.#isFailing = true
    void this.#breakOff(error)
    return this.#res
  }

  /** Shows the head to the answer, once, while it can still be changed. */
  #head(): void {
    if (this.#isHeadDone) return
    this.#isHeadDone = true
    const res = this.#res
    const { set, remove } = this.#answer.head(res.statusCode, res)
    if (res.headersSent) return
    for (const name of remove) res.removeHeader(name)
    for (const name in set) res.setHeader(name, set[name]!)
  }

  async #leave(last: Buffer | undefined, callback: Callback | undefined): Promise<void> {
    const res = this.#res
    try {
      const held = await this.#answer.end(last)
      if (this.#isCut && callback !== undefined) res.once('finish', callback)
      if (this.#isCut || res.destroyed) return
      if (held === undefined) this.#original.end.call(res, callback)
      else this.#original.end.call(res, held, callback)
    } catch (error) {
      this.#original.destroy.call(res, error as Error)
    }
  }

  async #endWith(ending: Promise<Buffer | undefined>): Promise<void> {
    const original = this.#original
    try {
      const bytes = await ending
      if (bytes === undefined) original.destroy.call(this.#res)
      else if (!this.#res.destroyed) original.end.call(this.#res, bytes)
    } catch (error) {
      original.destroy.call(this.#res, error as Error)
    }
  }

  async #breakOff(error: Error | undefined): Promise<void> {
    const event = await this.#answer.fail().catch(() => undefined)
    if (event === undefined) this.#original.destroy.call(this.#res, error)
    else this.#original.end.call(this.#res, event)
  }
}

function setAll(res: Response, headers: HeadersArgument): void {
  if (!Array.isArray(headers)) {
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) res.setHeader(name, value)
    return
  }
  const pairs = Array.isArray(headers[0]) ? (headers as unknown as [string, string][]) : pairsOf(headers as string[])
  const seen = new Set<string>()
  for (const [name, value] of pairs) {
    if (seen.has(name.toLowerCase())) res.appendHeader(name, value)
    else res.setHeader(name, value)
    seen.add(name.toLowerCase())
  }
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return Array.from({ length: Math.floor(flat.length / 2) }, (_, index) => [flat[2 * index]!, flat[2 * index + 1]!])
}

function bytesOf(chunk: unknown, encoding: unknown): Buffer {
  if (typeof chunk === 'string')
    return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
  if (Buffer.isBuffer(chunk)) return chunk
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
  throw new TypeError(`the chunk of an answer is ${typeof chunk}: write a string, a Buffer or a Uint8Array`)
}

function callbackOf(args: readonly unknown[]): Callback | undefined {
  return args.find((arg): arg is Callback => typeof arg === 'function')
}
