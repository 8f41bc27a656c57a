import { tellAddress } from './tell-address.ts'
// #region report
import { quotaMiddleware } from '@tallygate/express'
import { usageReportRouter } from '@tallygate/report'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { quota } from './quota.ts'

const app = express()
app.use('/usage', usageReportRouter({ quota })) // everybody sees what belongs to his own key
app.use(
  '/admin/usage',
  usageReportRouter({ quota, authorize: (req) => (isAdministrator(req) ? { all: true } : 'none') }),
)
app.use(
  '/v1',
  quotaMiddleware({ quota }),
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
// #endregion report

function isAdministrator(req: express.Request): boolean {
  return req.get('x-role') === 'administrator' && req.socket.remoteAddress?.endsWith('127.0.0.1') === true
}

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
