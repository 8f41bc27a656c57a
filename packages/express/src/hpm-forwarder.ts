import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Request, RequestHandler, Response } from 'express'
import { createProxyMiddleware, type Plugin } from 'http-proxy-middleware'
import { bodyInMemory } from './body-in-memory.ts'
import type { Forwarder, Upstream } from './forwarder.ts'
import { dropAnswer, isAnswer, passAnswer } from './provider-answer.ts'
import { ProviderConnections } from './provider-connections.ts'
import { failureOf } from './provider-failure.ts'
import { SilenceWatch } from './silence-watch.ts'

/** A body that was read already, in the shape in which a proxy takes one: it goes out in one piece with the head. */
class PipedBody {
  readonly #body: Buffer

  constructor(body: Buffer) {
    this.#body = body
  }

  pipe(proxyReq: ClientRequest): ClientRequest {
    return proxyReq.end(this.#body)
  }
}

const FORWARDER = Symbol('tallygate forwarder')
const REQUEST = Symbol('forwarded request')
const ANSWER = Symbol('answer of the provider')
const HAS_FAILED = Symbol('the provider did not answer')
type Forwarded = Request & { [FORWARDER]: HpmForwarder; [ANSWER]?: IncomingMessage; [HAS_FAILED]?: boolean }
type ProxyRequest = ClientRequest & { [REQUEST]?: Request }
type Answering = IncomingMessage & { [REQUEST]?: Request }

/**
 * One proxy serves all providers of the process: each proxy of http-proxy-middleware listens to the end of the server as
 * long as that runs, so that each configuration read again would leave another one behind.
 */
const proxy: RequestHandler = createProxyMiddleware<Request>({
  changeOrigin: true,
  xfwd: false,
  selfHandleResponse: true,
  // Asked for each request: the place to hand on what is its own.
  router(req, _res, active) {
    const { upstream, connections } = forwarderOf(req)
    const body = bodyInMemory(req)
    if (body !== undefined) (active as { buffer?: unknown }).buffer = new PipedBody(body)
    active.agent = connections.agent
    return upstream.target
  },
  // The default ones log each request and answer errors with the name of the upstream.
  ejectPlugins: true,
  plugins: [proxyEvents],
})

/** Forwards requests through http-proxy-middleware. */
export class HpmForwarder implements Forwarder {
  readonly upstream: Upstream
  readonly connections: ProviderConnections
  readonly watch: SilenceWatch

  constructor(upstream: Upstream) {
    this.upstream = upstream
    this.connections = new ProviderConnections(upstream.isSecure, upstream.maxSockets)
    this.watch = new SilenceWatch(upstream.timeoutMs)
  }

  async forward(req: Request, res: Response, next: Parameters<RequestHandler>[2]): Promise<void> {
    const forwarded = req as Forwarded
    forwarded[FORWARDER] = this
    await proxy(forwarded, res, next)
  }

  close(): void {
    this.connections.close()
  }
}

function proxyEvents(...[events]: Parameters<Plugin<Request>>): void {
  events.on('proxyReq', (proxyReq: ProxyRequest, req) => {
    forwarderOf(req).watch.watch(proxyReq, req)
    proxyReq[REQUEST] = req
    proxyReq.on('upgrade', unasked)
  })
  events.on('proxyRes', (proxyRes, req, res) => {
    if (!isAnswer(proxyRes)) {
      proxyRes.resume()
      return failed(new Error('its status is one that no answer has'), req, res as Response)
    }
    const { connections, upstream } = forwarderOf(req)
    connections.announced(proxyRes)
    ;(req as Forwarded)[ANSWER] = proxyRes
    ;(proxyRes as Answering)[REQUEST] = req
    // What is told by 'error' and 'close', others hear too, and end the response with it.
    proxyRes.on('aborted', brokeOff)
    passAnswer(proxyRes, res as Response, upstream.isSwapped)
  })
  events.on('error', (error, req, res) => {
    if (req === undefined || res === undefined || !('setHeader' in res)) return
    // What comes after a whole answer is no part of it.
    if ((req as Forwarded)[ANSWER]?.complete !== true) failed(error, req, res as Response)
  })
  events.on('econnreset', () => {})
}

/** The provider speaks another protocol from here on, which nobody has asked for. */
function unasked(this: ProxyRequest, _proxyRes: unknown, socket: Socket): void {
  socket.destroy()
  const req = this[REQUEST]!
  failed(new Error('it switched protocols, which nobody had asked for'), req, req.res!)
}

function brokeOff(this: Answering): void {
  const req = this[REQUEST]!
  if (!this.complete) failed(new Error('it broke off behind the head of its answer'), req, req.res!)
}

function forwarderOf(req: Request): HpmForwarder {
  return (req as Forwarded)[FORWARDER]
}

/** Of several errors for one request, the first is answered. */
function failed(error: Error, req: Request, res: Response): void {
  const forwarded = req as Forwarded
  if (forwarded[HAS_FAILED] === true) return
  forwarded[HAS_FAILED] = true
  const { watch, upstream } = forwarded[FORWARDER]
  const proxyRes = forwarded[ANSWER]
  if (proxyRes !== undefined && !dropAnswer(proxyRes)) return void res.destroy(error)
  void failureOf({ error, host: upstream.target.hostname ?? '', wasSilent: watch.wasSilent(req) }, req, res)
}
