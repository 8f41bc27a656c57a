import type { IncomingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { Call, Session, SessionSink } from '@tallygate/flow'

export interface RelayOptions {
  readonly caller: Socket
  readonly provider: Socket
  /** The first of the session. */
  readonly call: Call
  /** How long both sides may say nothing, in milliseconds. */
  readonly timeoutMs: number
  /** What the caller has sent by now. */
  readonly early: Buffer
  /** What the provider has sent behind its head. */
  readonly providerHead: Buffer
  /** With which the provider agreed. */
  readonly headers: IncomingHttpHeaders
}

/** What is done with the bytes of a session. */
type Relayed = Pick<Session, 'fromProvider' | 'fromCaller' | 'callerEnded' | 'providerEnded' | 'idle'>

/** How long a provider has for closing its side, and how long a caller, who may have to read what is on its way. */
const PROVIDER_CLOSES_MS = 400
const CALLER_CLOSES_MS = 2_000
/** A peer that is gone without a word is noticed. */
const KEEP_ALIVE_MS = 30_000

/** Lets the bytes of a session pass in both directions, as fast as each side reads, until one of them ends. */
export function relay({ caller, provider, call, timeoutMs, early, providerHead, headers }: RelayOptions): void {
  const idle = setTimeout(() => session.idle(), timeoutMs)
  const sink: SessionSink = {
    toCaller: (bytes) => void caller.write(bytes),
    toProvider: (bytes) => void provider.write(bytes),
    close() {
      clearTimeout(idle)
      closeWithin(provider, PROVIDER_CLOSES_MS)
      closeWithin(caller, CALLER_CLOSES_MS)
    },
  }
  const session: Relayed = call.meters ? call.session(sink, headers['x-request-id']) : new UnmeteredRelay(call, sink)
  for (const socket of [caller, provider]) {
    socket.setTimeout(0)
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEP_ALIVE_MS)
    socket.on('error', () => {})
  }
  pump(provider, caller, (bytes) => session.fromProvider(bytes), idle)
  pump(caller, provider, (bytes) => session.fromCaller(bytes), idle)
  caller.on('end', () => session.callerEnded()).on('close', () => session.callerEnded())
  provider.on('end', () => session.providerEnded()).on('close', () => session.providerEnded())
  if (early.length > 0) session.fromCaller(early)
  if (providerHead.length > 0) session.fromProvider(providerHead)
  // A caller who has gone meanwhile will not be heard to go.
  if (caller.destroyed || caller.readableEnded) session.callerEnded()
  else if (provider.destroyed || provider.readableEnded) session.providerEnded()
  caller.resume()
  provider.resume()
}

function pump(from: Socket, to: Socket, take: (bytes: Buffer) => void, idle: NodeJS.Timeout): void {
  from.on('data', (bytes: Buffer) => {
    idle.refresh()
    take(bytes)
    if (to.writableNeedDrain && !to.destroyed) from.pause()
  })
  to.on('drain', () => from.resume())
  to.on('close', () => from.resume())
}

function closeWithin(socket: Socket, ms: number): void {
  if (socket.destroyed) return
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), ms)
  socket.once('close', () => clearTimeout(timer))
}

/** A session that nothing meters, where that is allowed: its bytes pass, and what it held is settled. */
class UnmeteredRelay implements Relayed {
  readonly #call: Call
  readonly #sink: SessionSink
  #isOver = false

  constructor(call: Call, sink: SessionSink) {
    this.#call = call
    this.#sink = sink
  }

  fromProvider(bytes: Buffer): void {
    if (!this.#isOver) this.#sink.toCaller(bytes)
  }

  fromCaller(bytes: Buffer): void {
    if (!this.#isOver) this.#sink.toProvider(bytes)
  }

  callerEnded(): void {
    this.#end('aborted')
  }

  providerEnded(): void {
    this.#end('complete')
  }

  idle(): void {
    this.#end('complete')
  }

  #end(outcome: 'complete' | 'aborted'): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#sink.close()
    this.#call.finishUnmetered(outcome, 101).catch(() => {})
  }
}
