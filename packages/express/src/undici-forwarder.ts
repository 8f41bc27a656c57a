import { createRequire } from 'node:module'
import { PassThrough, type Readable } from 'node:stream'
import type { Request, Response } from 'express'
import type { buildConnector, Pool } from 'undici'
import { bodyInMemory } from './body-in-memory.ts'
import { hostOf, pathAt, type Forwarder, type Upstream } from './forwarder.ts'
import { MARGIN_MS, MOST_IDLE_MS } from './provider-connections.ts'
import { UndiciAnswer } from './undici-answer.ts'
import { prepareConnection } from './undici-connection.ts'

const require = createRequire(import.meta.url)

/** How long it may take until there is a connection. */
const MOST_CONNECTING_MS = 10_000

/** What undici says by itself, or refuses to say. */
const NOT_SAID: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'host',
  'Host',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
])

/** Forwards requests through undici, which is loaded when the first of these is called. */
export class UndiciForwarder implements Forwarder {
  readonly #upstream: Upstream
  readonly #host: string
  #pool: Pool | undefined

  constructor(upstream: Upstream) {
    this.#upstream = upstream
    this.#host = hostOf(upstream)
  }

  forward(req: Request, res: Response): void {
    this.#pool ??= this.#connect()
    const body = bodyInMemory(req) ?? streamOf(req)
    const options = { path: pathAt(this.#upstream, req), method: req.method, headers: this.#headersOf(req), body }
    this.#pool.dispatch(options, new UndiciAnswer(this.#upstream, req, res))
  }

  close(): void {
    // A call that was admitted before, and comes yet, gets a pool of its own, whose connections close when they idle.
    const pool = this.#pool
    this.#pool = undefined
    void pool?.close()
  }

  #connect(): Pool {
    // Only these: undici as a whole makes itself the one that the host's own `fetch` goes through.
    const Pool = require('undici/lib/dispatcher/pool.js') as typeof import('undici').Pool
    const connectorOf = require('undici/lib/core/connect.js') as typeof buildConnector
    const { target, timeoutMs, maxSockets } = this.#upstream
    const connect = connectorOf({ timeout: Math.min(MOST_CONNECTING_MS, timeoutMs), allowH2: false })
    // To undici, no time is 0; others are whole.
    const silenceMs = timeoutMs === Infinity ? 0 : Math.ceil(timeoutMs)
    return new Pool(`${target.protocol}//${this.#host}`, {
      connections: maxSockets === Infinity ? null : maxSockets,
      pipelining: 1,
      allowH2: false,
      connect: (options, callback) =>
        connect(options, (...result) => {
          if (result[0] === null) prepareConnection(result[1])
          callback(...result)
        }),
      headersTimeout: silenceMs,
      bodyTimeout: silenceMs,
      keepAliveTimeout: MOST_IDLE_MS,
      keepAliveMaxTimeout: MOST_IDLE_MS,
      keepAliveTimeoutThreshold: MARGIN_MS,
    })
  }

  /** By turns names and values, which undici takes as they are. */
  #headersOf({ headers }: Request): string[] {
    const pairs = ['host', (headers['Host'] as string | undefined) ?? this.#host]
    for (const name in headers) if (!NOT_SAID.has(name)) pairs.push(name, headers[name] as string)
    return pairs
  }
}

/**
 * The body of a request that nobody has read: an upload that nothing meters. Through a stream of its own, as undici destroys
 * what it reads from where the answer comes before the end, and the caller's connection with it.
 */
function streamOf(req: Request): Readable | null {
  const { 'content-length': length, 'transfer-encoding': coding } = req.headers
  return coding === undefined && (length === undefined || length === '0') ? null : req.pipe(new PassThrough())
}
