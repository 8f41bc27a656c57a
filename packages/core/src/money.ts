import { configError } from './config-error.ts'
import { MAX_UNITS } from './unit.ts'

/** Nanodollars in a dollar; of other currencies as well, a thousand millionth is a nano. */
export const NANOS_PER_DOLLAR = 1_000_000_000

const DECIMALS = 9
/** Above this, a number has no longer room for nine decimals. */
const MOST = 4_000_000
const DECIMAL = /^\d{1,7}(?:\.\d{1,9})?$/

/**
 * Money as limits count it, in whole nanodollars: `quota: dollars(5)`, `dollars('0.25')`.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for less than 0, more than 4 million, or more than nine decimals.
 */
export function dollars(amount: number | string, at = 'dollars()'): number {
  const nanos = billionths(amount)
  if (nanos === undefined) throw configError(at, amount, `use a number from 0 to ${MOST} with up to nine decimals`)
  return nanos
}

/** A decimal in whole billionths; `undefined` for what is none, is below 0, is over 4 million, or is finer than that. */
export function billionths(amount: unknown): number | undefined {
  if (typeof amount === 'string') {
    const [whole = '', fraction = ''] = DECIMAL.test(amount) ? amount.split('.') : []
    if (whole === '' || Number(whole) + (Number(fraction) > 0 ? 1 : 0) > MOST) return undefined
    return Number(whole + fraction.padEnd(DECIMALS, '0'))
  }
  if (typeof amount !== 'number' || !(amount >= 0 && amount <= MOST)) return undefined
  const text = amount.toFixed(DECIMALS)
  return Number(text) === amount ? Number(text.replace('.', '')) : undefined
}

/** Nanos as an exact decimal with at least two places: `5.00`, `0.000150`, `-0.10`. */
export function decimalText(nanos: number | bigint): string {
  const whole = typeof nanos === 'bigint' ? nanos : BigInt(Math.round(nanos))
  const sign = whole < 0n ? '-' : ''
  const digits = String(whole < 0n ? -whole : whole).padStart(DECIMALS + 1, '0')
  const fraction = digits.slice(-DECIMALS).replace(/0{1,7}$/, '')
  return `${sign}${digits.slice(0, -DECIMALS)}.${fraction}`
}

/** As people read it: `$5.00`, or `5.00 EUR`. */
export function moneyText(nanos: number | bigint, currency = 'USD'): string {
  return currency === 'USD' ? `$${decimalText(nanos)}` : `${decimalText(nanos)} ${currency}`
}

/** Dollars of a provider's own statement as nanodollars, rounded up to whole ones; `undefined` for what is no amount. */
export function reportedNanos(amount: unknown): number | undefined {
  if (typeof amount !== 'number' || !(amount >= 0)) return undefined
  const exact = billionths(amount)
  return exact ?? Math.min(Math.ceil(amount * NANOS_PER_DOLLAR), MAX_UNITS)
}
