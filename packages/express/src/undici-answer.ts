import type { IncomingHttpHeaders } from 'node:http'
import type { Request, Response } from 'express'
import type { Dispatcher } from 'undici'
import type { Upstream } from './forwarder.ts'
import { isAnswer, passHead, type ProviderHead } from './provider-answer.ts'
import { failureOf } from './provider-failure.ts'
import { writtenBy } from './response-hook.ts'

type Controller = Dispatcher.DispatchController
type Answered = Response & { [ANSWER]?: UndiciAnswer }

const ANSWER = Symbol('answer by undici')
/** Errors by which undici says that a provider was silent. */
const SILENCE: ReadonlySet<string> = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])
/** Of which an answer has one: the first (as Node reads them). */
const SINGLE: ReadonlySet<string> = new Set(['content-type', 'content-length', 'etag', 'location', 'retry-after'])

/** Lets the answer to a request go on to the caller, byte for byte, as undici reads it. */
export class UndiciAnswer implements Dispatcher.DispatchHandler {
  readonly #upstream: Upstream
  readonly #req: Request
  readonly #res: Answered
  #controller: Controller | undefined
  #head: ProviderHead | undefined
  /** The first piece of the body, until it is known whether that is all of it. */
  #first: Buffer | undefined
  #hasBody = false
  /** The answer has begun to go on: no other can stand in its place. */
  #isPassed = false
  /** It has ended, was cut, or failed: what still comes is nobody's. */
  #isOver = false

  constructor(upstream: Upstream, req: Request, res: Answered) {
    this.#upstream = upstream
    this.#req = req
    this.#res = res
    res[ANSWER] = this
    res.once('close', hungUp)
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#isOver) controller.abort(new Error('the caller has hung up'))
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
    this.#head = { statusCode, statusMessage, headers }
    writtenBy(this.#res, this)
  }

  onResponseData(controller: Controller, bytes: Buffer): void {
    if (this.#isOver) return
    if (!this.#hasBody) {
      // What came in one piece with its head is all there when undici is done with that piece.
      this.#hasBody = true
      this.#first = bytes
      process.nextTick(goOn, this)
      return
    }
    this.goOn()
    if (this.#res.write(bytes)) return
    controller.pause()
    this.#res.once('drain', drained)
  }

  onResponseEnd(): void {
    if (this.#isOver) return
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
    if (this.#res.write(first)) return
    this.#controller?.pause()
    this.#res.once('drain', drained)
  }

  resume(): void {
    this.#controller?.resume()
  }

  /** With the first piece of the body, or the end: an error in its place must find the response as it was. */
  #passHead(): void {
    if (this.#head !== undefined) passHead(this.#head, this.#res, this.#upstream.isSwapped)
    this.#head = undefined
    this.#isPassed = true
  }
}

function hungUp(this: Answered): void {
  this[ANSWER]?.destroy()
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
