import type { RequestListener } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import type { Quota } from '@tallygate/flow'
import type { Express } from 'express'
import { administrationApp, type NotReady } from './administration-app.ts'
import type { Config } from './config-schema.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { ProviderProxies } from './provider-proxies.ts'
import { publicApp } from './public-app.ts'

export interface AppsParts {
  readonly quota: Quota
  readonly metrics: Metrics
  readonly log: Log
  readonly notReadyBecause: () => Promise<NotReady | undefined>
}

/** What of a configuration callers' requests go by, beside plans and keys. */
const OF_CALLERS = [
  'providers',
  'reportPath',
  'trustProxy',
  'bodyLimitBytes',
  'guards',
] as const satisfies readonly (keyof Config)[]

/** What of a configuration operators' requests go by. */
const OF_OPERATORS = ['administration', 'guards'] as const satisfies readonly (keyof Config)[]

/** What answers callers and operators. Replaced while requests come in; those that have begun stay where they began. */
export class Apps {
  readonly #parts: AppsParts
  readonly #proxies = new ProviderProxies()
  #config: Config
  #forCallers: Express
  #forOperators: Express

  constructor(config: Config, parts: AppsParts) {
    this.#parts = parts
    this.#config = config
    this.#forCallers = this.#callersApp(config)
    this.#forOperators = this.#operatorsApp(config)
  }

  readonly forCallers: RequestListener = (req, res) => this.#forCallers(req, res)
  readonly forOperators: RequestListener = (req, res) => this.#forOperators(req, res)

  /**
   * Makes what another configuration wants. Returns what puts it into force. Providers that stay as they are keep their
   * connections.
   *
   * @throws QuotaError `ERR_QUOTA_CONFIG`; then nothing has changed.
   */
  prepare(next: Config): () => void {
    const differs = (member: keyof Config): boolean => !isDeepStrictEqual(next[member], this.#config[member])
    const forCallers = OF_CALLERS.some(differs) ? this.#callersApp(next) : this.#forCallers
    // What guards have counted goes with an application that is replaced.
    const forOperators = OF_OPERATORS.some(differs) ? this.#operatorsApp(next) : this.#forOperators
    return () => {
      this.#config = next
      this.#forCallers = forCallers
      this.#forOperators = forOperators
      this.#proxies.keepOnly(Object.values(next.providers))
    }
  }

  #callersApp(config: Config): Express {
    return publicApp(config, this.#parts.quota, this.#parts.log, this.#proxies)
  }

  #operatorsApp(config: Config): Express {
    const { quota, metrics, log, notReadyBecause } = this.#parts
    return administrationApp(config, quota, metrics, log, notReadyBecause)
  }
}
