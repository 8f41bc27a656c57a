import { PriceBook, type ModelPrice, type Usage } from '@tallygate/core'

export const AT = Date.UTC(2026, 5, 1)

export function bookOf(...prices: ModelPrice[]): PriceBook {
  return new PriceBook({ version: 'v1', prices })
}

/** What a book makes of a usage of `m` at {@link AT}, unless told otherwise. */
export function priced(book: PriceBook, usage: Omit<Usage, 'basis'>, call: object = {}): Usage {
  return book.priced({ basis: 'reported', ...usage }, { provider: 'openai', model: 'm', atMs: AT, ...call })
}

/** By a book of this price alone. */
export function costOf(price: Omit<ModelPrice, 'model'>, usage: Omit<Usage, 'basis'>): number | undefined {
  return priced(bookOf({ model: 'm', ...price }), usage).costNanos
}
