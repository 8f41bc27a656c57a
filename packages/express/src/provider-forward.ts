import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Request, RequestHandler, Response } from 'express'
import { createProxyMiddleware, type Options, type Plugin } from 'http-proxy-middleware'
import { bodyInMemory } from './body-in-memory.ts'
import { dropAnswer, isAnswer, passAnswer } from './provider-answer.ts'
import type { ProviderConnections } from './provider-connections.ts'
import { failureOf } from './provider-failure.ts'
import type { SilenceWatch } from './silence-watch.ts'

/** Where a request goes, and how. */
export interface Forwarding {
  /** In parts, so that nobody parses it again for each request. */
  readonly target: NonNullable<Extract<Options['target'], { protocol?: unknown }>>
  readonly connections: ProviderConnections
  readonly watch: SilenceWatch
  readonly isSwapped: boolean
  readonly isSecure: boolean
  /** How long the provider may say nothing; of a session, both sides. */
  readonly timeoutMs: number
}

const FORWARDING = Symbol('tallygate forwarding')
const REQUEST = Symbol('forwarded request')
const ANSWER = Symbol('answer of the provider')
const HAS_FAILED = Symbol('the provider did not answer')
type Forwarded = Request & { [FORWARDING]: Forwarding; [ANSWER]?: IncomingMessage; [HAS_FAILED]?: boolean }
type Forwarder = ClientRequest & { [REQUEST]?: Request }
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
    const { target, connections } = forwardingOf(req)
    const buffer = bodyInMemory(req)
    if (buffer !== undefined) (active as { buffer?: unknown }).buffer = buffer
    active.agent = connections.agent
    return target
  },
  // The default ones log each request and answer errors with the name of the upstream.
  ejectPlugins: true,
  plugins: [proxyEvents],
})

/** Forwards a request through http-proxy-middleware. Resolves when its answer has ended, or was answered in its place. */
export async function forward(
  forwarding: Forwarding,
  req: Request,
  res: Response,
  next: Parameters<RequestHandler>[2],
): Promise<void> {
  const forwarded = req as Forwarded
  forwarded[FORWARDING] = forwarding
  await proxy(forwarded, res, next)
}

function proxyEvents(...[events]: Parameters<Plugin<Request>>): void {
  events.on('proxyReq', (proxyReq: Forwarder, req) => {
    forwardingOf(req).watch.watch(proxyReq, req)
    proxyReq[REQUEST] = req
    proxyReq.on('upgrade', unasked)
  })
  events.on('proxyRes', (proxyRes, req, res) => {
    if (!isAnswer(proxyRes)) {
      proxyRes.resume()
      return failed(new Error('its status is one that no answer has'), req, res as Response)
    }
    const { connections, isSwapped } = forwardingOf(req)
    connections.announced(proxyRes)
    ;(req as Forwarded)[ANSWER] = proxyRes
    ;(proxyRes as Answering)[REQUEST] = req
    // What is told by 'error' and 'close', others hear too, and end the response with it.
    proxyRes.on('aborted', brokeOff)
    passAnswer(proxyRes, res as Response, isSwapped)
  })
  events.on('error', (error, req, res) => {
    if (req === undefined || res === undefined || !('setHeader' in res)) return
    // What comes after a whole answer is no part of it.
    if ((req as Forwarded)[ANSWER]?.complete !== true) failed(error, req, res as Response)
  })
  events.on('econnreset', () => {})
}

/** The provider speaks another protocol from here on, which nobody has asked for. */
function unasked(this: Forwarder, _proxyRes: unknown, socket: Socket): void {
  socket.destroy()
  const req = this[REQUEST]!
  failed(new Error('it switched protocols, which nobody had asked for'), req, req.res!)
}

function brokeOff(this: Answering): void {
  const req = this[REQUEST]!
  if (!this.complete) failed(new Error('it broke off behind the head of its answer'), req, req.res!)
}

function forwardingOf(req: Request): Forwarding {
  return (req as Forwarded)[FORWARDING]
}

/** Of several errors for one request, the first is answered. */
function failed(error: Error, req: Request, res: Response): void {
  const forwarded = req as Forwarded
  if (forwarded[HAS_FAILED] === true) return
  forwarded[HAS_FAILED] = true
  const { watch, target } = forwarded[FORWARDING]
  const proxyRes = forwarded[ANSWER]
  if (proxyRes !== undefined && !dropAnswer(proxyRes)) return void res.destroy(error)
  void failureOf({ error, host: target.hostname ?? '', wasSilent: watch.wasSilent(req) }, req, res)
}
