import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { dialectOf, problemBody } from '@tallygate/metering'
import type { Quota } from '@tallygate/flow'
import { usageReportRouter } from '@tallygate/report'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { randomUUID } from 'node:crypto'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import type { Log } from './log.ts'

/** What callers reach: each provider under its path, and their own report. */
export function publicApp(
  { providers, reportPath = '/usage', trustProxy, bodyLimitBytes }: Config,
  quota: Quota,
  log: Log,
): Express {
  const app = express()
  app.disable('x-powered-by').disable('etag')
  if (trustProxy !== undefined) app.set('trust proxy', trustProxy)
  app.use(reportPath, usageReportRouter({ quota }))
  for (const [name, { target, path = `/${name}`, timeout, ...options }] of Object.entries(providers)) {
    app.use(
      path,
      quotaMiddleware({ quota, ...defined({ bodyLimitBytes }) }),
      llmProxy({ target, ...defined({ ...options, timeoutMs: timeout }) }),
    )
  }
  app.use(notFound)
  app.use(internalError(log))
  return app
}

const notFound: RequestHandler = (req, res) => {
  answer(res, req.url, 'not-found', 404, `There is nothing under this path. Providers stand under paths of their own.`)
}

function internalError(log: Log): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    log.error({ error: error instanceof Error ? error.message : String(error) }, 'a request failed')
    if (res.headersSent) return void res.destroy()
    answer(res, req.url, 'internal', 500, 'Something went wrong here. The call was not made, or is not complete.')
  }
}

function answer(
  res: Parameters<RequestHandler>[1],
  url: string,
  kind: 'not-found' | 'internal',
  status: number,
  message: string,
): void {
  const requestId = randomUUID()
  const { contentType, body } = problemBody(dialectOf(url), { kind, status, message, requestId })
  res.status(status).set({ 'Content-Type': contentType, 'x-request-id': requestId }).end(body)
}
