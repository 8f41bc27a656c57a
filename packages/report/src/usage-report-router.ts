import { randomUUID } from 'node:crypto'
import { isQuotaError, type QuotaError, type QuotaErrorCode } from '@tallygate/core'
import { defaultQuota, saySeldom, type Quota } from '@tallygate/flow'
import type { Request, RequestHandler, Response } from 'express'
import { AccessDenied, accessOf, type Authorize } from './report-access.ts'
import { csvOf } from './report-csv.ts'
import { explainReport } from './explain-report.ts'
import { limitsReport } from './limits-report.ts'
import { callsReport, usageReport, type ReportTable } from './usage-report.ts'

export interface UsageReportRouterOptions {
  /** Default: the quota that the process shares; see `defaultQuota`. */
  readonly quota?: Quota
  /** Tells what a request may see. Default: what belongs to the key that it carries. */
  readonly authorize?: Authorize
  /** Milliseconds since the epoch. Default: the machine's clock. */
  readonly clock?: () => number
}

const UNAVAILABLE: ReadonlySet<QuotaErrorCode> = new Set<QuotaErrorCode>([
  'ERR_QUOTA_LEDGER_UNAVAILABLE',
  'ERR_QUOTA_STORE_UNAVAILABLE',
  'ERR_QUOTA_STALE',
])

function isUnavailable(error: unknown): error is QuotaError {
  return isQuotaError(error) && UNAVAILABLE.has(error.code)
}

type Report = (quota: Quota, req: Request, query: URLSearchParams) => Promise<ReportTable>

/**
 * The usage report, read-only: `app.use('/usage', usageReportRouter())`. `GET /` sums usage by key, model, provider, plan,
 * day or month; `GET /limits` tells where the caller's limits stand, `GET /explain` what would become of a call; `GET
 * /calls` lists single calls. JSON, or CSV with `?format=csv` or `Accept: text/csv`. Without `authorize` everybody sees
 * what belongs to his own key.
 */
export function usageReportRouter(options: UsageReportRouterOptions = {}): RequestHandler {
  const { quota, authorize, clock = Date.now } = options
  const reports: Readonly<Record<string, Report>> = {
    '/': async (of, req, query) => usageReport(of.ledger, await accessOf(req, of, authorize), query, clock()),
    '/calls': async (of, req, query) => callsReport(of.ledger, await accessOf(req, of, authorize), query, clock()),
    '/explain': async (of, req, query) => explainReport(of, await accessOf(req, of, authorize), query),
    '/limits': async (of, req, query) => limitsReport(of, await accessOf(req, of, authorize), query),
  }

  const answer = async (path: string, req: Request, query: URLSearchParams): Promise<ReportTable> => {
    const of = quota ?? (await defaultQuota())
    try {
      return await reports[path]!(of, req, query)
    } catch (error) {
      if (isUnavailable(error)) {
        const { code, message: cause } = error
        saySeldom(of.logger, {
          level: 'error',
          message: 'the report can not be read',
          kind: `${path} ${code}`,
          about: { cause },
        })
      }
      throw error
    }
  }

  return function usageReportRouter(req, res, next) {
    const path = req.path === '/' ? req.path : req.path.replace(/\/$/, '')
    if (!Object.hasOwn(reports, path) || (req.method !== 'GET' && req.method !== 'HEAD')) return next()
    const query = queryOf(req.url)
    answer(path, req, query).then(
      (table) => send(req, res, query, table),
      (error: unknown) => {
        if (error instanceof AccessDenied) return sendProblem(res, error.status, error.message)
        if (isQuotaError(error, 'ERR_QUOTA_QUERY')) return sendProblem(res, 400, error.message)
        if (isUnavailable(error))
          return sendProblem(res, 503, 'The report can not be read right now. Try again in a moment.')
        next(error)
      },
    )
  }
}

/** Parameters of a url, which may be anything that a client can write: no parser of whole urls has to like it. */
function queryOf(url: string): URLSearchParams {
  const at = url.indexOf('?')
  return new URLSearchParams(at === -1 ? '' : url.slice(at + 1))
}

function send(
  req: Request,
  res: Response,
  query: URLSearchParams,
  { about, columns, rows, total, next, keyIsSecret }: ReportTable,
): void {
  const format = query.get('format')
  if (format !== null && format !== 'json' && format !== 'csv') {
    return sendProblem(res, 400, `format is ${JSON.stringify(format.slice(0, 64))}: use json or csv`)
  }
  const link = next === undefined ? undefined : linkTo(req, query, { ...next }, keyIsSecret)
  res.setHeader('Cache-Control', 'no-store')
  if (link !== undefined) res.setHeader('Link', `<${link}>; rel="next"`)
  const isCsv = format === 'csv' || (format === null && req.headers.accept?.includes('text/csv') === true)
  if (isCsv) {
    res.setHeader('Content-Disposition', 'attachment; filename="usage.csv"')
    return respond(res, 200, 'text/csv; charset=utf-8', csvOf(columns, rows))
  }
  const body = { ...about, rows, ...(total === undefined ? {} : { total }), next: link ?? null }
  respond(res, 200, 'application/json; charset=utf-8', JSON.stringify(body))
}

/** The same report, one page on. A credential that stood in the query stays out of it. */
function linkTo(
  req: Request,
  query: URLSearchParams,
  next: Readonly<Record<string, string>>,
  keyIsSecret: boolean,
): string {
  const parameters = new URLSearchParams(query)
  if (keyIsSecret) parameters.delete('key')
  for (const [name, value] of Object.entries(next)) parameters.set(name, value)
  return `${req.baseUrl}${req.path}?${parameters.toString()}`
}

/** RFC 9457. */
function sendProblem(res: Response, status: number, detail: string): void {
  res.setHeader('Cache-Control', 'no-store')
  if (status === 401) res.setHeader('WWW-Authenticate', 'Bearer')
  const titles: Readonly<Record<number, string>> = {
    400: 'Bad Request',
    401: 'Unauthorized',
    403: 'Forbidden',
    404: 'Not Found',
    503: 'Service Unavailable',
  }
  respond(
    res,
    status,
    'application/problem+json',
    JSON.stringify({ type: 'about:blank', title: titles[status], status, detail }),
  )
}

function respond(res: Response, status: number, type: string, body: string): void {
  res.statusCode = status
  res.setHeader('Content-Type', type)
  res.setHeader('Content-Length', Buffer.byteLength(body))
  if (!res.hasHeader('x-request-id')) res.setHeader('x-request-id', randomUUID())
  res.end(body)
}
