import { guessGuard } from '@tallygate/express'
import type { NotReadyReason, Quota } from '@tallygate/flow'
import { bearerKeys } from '@tallygate/identity'
import { usageReportRouter } from '@tallygate/report'
import express, { type Express } from 'express'
import type { Config } from './config-schema.ts'
import { guessLimit } from './guess-limit.ts'
import { loggerOf, type Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { internalError, notFound, unauthenticated } from './own-answers.ts'

/** Why a gateway is not ready. */
export type NotReady = NotReadyReason | 'stopping'

const NOT_READY: Readonly<Record<NotReady, string>> = {
  stopping: 'it is stopping',
  'counters-away': 'the counters do not answer',
  'decision-failed': 'the counters, or the ledger that they are rebuilt from, did not answer a call a moment ago',
  'no-place-for-entries': 'neither the ledger nor the outbox takes entries',
}

/** What operators reach: health, metrics, and, where they have keys, the report on everybody. */
export function administrationApp(
  { administration = {}, guards: { guesses = {} } = {} }: Config,
  quota: Quota,
  metrics: Metrics,
  log: Log,
  notReadyBecause: () => Promise<NotReady | undefined>,
): Express {
  const { keys = [] } = administration
  const app = express()
  app.disable('x-powered-by').disable('etag')
  app.get('/livez', (_req, res) => void res.type('text').send('live\n'))
  app.get('/readyz', async (_req, res) => {
    const reason = await notReadyBecause()
    res.status(reason === undefined ? 200 : 503).type('text')
    res.send(reason === undefined ? 'ready\n' : `not ready: ${NOT_READY[reason]}\n`)
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
