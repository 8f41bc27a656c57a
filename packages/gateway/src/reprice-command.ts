import { existsSync } from 'node:fs'
import { moneyText, QuotaError, reprice, type PriceBook, type RepriceSummary, type Unpriced } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { instantMs } from './instant.ts'
import { ledgerFile, loadConfig } from './load-config.ts'
import { readPrices } from './price-files.ts'

/** Options of `tallygate reprice`. */
export interface RepriceCommandOptions {
  readonly config: string
  readonly prices?: readonly string[]
  readonly from: string
  readonly to: string
  readonly tenant?: string
  readonly unpriced?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

const DAY_MS = 86_400_000
const UNPRICED: readonly string[] = ['refuse', 'flag', 'family-max']

/**
 * Rates the calls of a ledger again. Returns what to print. The gateway may run meanwhile.
 *
 * @throws QuotaError where options, files or the ledger are not what they must be; the message says what to do.
 */
export async function repriceCommand(options: RepriceCommandOptions): Promise<string> {
  const loaded = loadConfig(options.config)
  const { prices } = loaded
  const book = options.prices === undefined ? prices : readPrices(options.prices, process.cwd(), process.env).book
  if (book === undefined)
    throw new QuotaError('ERR_QUOTA_CONFIG', `${options.config} names no prices: name some with --prices`)
  const { unpriced = 'refuse', dryRun = false } = options
  if (!UNPRICED.includes(unpriced))
    throw new QuotaError('ERR_QUOTA_CONFIG', `--unpriced is ${unpriced}: use ${UNPRICED.join(', ')}`)
  const fromMs = instantOf(options.from, '--from')
  const toMs = instantOf(options.to, '--to') + (options.to.includes('T') ? 0 : DAY_MS)
  if (fromMs >= toMs) throw new QuotaError('ERR_QUOTA_CONFIG', 'the range is empty: --from must be before --to')
  const file = ledgerFile(loaded)
  // Opened, it would be made, and be empty.
  if (!existsSync(file))
    throw new QuotaError('ERR_QUOTA_CONFIG', `there is no ledger ${file}: name the configuration of its gateway`)
  const ledger = await SqliteLedger.open({ file })
  try {
    const summary = await reprice({
      ledger,
      book,
      filter: { tenant: options.tenant ?? 'default', fromMs, toMs },
      atMs: Date.now(),
      unpriced: unpriced as Unpriced,
      mode: dryRun ? 'dry-run' : 'append',
    })
    return options.json === true ? inJson(summary, book) : inWords(summary, book, dryRun)
  } finally {
    await ledger.close()
  }
}

function instantOf(text: string, option: string): number {
  const ms = instantMs(text)
  if (ms === undefined)
    throw new QuotaError('ERR_QUOTA_CONFIG', `${option} is ${text}: use a date such as 2026-01-31, in UTC`)
  return ms
}

function inJson({ beforeNanos, afterNanos, ...counts }: RepriceSummary, { currency, version }: PriceBook): string {
  const costs = { before: moneyText(beforeNanos, currency), after: moneyText(afterNanos, currency) }
  return JSON.stringify({ ...counts, ...costs, prices: version })
}

function inWords(summary: RepriceSummary, { currency, version }: PriceBook, isDry: boolean): string {
  const { calls, changed, unpriced, beforeNanos, afterNanos } = summary
  return [
    `${calls} calls, ${changed} ${isDry ? 'would be' : 'are'} priced anew by ${version}, ${unpriced} of models without a price.`,
    `Cost before: ${moneyText(beforeNanos, currency)}. Cost after: ${moneyText(afterNanos, currency)}.`,
    isDry ? 'Nothing was written.' : 'Reports go by the new prices; calls and counters stay as they were.',
  ].join('\n')
}
