import { floodGuard, guessGuard, quotaMiddleware } from '@tallygate/express'
import type { Quota } from '@tallygate/flow'
import { usageReportRouter } from '@tallygate/report'
import express, { type Express } from 'express'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import type { Log } from './log.ts'
import { internalError, notFound } from './own-answers.ts'
import type { ProviderProxies } from './provider-proxies.ts'

/** What callers reach: each provider under its path, and their own report. */
export function publicApp(
  { providers, reportPath = '/usage', trustProxy, bodyLimitBytes, guards = {} }: Config,
  quota: Quota,
  log: Log,
  proxies: ProviderProxies,
): Express {
  const app = express()
  app.disable('x-powered-by').disable('etag')
  if (trustProxy !== undefined) app.set('trust proxy', trustProxy)
  const { flood, guesses = {} } = guards
  if (flood !== undefined) app.use(floodGuard({ limit: flood.limit, ...defined({ windowMs: flood.window }) }))
  if (guesses !== 'off')
    app.use(guessGuard({ refuses: 'unknown-keys', ...defined({ limit: guesses.limit, windowMs: guesses.window }) }))
  app.use(reportPath, usageReportRouter({ quota }))
  for (const [name, provider] of Object.entries(providers)) {
    const { path = `/${name}` } = provider
    app.use(path, quotaMiddleware({ quota, provider: name, ...defined({ bodyLimitBytes }) }), proxies.of(provider))
  }
  app.use(notFound('There is nothing under this path. Providers stand under paths of their own.'))
  app.use(internalError(log))
  return app
}
