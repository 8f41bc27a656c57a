import { watch, type FSWatcher } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { PriceBook } from '@tallygate/core'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import type { Environment } from './environment.ts'
import { loadConfig, type LoadedConfig } from './load-config.ts'
import type { Log } from './log.ts'
import { ConfigError } from './yaml-file.ts'

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
  'estimates',
  'sampleCounts',
  'outputEstimate',
] as const satisfies readonly (keyof Config)[]

export interface ConfigReloadOptions {
  readonly file: string
  readonly environment: Environment
  /** What the gateway was started with. */
  readonly loaded: LoadedConfig
  readonly log: Log
  /** Puts a configuration into force as a whole, or throws and leaves everything as it was. */
  readonly apply: (config: Config, prices: PriceBook | undefined) => void
}

/** Reads a configuration again, while calls go on. One with a mistake changes nothing. */
export class ConfigReload {
  readonly #options: ConfigReloadOptions
  #config: Config
  #prices: PriceBook | undefined
  #priceFiles: readonly string[]
  /** Has mistakes, or is not there: when it is mended, nothing else may change. */
  #mistaken: string | undefined
  /** By their folders; absent while nothing is watched. */
  #watchers: Map<string, FSWatcher> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: ConfigReloadOptions) {
    this.#options = options
    const { config, prices, priceFiles = [] } = options.loaded
    this.#config = { ...config, administration: { ...config.administration } }
    this.#prices = prices
    this.#priceFiles = priceFiles
  }

  /** The configuration in force. */
  get config(): Config {
    return this.#config
  }

  /** Reads the file, and those of prices, now. False where it has mistakes, which are logged with their places. */
  reload(): boolean {
    const { file, environment, log, apply } = this.#options
    try {
      const { config: next, prices, priceFiles = [] } = loadConfig(file, environment)
      this.#mistaken = undefined
      const { config, atStart } = mixed(this.#config, next)
      if (atStart.length > 0)
        log.warn({ members: atStart }, 'the configuration changed what only a start reads: restart')
      const isSame = isDeepStrictEqual(prices?.definition, this.#prices?.definition)
      if (isSame && isDeepStrictEqual(config, this.#config)) return true
      apply(config, prices)
      this.#config = config
      this.#prices = prices
      this.#priceFiles = priceFiles
      if (this.#watchers !== undefined) this.watch()
      log.info('the configuration was read again')
      return true
    } catch (error) {
      // Whatever it is: what runs must not end by it.
      const mistakes = (error instanceof Error ? error.message : String(error)).split('\n')
      log.error({ mistakes }, 'the configuration can not be put into force: the one from before stays')
      this.#mistaken = error instanceof ConfigError ? error.file : undefined
      if (this.#watchers !== undefined) this.watch()
      return false
    }
  }

  /**
   * Reads the files again whenever one has changed. Their folders are watched: editors put a new file in its place. Called
   * again, it watches what is read by now.
   */
  watch(): void {
    const { file, log } = this.#options
    const files = Map.groupBy(
      [file, ...this.#priceFiles, this.#mistaken ?? file].map((each) => resolve(each)),
      dirname,
    )
    const watchers = (this.#watchers ??= new Map())
    for (const [folder, watcher] of watchers) {
      watcher.close()
      watchers.delete(folder)
    }
    for (const [folder, inFolder] of files) {
      const names = new Set([...inFolder.map((each) => basename(each)), KUBERNETES_LINK])
      try {
        const watcher = watch(folder, { persistent: false }, (_event, name) => {
          if (name === null || names.has(name)) this.#soon()
        })
        watcher.on('error', (error) => log.warn({ cause: String(error) }, 'the configuration is watched no more'))
        watchers.set(folder, watcher)
      } catch (error) {
        log.warn({ cause: String(error) }, 'the configuration can not be watched: send SIGHUP when it has changed')
      }
    }
  }

  close(): void {
    for (const watcher of this.#watchers?.values() ?? []) watcher.close()
    this.#watchers = undefined
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
