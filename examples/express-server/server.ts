import { tellAddress } from './tell-address.ts'
// #region server
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { quotaMiddleware } from '@tallygate/express' // new
import { usageReportRouter } from '@tallygate/report' // new

const app = express()
app.get('/', (_req, res) => res.send('The server that was there before.'))

app.use('/usage', usageReportRouter()) // new
app.use('/v1', quotaMiddleware({ limit: 100, windowMs: 60_000 })) // new
app.use(
  '/v1',
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)

const server = app.listen(Number(process.env['PORT'] ?? 3000))
// #endregion server
tellAddress(server)
