import { floodGuard, guessGuard, identifyKey, quotaMiddleware } from '@tallygate/express'
import type { Quota } from '@tallygate/flow'
import { usageReportRouter } from '@tallygate/report'
import express, { type Express, type Request, type RequestHandler } from 'express'
import { defined } from './config-plans.ts'
import type { Config } from './config-schema.ts'
import { guessLimit } from './guess-limit.ts'
import { loggerOf, type Log } from './log.ts'
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
  const logger = loggerOf(log)
  if (flood !== undefined) app.use(floodGuard({ limit: flood.limit, ...defined({ windowMs: flood.window }), logger }))
  if (guesses !== 'off') app.use(guessGuard({ refuses: 'unknown-keys', ...guessLimit(guesses), logger }))
  app.use(reportPath, identifyReader(quota), usageReportRouter({ quota }))
  for (const [name, provider] of Object.entries(providers)) {
    const { path = `/${name}`, target } = provider
    const { hostname: host } = new URL(target)
    app.use(
      path,
      quotaMiddleware({ quota, provider: name, host, ...defined({ bodyLimitBytes }) }),
      proxies.of(provider),
    )
  }
  app.use(notFound('There is nothing under this path. Providers stand under paths of their own.'))
  app.use(internalError(log))
  return app
}

/**
 * Has keys that nobody has handed out counted as guesses, as at providers; the report's own 401 would tell no guard. In a
 * context of its own: where a provider's path goes on below that of the report, its call begins there.
 */
function identifyReader(quota: Quota): RequestHandler {
  const skip = ({ method }: Request): boolean => method !== 'GET' && method !== 'HEAD'
  return identifyKey({ quota, requestPropertyName: 'tallygateReader', skip })
}
