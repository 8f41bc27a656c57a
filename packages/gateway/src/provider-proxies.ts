import { llmProxy, type LlmProxy } from '@tallygate/express'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'

type Provider = Config['providers'][string]

/** Proxies of providers, by what their configuration says: those that stay as they are keep their connections. */
export class ProviderProxies {
  readonly #made = new Map<string, LlmProxy>()

  of(provider: Provider): LlmProxy {
    const key = keyOf(provider)
    let proxy = this.#made.get(key)
    if (proxy === undefined) {
      const { target, timeout, path: _path, ...options } = provider
      proxy = llmProxy({ target, ...defined({ ...options, timeoutMs: timeout }) })
      this.#made.set(key, proxy)
    }
    return proxy
  }

  /** Closes those of no provider that is named. Their calls under way go on to their end. */
  keepOnly(providers: readonly Provider[]): void {
    const kept = new Set(providers.map(keyOf))
    for (const [key, proxy] of this.#made) {
      if (kept.has(key)) continue
      proxy.close()
      this.#made.delete(key)
    }
  }
}

/** Where a provider stands makes no other proxy. */
function keyOf({ target, timeout, path: _path, ...options }: Provider): string {
  return JSON.stringify([target, timeout, options])
}
