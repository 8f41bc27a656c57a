import { tellAddress } from './tell-address.ts'
// #region limiters
import { allOf, estimateUsage, fixedWindow, quotaMiddleware, slidingWindow } from '@tallygate/express'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

const app = express()
app.use(
  '/v1',
  estimateUsage(), // a limit on tokens has to know how large the call is
  allOf(
    slidingWindow({ limit: 60, windowMs: 60_000, identifier: 'requests-per-minute' }),
    fixedWindow({ limit: 2_000_000, unit: 'tokens', every: 'month', identifier: 'tokens-per-month' }),
  ),
  quotaMiddleware(), // meters, records, and replaces what the limiters hold by what was used
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
// #endregion limiters

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
