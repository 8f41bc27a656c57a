import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { pipeline } from 'node:stream'
import type { Call } from '@tallygate/flow'
import type { Request, Response } from 'express'
import { hostOf, pathAt, type Upstream } from './forwarder.ts'
import { isForCallers, passHead } from './provider-answer.ts'
import { failureOf } from './provider-failure.ts'
import { relay } from './session-relay.ts'
import type { SilenceWatch } from './silence-watch.ts'
import type { Upgrade } from './serve-sessions.ts'

/** What a caller may send before its provider has agreed. */
const MOST_EARLY_BYTES = 262_144
/** Never offered to providers: what is not compressed can be read as it passes. */
const EXTENSIONS = 'sec-websocket-extensions'

/**
 * Opens a session over WebSocket at a provider, and lets it pass in both directions. Resolves when the provider has
 * agreed, or when the request was answered in another way: with the provider's refusal, or with ours where it did not
 * answer.
 */
export function forwardSession(
  upstream: Upstream,
  watch: SilenceWatch,
  { socket, head }: Upgrade,
  call: Call,
  req: Request,
  res: Response,
): Promise<void> {
  const { target, isSwapped, timeoutMs } = upstream
  const { promise, resolve } = Promise.withResolvers<void>()
  const early = new EarlyBytes(socket, head)
  const proxyReq = handshake(upstream, req)
  const hungUp = (): void => void proxyReq.destroy()
  const failed = (error: Error): void =>
    void failureOf({ error, host: target.hostname ?? '', wasSilent: watch.wasSilent(req) }, req, res).finally(resolve)
  res.once('close', hungUp)
  proxyReq.on('response', (proxyRes) => {
    early.stop()
    // A provider that does not agree answers as to any request.
    passHead(proxyRes, res, isSwapped)
    pipeline(proxyRes, res, () => {})
    resolve()
  })
  proxyReq.on('upgrade', (proxyRes, provider: Socket, providerHead) => {
    watch.forget(proxyReq)
    res.off('close', hungUp)
    early.stop()
    // What nobody has offered must not be agreed to: nobody could read what follows.
    if (proxyRes.headers[EXTENSIONS] !== undefined) {
      provider.destroy()
      return failed(new Error('it agreed to an extension that was not offered'))
    }
    res.detachSocket(socket)
    socket.write(switchingHead(proxyRes, isSwapped, call))
    relay({ caller: socket, provider, call, timeoutMs, early: early.bytes, providerHead, headers: proxyRes.headers })
    resolve()
  })
  proxyReq.on('error', (error) => {
    early.stop()
    failed(error)
  })
  watch.watch(proxyReq, req)
  proxyReq.end()
  return promise
}

/** On a connection of its own, as it becomes something else. */
function handshake(upstream: Upstream, req: Request): ClientRequest {
  const { hostname, port } = upstream.target
  const headers: Record<string, string | string[] | undefined> = { ...req.headers }
  for (const name of [EXTENSIONS, 'content-length', 'transfer-encoding']) delete headers[name]
  return (upstream.isSecure ? httpsRequest : httpRequest)({
    hostname: hostname!,
    port: Number(port),
    path: pathAt(upstream, req),
    agent: false,
    headers: { ...headers, host: hostOf(upstream), connection: 'Upgrade', upgrade: 'websocket' },
  })
}

/** The head with which a provider agrees, as its caller gets it. */
function switchingHead({ rawHeaders }: IncomingMessage, isSwapped: boolean, call: Call): string {
  const lines = ['HTTP/1.1 101 Switching Protocols']
  const names = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!
    if (!isForCallers(name.toLowerCase(), isSwapped)) continue
    names.add(name.toLowerCase())
    lines.push(`${name}: ${rawHeaders[at + 1]}`)
  }
  const own = names.has('x-request-id') ? {} : { 'x-request-id': call.attemptId }
  for (const [name, value] of Object.entries({ ...call.rateLimitFields(), ...own })) lines.push(`${name}: ${value}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** What a caller sends while its provider has not yet agreed; and that it hangs up. */
class EarlyBytes {
  readonly #socket: Socket
  readonly #pieces: Buffer[]
  #bytes = 0

  constructor(socket: Socket, head: Buffer) {
    this.#socket = socket
    this.#pieces = [head]
    socket.on('data', this.#add).on('end', this.#hungUp)
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  /** The socket is paused then, and somebody else's. */
  stop(): void {
    this.#socket.off('data', this.#add).off('end', this.#hungUp)
    this.#socket.pause()
  }

  readonly #add = (bytes: Buffer): void => {
    this.#pieces.push(bytes)
    this.#bytes += bytes.length
    if (this.#bytes > MOST_EARLY_BYTES) this.#socket.pause()
  }

  readonly #hungUp = (): void => void this.#socket.destroy()
}
