import type { Agent } from 'node:http'
import type { Request, RequestHandler } from 'express'
import { createProxyMiddleware, type Options, type Plugin } from 'http-proxy-middleware'
import { bodyInMemory, cleanAnswer, failureOf } from './proxy-events.ts'
import type { SilenceWatch } from './silence-watch.ts'

/** Where a request goes, and how. */
export interface Forwarding {
  /** In parts, so that nobody parses it again for each request. */
  readonly target: NonNullable<Extract<Options['target'], { protocol?: unknown }>>
  readonly agent: Agent
  readonly watch: SilenceWatch
  readonly isSwapped: boolean
  readonly isSecure: boolean
  /** How long the provider may say nothing; of a session, both sides. */
  readonly timeoutMs: number
}

const FORWARDING = Symbol('tallygate forwarding')
type Forwarded = Request & { [FORWARDING]: Forwarding }

/**
 * One proxy serves all providers of the process: each proxy of http-proxy-middleware listens to the end of the server as
 * long as that runs, so that each configuration read again would leave another one behind.
 */
const proxy: RequestHandler = createProxyMiddleware<Request>({
  changeOrigin: true,
  xfwd: false,
  // Asked for each request: the place to hand on what is its own.
  router(req, _res, active) {
    const { target, agent } = (req as Forwarded)[FORWARDING]
    const buffer = bodyInMemory(req)
    if (buffer !== undefined) (active as { buffer?: unknown }).buffer = buffer
    active.agent = agent
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
  res: Parameters<RequestHandler>[1],
  next: Parameters<RequestHandler>[2],
): Promise<void> {
  const forwarded = req as Forwarded
  forwarded[FORWARDING] = forwarding
  await proxy(forwarded, res, next)
}

function proxyEvents(...[events]: Parameters<Plugin<Request>>): void {
  const of = (req: Request): Forwarding => (req as Forwarded)[FORWARDING]
  events.on('proxyReq', (proxyReq, req) => of(req).watch.watch(proxyReq, req))
  events.on('proxyRes', (proxyRes, req) => cleanAnswer(proxyRes, of(req).isSwapped))
  events.on('error', (error, req, res) => {
    if (req === undefined || res === undefined || !('setHeader' in res)) return
    const { watch, target } = of(req)
    const failure = { error, host: target.hostname ?? '', wasSilent: watch.wasSilent(req) }
    void failureOf(failure, req, res as NonNullable<Request['res']>)
  })
  events.on('econnreset', () => {})
}
