import { instantOf, isTimeZone, localTime, QuotaError } from '@tallygate/core'

/** The span of a report: from its first instant to the one after its last. */
export interface ReportRange {
  readonly fromMs: number
  readonly toMs: number
  readonly zone: string
}

/** Nothing is older, and clocks of zones are only told from there. */
const FIRST_YEAR = 1970
const MONTH = /^(\d{4})-(\d{2})$/
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})$/

/**
 * Reads `from`, `to`, `month` and `zone` of a query. Months and days are those of the zone, and `to` includes its own;
 * instants are RFC 3339, and `to` is the one after the last. Default: twelve months, of which the last is that of `to`,
 * or this one.
 *
 * @throws QuotaError `ERR_QUOTA_QUERY` for what is no date.
 */
export function reportRange(query: URLSearchParams, nowMs: number): ReportRange {
  const zone = query.get('zone') ?? 'UTC'
  if (!isTimeZone(zone)) throw wrong('zone', zone, 'a name of the IANA time zone database, such as Europe/Berlin')
  const month = query.get('month')
  if (month !== null) {
    if (query.has('from') || query.has('to'))
      throw new QuotaError('ERR_QUOTA_QUERY', 'month is given beside from or to: use one or the other')
    return { ...spanOf(month, MONTH, zone, 'month'), zone }
  }
  const [from, to] = [query.get('from'), query.get('to')]
  // To the end of the month, and not to now: the clock that stamps calls may be ahead of ours.
  const toMs = to === null ? instantOf(zone, monthMs(zone, nowMs, 1)) : spanOf(to, undefined, zone, 'to').toMs
  const fromMs =
    from === null ? instantOf(zone, monthMs(zone, toMs - 1, -11)) : spanOf(from, undefined, zone, 'from').fromMs
  if (fromMs >= toMs) throw new QuotaError('ERR_QUOTA_QUERY', 'the range is empty: from must be before to')
  return { fromMs, toMs, zone }
}

/** What a month, a day or an instant stands for. */
function spanOf(text: string, only: RegExp | undefined, zone: string, name: string): { fromMs: number; toMs: number } {
  if (INSTANT.test(text) && only === undefined) {
    // `Date.parse` takes a 30th of February for a day in March.
    spanOf(text.slice(0, 10), DAY, zone, name)
    const atMs = Date.parse(text)
    if (!Number.isNaN(atMs)) return { fromMs: atMs, toMs: atMs }
  }
  const [, year, month, day] = (only ?? (DAY.test(text) ? DAY : MONTH)).exec(text) ?? []
  if (year === undefined)
    throw wrong(
      name,
      text,
      only === undefined
        ? 'a day (2026-01-31), a month (2026-01) or an instant (2026-01-31T12:00:00Z)'
        : 'a month: 2026-01',
    )
  const start = localMs(Number(year), Number(month) - 1, day === undefined ? 1 : Number(day))
  const isReal = new Date(start).toISOString().startsWith(text)
  if (!isReal || Number(year) < FIRST_YEAR)
    throw wrong(name, text, `a date that the calendar has, from ${FIRST_YEAR} on`)
  const end =
    day === undefined ? localMs(Number(year), Number(month)) : localMs(Number(year), Number(month) - 1, Number(day) + 1)
  return { fromMs: instantOf(zone, start), toMs: instantOf(zone, end) }
}

/** The local time at which the month of an instant begins, or one so many months away. */
function monthMs(zone: string, atMs: number, monthsAway: number): number {
  const local = new Date(localTime(zone, atMs))
  return localMs(local.getUTCFullYear(), local.getUTCMonth() + monthsAway)
}

function localMs(year: number, month: number, day = 1): number {
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  return date.getTime()
}

function wrong(name: string, value: string, use: string): QuotaError {
  return new QuotaError('ERR_QUOTA_QUERY', `${name} is ${JSON.stringify(value.slice(0, 64))}: use ${use}`)
}
