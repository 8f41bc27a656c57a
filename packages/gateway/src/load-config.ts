import { dirname, resolve } from 'node:path'
import type { PriceBook } from '@tallygate/core'
import { contradictions, priceContradictions } from './contradictions.ts'
import { configSchema, type Config } from './config-schema.ts'
import type { Environment } from './environment.ts'
import { readPrices } from './price-files.ts'
import { readYaml, textOf, type ReadYaml } from './yaml-file.ts'

/** A configuration, and the folder that paths in it start from. */
export interface LoadedConfig {
  readonly config: Config
  readonly folder: string
  /** Absent where it names none. */
  readonly prices?: PriceBook | undefined
  /** Files that the prices were read from, but for those that come with the package. */
  readonly priceFiles?: readonly string[]
  /** For reading it again; absent where it was not read from a file. */
  readonly source?: { readonly file: string; readonly environment: Environment }
}

/**
 * Reads a configuration, and the price files that it names. See {@link readYaml}.
 *
 * @throws ConfigError with every mistake and its place.
 */
export function loadConfig(file: string, environment: Environment = process.env): LoadedConfig {
  const read = readConfig(textOf(file), file, environment)
  const config = read.value
  const folder = dirname(resolve(file))
  const source = { file, environment }
  if (config.prices === undefined) return { config, folder, source }
  const { book, files } = readPrices(config.prices, folder, environment)
  const senseless = priceContradictions(config, book)
  if (senseless.length > 0) throw read.error(senseless)
  return { config, folder, prices: book, priceFiles: files, source }
}

/** As {@link loadConfig}, for a text that was read, without the price files that it names. */
export function parseConfig(text: string, file: string, environment: Environment): Config {
  return readConfig(text, file, environment).value
}

function readConfig(text: string, file: string, environment: Environment): ReadYaml<Config> {
  const read = readYaml(text, file, environment, configSchema)
  const senseless = contradictions(read.value)
  if (senseless.length > 0) throw read.error(senseless)
  return read
}

/** Where the ledger is. */
export function ledgerFile({ config, folder }: LoadedConfig): string {
  return resolve(folder, config.ledger ?? '.tallygate/usage.db')
}
