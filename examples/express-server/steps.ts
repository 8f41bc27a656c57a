import { tellAddress } from './tell-address.ts'
// #region steps
import { enforceLimits, estimateUsage, identifyKey, meterUsage, resolvePlan, settleUsage } from '@tallygate/express'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { quota } from './quota.ts'

const app = express()
app.use(
  '/v1',
  identifyKey({ quota }), // who calls
  resolvePlan(), // which limits
  estimateUsage(), // how much, at most
  enforceLimits(), // yes or no; a yes holds the estimate
  meterUsage(), // what it really used
  settleUsage(), // into the ledger, and the hold replaced by it
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
// #endregion steps

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
