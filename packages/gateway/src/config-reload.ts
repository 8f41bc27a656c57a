import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import type { Environment } from './environment.ts'
import { loadConfig } from './load-config.ts'
import type { Log } from './log.ts'

/** Writers need a moment: the file is read when nothing has happened to it for so long. */
const QUIET_MS = 100
/** Where Kubernetes turns a whole folder at once. */
const KUBERNETES_LINK = '..data'
/** What only a start reads. */
const AT_START = [
  'listen',
  'counters',
  'ledger',
  'durability',
  'durableWithin',
  'onLateEntry',
  'decideWithin',
  'pepper',
  'rateLimitHeaders',
  'exhaustedStatus',
  'nodes',
  'spareRetries',
  'sampleCounts',
  'outputEstimate',
] as const satisfies readonly (keyof Config)[]

export interface ConfigReloadOptions {
  readonly file: string
  readonly environment: Environment
  /** What the gateway was started with. */
  readonly config: Config
  readonly log: Log
  /** Puts a configuration into force as a whole, or throws and leaves everything as it was. */
  readonly apply: (config: Config) => void
}

/** Reads a configuration again, while calls go on. One with a mistake changes nothing. */
export class ConfigReload {
  readonly #options: ConfigReloadOptions
  #config: Config
  #watcher: FSWatcher | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: ConfigReloadOptions) {
    this.#options = options
    this.#config = { ...options.config, administration: { ...options.config.administration } }
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config
  }

  /** Reads the file now. False where it has mistakes, which are logged with their places. */
  reload(): boolean {
    const { file, environment, log, apply } = this.#options
    try {
      const { config, atStart } = mixed(this.#config, loadConfig(file, environment).config)
      if (atStart.length > 0)
        log.warn({ members: atStart }, 'the configuration changed what only a start reads: restart')
      if (isDeepStrictEqual(config, this.#config)) return true
      apply(config)
      this.#config = config
      log.info('the configuration was read again')
      return true
    } catch (error) {
      // Whatever it is: what runs must not end by it.
      const mistakes = (error instanceof Error ? error.message : String(error)).split('\n')
      log.error({ mistakes }, 'the configuration can not be put into force: the one from before stays')
      return false
    }
  }

  /** Reads the file again whenever it has changed. Its folder is watched: editors put a new file in its place. */
  watch(): void {
    const { file, log } = this.#options
    const names = new Set([basename(file), KUBERNETES_LINK])
    try {
      this.#watcher = watch(dirname(resolve(file)), { persistent: false }, (_event, name) => {
        if (name === null || names.has(name)) this.#soon()
      })
    } catch (error) {
      return log.warn({ cause: String(error) }, 'the configuration can not be watched: send SIGHUP when it has changed')
    }
    this.#watcher.on('error', (error) => log.warn({ cause: String(error) }, 'the configuration is watched no more'))
  }

  close(): void {
    this.#watcher?.close()
    clearTimeout(this.#timer)
  }

  #soon(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.reload(), QUIET_MS).unref()
  }
}

/** The next configuration, with what only a start reads as it is, and the names of what of that has changed. */
function mixed(current: Config, next: Config): { readonly config: Config; readonly atStart: readonly string[] } {
  const changed = AT_START.filter((member) => !isDeepStrictEqual(current[member], next[member])).map(String)
  const { host, port, keys } = { ...next.administration }
  const { host: oldHost, port: oldPort } = { ...current.administration }
  if (host !== oldHost) changed.push('administration.host')
  if (port !== oldPort) changed.push('administration.port')
  const kept = Object.fromEntries(AT_START.map((member) => [member, current[member]]))
  const administration = defined({ host: oldHost, port: oldPort, keys })
  return { config: defined({ ...next, ...kept, administration }), atStart: changed }
}
