import type { Request, RequestHandler, Response } from 'express'
import type { Options } from 'http-proxy-middleware'

/** A provider, and how its calls go there. */
export interface Upstream {
  /** In parts, so that nobody parses it again for each request. */
  readonly target: NonNullable<Extract<Options['target'], { protocol?: unknown }>>
  readonly isSecure: boolean
  /** The host's key pays, and not the caller's. */
  readonly isSwapped: boolean
  /** How long the provider may say nothing, in milliseconds; of a session, both sides. */
  readonly timeoutMs: number
  /** Most connections at once; more calls than that wait for one. */
  readonly maxSockets: number
}

/** What carries requests to one provider, and its answers back to their callers. */
export interface Forwarder {
  /** Returns, or resolves, when the request is on its way; an error is answered by the forwarder. */
  forward(req: Request, res: Response, next: Parameters<RequestHandler>[2]): void | Promise<void>
  /** For a proxy that gets no more calls: keeps no connection from now on. Calls under way go on to their end. */
  close(): void
}

/** Where a request goes at its provider: the path of the target, then its own. */
export function pathAt({ target }: Upstream, { url }: Request): string {
  return `${target.pathname!.replace(/\/$/, '')}${url}`
}

/** What the provider is called in the `Host` of a request. */
export function hostOf({ target, isSecure }: Upstream): string {
  const { hostname, port } = target
  const host = hostname!.includes(':') ? `[${hostname}]` : hostname!
  return Number(port) === (isSecure ? 443 : 80) ? host : `${host}:${port}`
}
