import { guessGuard } from '@tallygate/express'
import type { Quota } from '@tallygate/flow'
import { bearerKeys } from '@tallygate/identity'
import { usageReportRouter } from '@tallygate/report'
import express, { type Express } from 'express'
import type { Config } from './config-schema.ts'
import { guessLimit } from './guess-limit.ts'
import { loggerOf, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { internalError, notFound, unauthenticated } from './own-answers.ts'

/** What operators reach: health, metrics, and, where they have keys, the report on everybody. */
export function administrationApp(
  { administration = {}, guards: { guesses = {} } = {} }: Config,
  quota: Quota,
  metrics: Metrics,
  log: Log,
  isReady: () => Promise<boolean>,
): Express {
  const { keys = [] } = administration
  const app = express()
  app.disable('x-powered-by').disable('etag')
  app.get('/livez', (_req, res) => void res.type('text').send('live\n'))
  app.get('/readyz', async (_req, res) => {
    const ready = await isReady()
    res
      .status(ready ? 200 : 503)
      .type('text')
      .send(ready ? 'ready\n' : 'not ready\n')
  })
  app.get('/metrics', metrics.page)
  if (keys.length > 0) {
    const isAdministrator = bearerKeys(keys)
    if (guesses !== 'off')
      app.use('/usage', guessGuard({ refuses: 'everything', ...guessLimit(guesses), logger: loggerOf(log) }))
    app.use('/usage', (req, res, next) => {
      if (isAdministrator(req.headers)) return next()
      unauthenticated(req, res, next)
    })
    const authorize = (req: { query: Record<string, unknown> }): { all: true; tenant?: string } => {
      const { tenant } = req.query
      return typeof tenant === 'string' ? { all: true, tenant } : { all: true }
    }
    app.use('/usage', usageReportRouter({ quota, authorize }))
  }
  app.use(notFound('There is nothing under this path.'))
  app.use(internalError(log))
  return app
}
