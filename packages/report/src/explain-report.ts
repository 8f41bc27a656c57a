import {
  dollars,
  MAX_UNITS,
  QuotaError,
  UNITS,
  type Amounts,
  type ExplainedLimit,
  type OvershootCause,
  type Unit,
} from '@tallygate/core'
import type { Quota } from '@tallygate/flow'
import { amountText, instantText, originText, overrideText, windowText } from './limit-columns.ts'
import { keyFor, subjectOf, type ReportAccess } from './report-access.ts'
import { assertParameters } from './report-parameters.ts'
import type { ReportTable } from './usage-report.ts'

/** Facts of a call are names: longer ones are nobody's. */
const MOST_CHARACTERS = 256
const COLUMNS = [
  'plan',
  'version',
  'limit',
  'unit',
  'window',
  'from',
  'override',
  'applies',
  'because',
  'mode',
  'onTrip',
  'onStream',
  'trip',
  'quota',
  'used',
  'remaining',
  'resetAt',
  'amount',
  'trips',
  'binding',
  'overshoot',
  'overshootBecause',
  'whenThingsFail',
]

/**
 * What would become of a call of the caller's, counting nothing: which limits are for it, from where, where they stand,
 * which one binds, and by how much each can be exceeded at worst. The call: `model`, `service`, `route`, and units by name.
 */
export async function explainReport(quota: Quota, access: ReportAccess, query: URLSearchParams): Promise<ReportTable> {
  assertParameters(access, query, ['key', 'model', 'service', 'route', ...UNITS])
  keyFor(access, query.get('key'))
  const subject = await subjectOf(access, quota, query.get('key'))
  const facts = Object.fromEntries(
    ['model', 'service', 'route'].flatMap((name) => {
      const fact = query.get(name)
      return fact === null ? [] : [[name, fact.slice(0, MOST_CHARACTERS)]]
    }),
  )
  const { atMs, admitted, reason, retryAtMs, limits } = await quota.explain(subject, facts, amountsOf(query))
  return {
    about: {
      subject: subject.id,
      at: new Date(atMs).toISOString(),
      admitted,
      reason: reason ?? null,
      retryAt: instantText(retryAtMs),
      labels: labelsOf(limits),
    },
    columns: COLUMNS,
    rows: limits.map(rowOf),
    keyIsSecret: true,
  }
}

/** @throws QuotaError `ERR_QUOTA_QUERY` for what is no number of units. */
function amountsOf(query: URLSearchParams): Amounts {
  const given = UNITS.filter((unit) => query.has(unit)).map((unit): [string, number] => {
    const text = query.get(unit)!
    if (unit === 'cost') return [unit, costOf(text)]
    const amount = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (!(amount <= MAX_UNITS))
      throw new QuotaError(
        'ERR_QUOTA_QUERY',
        `${unit} is ${JSON.stringify(text.slice(0, 64))}: use a whole number from 0`,
      )
    return [unit, amount]
  })
  return Object.fromEntries(given)
}

/** Dollars, with or without their sign. */
function costOf(text: string): number {
  try {
    return dollars(text.replace(/^\$/, ''))
  } catch {
    throw new QuotaError('ERR_QUOTA_QUERY', `cost is ${JSON.stringify(text.slice(0, 64))}: use dollars such as 0.25`)
  }
}

function rowOf({ plan, limit, origin, because, status, amount, isBinding, overshoot }: ExplainedLimit): Row {
  const { name, unit, window, mode, onTrip, onStream, trip, quota } = limit.definition
  return {
    plan: plan.name,
    version: plan.version,
    limit: name,
    unit,
    window: windowText(window),
    from: originText(origin),
    override: overrideText(limit.override),
    applies: because === undefined,
    because: because ?? null,
    mode,
    onTrip,
    onStream,
    trip,
    quota: amountText(unit, status === undefined ? quota : status.quota),
    used: amountText(unit, status?.used ?? null),
    remaining: amountText(unit, status?.remaining ?? null),
    resetAt: instantText(status?.resetAtMs),
    amount: amountText(unit, amount),
    trips: status?.tripped ?? false,
    binding: isBinding,
    overshoot: amountText(unit, overshoot.units),
    overshootBecause: causesText(unit, overshoot.causes),
    whenThingsFail: causesText(unit, overshoot.failures),
  }
}

type Row = Readonly<Record<string, unknown>>

/** `crossing 39: …; estimate unbounded: …`; `null` where there is none. */
function causesText(unit: Unit, causes: readonly OvershootCause[]): string | null {
  if (causes.length === 0) return null
  return causes
    .map(({ cause, units, because }) => `${cause} ${amountText(unit, units) ?? 'unbounded'}: ${because}`)
    .join('; ')
}

/** Labels of the plans that have some. */
function labelsOf(limits: readonly ExplainedLimit[]): Readonly<Record<string, unknown>> {
  const plans = limits.map(({ plan }) => plan).filter(({ labels }) => Object.keys(labels).length > 0)
  return Object.fromEntries(plans.map(({ name, labels }) => [name, labels]))
}
