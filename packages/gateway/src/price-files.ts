import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isQuotaError, PriceBook, type ModelPrice, type PriceBookDefinition } from '@tallygate/core'
import { placeIn } from './contradictions.ts'
import type { Environment } from './environment.ts'
import { priceFileSchema, type PriceFile } from './price-file-schema.ts'
import { ConfigError, readYaml, textOf } from './yaml-file.ts'

/** The name of the prices that come with this package. */
export const STARTER = 'starter'
const STARTER_FILE = fileURLToPath(new URL('../prices/starter.yaml', import.meta.url))
const MOST_OF_A_VERSION = 64

export interface ReadPrices {
  readonly book: PriceBook
  /** Whole paths, without those that come with this package. */
  readonly files: readonly string[]
}

/**
 * Reads price files and makes one book of them: what a later one says of a model goes before an earlier one.
 *
 * @param named Paths, from a folder, or `starter`.
 * @throws ConfigError with every mistake of a file and its place.
 */
export function readPrices(named: string | readonly string[], folder: string, environment: Environment): ReadPrices {
  const list = typeof named === 'string' ? [named] : named
  const files = list.map((name) => (name === STARTER ? STARTER_FILE : resolve(folder, name)))
  const definitions = files.map((file) => readPriceFile(file, environment))
  return { book: merged(definitions, files), files: files.filter((file) => file !== STARTER_FILE) }
}

/** @throws ConfigError with every mistake and its place. */
export function readPriceFile(file: string, environment: Environment): PriceBook {
  return parsePrices(textOf(file), file, environment)
}

/** As {@link readPriceFile}, for a text that was read. */
export function parsePrices(text: string, file: string, environment: Environment): PriceBook {
  const read = readYaml(text, file, environment, priceFileSchema)
  const { asOf: _asOf, sources: _sources, ...definition } = read.value satisfies PriceFile
  try {
    return new PriceBook(definition, '')
  } catch (error) {
    if (!isQuotaError(error, 'ERR_QUOTA_CONFIG')) throw error
    const message = error.message.replaceAll(/(^|\s)\.(?=prices)/g, '$1')
    throw read.error([{ path: placeIn(error.message, ''), message }])
  }
}

function merged(books: readonly PriceBook[], files: readonly string[]): PriceBook {
  const [first, ...others] = books
  if (first === undefined) return new PriceBook({ prices: [] })
  if (others.length === 0) return first
  const other = others.findIndex(({ currency }) => currency !== first.currency)
  if (other !== -1) {
    const message = `is ${others[other]!.currency}, and that of ${files[0]} is ${first.currency}: prices of one gateway are in one currency`
    throw new ConfigError(files[other + 1]!, [{ line: 1, column: 1, key: 'currency', message }])
  }
  const prices = new Map<string, ModelPrice>()
  for (const { definition } of books)
    for (const price of definition.prices.flatMap(eachName)) {
      const { provider = '', model, from = '' } = price
      const key = JSON.stringify([provider, model, from]).toLowerCase()
      // Behind what it takes the place of.
      prices.delete(key)
      prices.set(key, price)
    }
  const said = books.map(({ definition: { prefer, creditsPerUnit } }) => present({ prefer, creditsPerUnit }))
  const version = books.map((book) => book.version).join('+')
  return new PriceBook({
    currency: first.currency,
    ...Object.assign({}, ...said),
    ...(version.length > MOST_OF_A_VERSION ? {} : { version }),
    prices: [...prices.values()],
  })
}

/** One price for each of its names, so that another file can replace one of them. */
function eachName({ model, provider, ...price }: ModelPrice): ModelPrice[] {
  const models = typeof model === 'string' ? [model] : model
  const providers = provider === undefined || typeof provider === 'string' ? [provider] : provider
  return models.flatMap((each) => providers.map((by) => ({ model: each, provider: by, ...price })))
}

function present(said: Partial<PriceBookDefinition>): Partial<PriceBookDefinition> {
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
}
