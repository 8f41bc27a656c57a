import { QuotaError, UNITS } from '@tallygate/core'
import { refusesUnregistered } from './caller-options.ts'
import type { Config } from './config-schema.ts'
import { loadConfig } from './load-config.ts'

/** Options of `tallygate explain`. */
export interface ExplainOptions {
  readonly config: string
  readonly key: string
  readonly tenant?: string
  readonly model?: string
  readonly route?: string
  readonly amount?: readonly string[]
  readonly url?: string
  readonly json?: boolean
}

interface Explained {
  readonly admitted: boolean
  readonly reason: string | null
  readonly retryAt: string | null
  readonly rows: readonly Readonly<Record<string, string | number | boolean | null>>[]
}

const WITHIN_MS = 10_000
const MOST_SHOWN = 200
const MOST_NAMED = 10

/**
 * Asks the running gateway what would become of a call: only it knows its counters. Returns what to print.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` where it can't be asked; the message says what to do.
 */
export async function explainCommand(options: ExplainOptions): Promise<string> {
  const { config, prices } = loadConfig(options.config)
  const [administrator] = config.administration?.keys ?? []
  if (administrator === undefined)
    throw new QuotaError('ERR_QUOTA_CONFIG', `${options.config}: administration.keys has none: set one, to ask with it`)
  const base = options.url ?? addressOf(config)
  const query = queryOf(options, tenantOf(config, options))
  const response = await asked(`${base}/usage/explain?${query.toString()}`, administrator, base)
  const text = await response.text()
  if (!response.ok) throw new QuotaError('ERR_QUOTA_CONFIG', `${base} answered ${response.status}: ${detailOf(text)}`)
  return options.json === true ? text : inWords(JSON.parse(text) as Explained, prices?.currency)
}

/** The tenant of the key. Of a key that nobody has handed out, the gateway would say that no limit is for it. */
function tenantOf(config: Config, { config: file, key, tenant }: ExplainOptions): string | undefined {
  const { keys = [] } = config
  const found = keys.find(({ id }) => id === key)
  const wrong = (what: string): QuotaError => new QuotaError('ERR_QUOTA_CONFIG', what)
  if (found === undefined && refusesUnregistered(config)) {
    const some = keys.slice(0, MOST_NAMED).map(({ id }) => id)
    const others = keys.length > some.length ? ' …' : ''
    throw wrong(`${file} has no key ${key}, and others are refused: name one of ${some.join(', ') || 'none'}${others}`)
  }
  const own = found === undefined ? undefined : (found.tenant ?? 'default')
  if (own !== undefined && tenant !== undefined && tenant !== own)
    throw wrong(`--tenant is ${tenant}, and the key ${key} is of ${own}: leave --tenant out`)
  return tenant ?? found?.tenant
}

function addressOf({ administration: { host = '127.0.0.1', port = 8081 } = {} }: Config): string {
  if (port === 0)
    throw new QuotaError('ERR_QUOTA_CONFIG', 'administration.port is 0, any free one: say which with --url')
  const local = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
  return `http://${local.includes(':') ? `[${local}]` : local}:${port}`
}

async function asked(url: string, key: string, base: string): Promise<Response> {
  try {
    const signal = AbortSignal.timeout(WITHIN_MS)
    return await fetch(url, { headers: { authorization: `Bearer ${key}` }, signal, redirect: 'error' })
  } catch (error) {
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `no gateway answers at ${base} (${why}): start it, or name it with --url`,
      {
        cause: error,
      },
    )
  }
}

function queryOf({ key, model, route, amount = [] }: ExplainOptions, tenant: string | undefined): URLSearchParams {
  const query = new URLSearchParams({ key })
  for (const [name, value] of Object.entries({ tenant, model, route })) if (value !== undefined) query.set(name, value)
  for (const each of amount) {
    const [unit = '', units = ''] = each.split('=')
    if (!UNITS.some((known) => known === unit))
      throw new QuotaError('ERR_QUOTA_CONFIG', `--amount is ${each}: use a unit and a number, such as tokens=1200`)
    query.set(unit, units)
  }
  return query
}

function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown }
    return typeof detail === 'string' ? detail : text.slice(0, MOST_SHOWN)
  } catch {
    return text.slice(0, MOST_SHOWN)
  }
}

/** What would become of the call, then one paragraph a limit. */
function inWords({ admitted, reason, retryAt, rows }: Explained, currency = 'USD'): string {
  const outcome = admitted
    ? 'It would be admitted.'
    : `It would be refused: ${reason}${retryAt === null ? '' : `, room at ${retryAt}`}.`
  const limits = rows.map((row) => {
    const from = `from ${row['from']}${row['override'] === null ? '' : `, quota of ${row['override']}`}`
    const title = `${row['binding'] === true ? '* ' : '  '}${row['plan']}/${row['limit']} (${from})`
    if (row['applies'] === false) return `${title}\n    not for this call: ${row['because']}`
    const does = row['mode'] === 'shadow' ? 'shadow' : row['onTrip']
    const isMoney = row['unit'] === 'cost'
    const amount = (name: string): string => (isMoney ? inCurrency(row[name], currency) : String(row[name]))
    const quota = row['quota'] === null ? `any ${isMoney ? 'amount' : 'number of'}` : amount('quota')
    const units = isMoney ? '' : ` ${row['unit']}`
    const stands = `${amount('used')} of ${quota}${units}, ${row['window']}, ${row['trip']}, ${does}`
    const over = `can be exceeded by ${row['overshoot'] === null ? 'an unbounded amount' : amount('overshoot')}${row['overshootBecause'] === null ? '' : ` (${row['overshootBecause']})`}`
    return `${title}\n    ${stands}${row['trips'] === true ? ', no room for this call' : ''}\n    ${over}`
  })
  return [outcome, ...(limits.length === 0 ? ['No limit is for it.'] : limits)].join('\n')
}

/** Money as people read it; reports tell it as a decimal. */
function inCurrency(decimal: unknown, currency: string): string {
  return currency === 'USD' ? `$${String(decimal)}` : `${String(decimal)} ${currency}`
}
