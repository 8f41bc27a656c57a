import type { IncomingHttpHeaders } from 'node:http'
import type { Request, Response } from 'express'
import type { Dispatcher } from 'undici'
import type { Upstream } from './forwarder.ts'
import { hasNoBody, isAnswer, passHead, type ProviderHead } from './provider-answer.ts'
import { failureOf } from './provider-failure.ts'
import { writtenBy } from './response-hook.ts'
import { connectionOfAnswer, hold, release, type UndiciConnection } from './undici-connection.ts'

type Controller = Dispatcher.DispatchController
type Answered = Response & { [ANSWER]?: UndiciAnswer }

const ANSWER = Symbol('answer by undici')
/** Errors by which undici says that a provider was silent. */
const SILENCE: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])
/** Of which an answer has one: the first (as Node reads them). */
const SINGLE: ReadonlySet<string> = new Set([
  'age',
  'content-length',
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
  'server',
])

/** Lets the answer to a request go on to the caller, byte for byte, as undici reads it. */
export class UndiciAnswer implements Dispatcher.DispatchHandler {
  readonly #upstream: Upstream
  readonly #req: Request
  readonly #res: Answered
  #controller: Controller | undefined
  /** Held while the caller does not keep up; for as long as a provider may be silent, then the call has failed. */
  #connection: UndiciConnection | undefined
  #head: ProviderHead | undefined
  /** The first piece of the body, until it is known whether that is all of it. */
  #first: Buffer | undefined
  #hasBody = false
  /** The answer has begun to go on: no other can stand in its place. */
  #isPassed = false
  #isHeld = false
  /** It has ended, was cut, or failed: what still comes is nobody's. */
  #isOver = false

  constructor(upstream: Upstream, req: Request, res: Answered) {
    this.#upstream = upstream
    this.#req = req
    this.#res = res
    res[ANSWER] = this
    res.once('close', closed)
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    // Thrown, so that the connection that has become free is left to the next call.
    if (this.#isOver) throw new Error('the caller has hung up')
  }

  onResponseStart(
    _controller: Controller,
    statusCode: number,
    headers: IncomingHttpHeaders,
    statusMessage?: string,
  ): void {
    if (!isAnswer({ statusCode })) return
    if (this.#res.writableEnded || this.#res.destroyed) return this.destroy()
    for (const name in headers) if (Array.isArray(headers[name])) headers[name] = oneOf(name, headers[name])
    this.#connection = connectionOfAnswer()
    this.#head = { statusCode, statusMessage, headers }
    writtenBy(this.#res, this)
    // undici waits for as many bytes as their heads announce, and fails.
    if (hasNoBody(statusCode)) this.onResponseEnd()
  }

  onResponseData(_controller: Controller, bytes: Buffer): void {
    if (this.#isOver) return
    if (!this.#hasBody) {
      // What came in one piece with its head is all there when undici is done with that piece.
      this.#hasBody = true
      this.#first = bytes
      process.nextTick(goOn, this)
      return
    }
    this.goOn()
    this.#write(bytes)
  }

  onResponseEnd(): void {
    if (this.#isOver) return
    release(this.#connection)
    this.#isOver = true
    this.#passHead()
    if (this.#first === undefined) this.#res.end()
    else this.#res.end(this.#first)
  }

  onResponseError(_controller: Controller, error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isPassed) return void this.#res.destroy(error)
    const wasSilent = SILENCE.has((error as NodeJS.ErrnoException).code ?? '')
    void failureOf({ error, host: this.#upstream.target.hostname ?? '', wasSilent }, this.#req, this.#res)
  }

  /** Nobody wants the rest: the connection to the provider is closed. */
  destroy(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#controller?.abort(new Error('the answer is not wanted any more'))
  }

  /** Sends the first piece, to which the end did not come. */
  goOn(): void {
    const first = this.#first
    if (first === undefined || this.#isOver) return
    this.#first = undefined
    this.#passHead()
    this.#write(first)
  }

  /** The caller has read on. */
  resume(): void {
    if (this.#isOver) return
    this.#isHeld = false
    release(this.#connection)
  }

  #write(bytes: Buffer): void {
    if (this.#res.write(bytes) || this.#isOver || this.#isHeld) return
    this.#isHeld = true
    hold(this.#connection)
    this.#res.once('drain', drained)
  }

  /** With the first piece of the body, or the end: an error in its place must find the response as it was. */
  #passHead(): void {
    if (this.#head !== undefined) passHead(this.#head, this.#res, this.#upstream.isSwapped)
    this.#head = undefined
    this.#isPassed = true
  }
}

/** The response is closed: its caller has hung up, or all of it has left. */
function closed(this: Answered): void {
  this[ANSWER]?.destroy()
  // What still comes of an upload is nobody's, but behind it there may be the next request.
  if (!this.req.complete) this.req.unpipe().resume()
}

function drained(this: Answered): void {
  this[ANSWER]?.resume()
}

function goOn(answer: UndiciAnswer): void {
  answer.goOn()
}

/** Several headers of a name, as Node has them. */
function oneOf(name: string, values: string[]): string | string[] {
  if (name === 'set-cookie') return values
  return SINGLE.has(name) ? values[0]! : values.join(', ')
}
