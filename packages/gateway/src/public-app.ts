import { llmProxy, quotaMiddleware } from '@tallygate/express'
import type { Quota } from '@tallygate/flow'
import { usageReportRouter } from '@tallygate/report'
import express, { type Express } from 'express'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import type { Log } from './log.ts'
import { internalError, notFound } from './own-answers.ts'

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
      quotaMiddleware({ quota, provider: name, ...defined({ bodyLimitBytes }) }),
      llmProxy({ target, ...defined({ ...options, timeoutMs: timeout }) }),
    )
  }
  app.use(notFound('There is nothing under this path. Providers stand under paths of their own.'))
  app.use(internalError(log))
  return app
}
