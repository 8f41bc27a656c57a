import { llmProxy } from '@tallygate/express'
import type { RequestHandler } from 'express'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'

/**
 * Proxies of providers, by what their configuration says. One that was made is kept: it holds connections, and listens to
 * the end of the server as long as that runs, so that each reload would leave another one behind.
 */
export class ProviderProxies {
  readonly #made = new Map<string, RequestHandler>()

  of({ target, timeout, path: _path, ...options }: Config['providers'][string]): RequestHandler {
    const key = JSON.stringify([target, timeout, options])
    let proxy = this.#made.get(key)
    if (proxy === undefined) {
      proxy = llmProxy({ target, ...defined({ ...options, timeoutMs: timeout }) })
      this.#made.set(key, proxy)
    }
    return proxy
  }
}
