// A budget in dollars for each key. The prices are yours to look up; the gateway brings some to start with.
import { tellAddress } from './tell-address.ts'
// #region budget
import { dollars, PriceBook } from '@tallygate/core'
import { quotaMiddleware } from '@tallygate/express'
import { createQuota } from '@tallygate/flow'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

const prices = new PriceBook({ prices: [{ model: 'gpt-4o', input: 2.5, cacheRead: 1.25, output: 10 }] })

const quota = createQuota({
  prices,
  plans: [
    {
      name: 'team',
      limits: [{ name: 'budget', unit: 'cost', quota: dollars(50), window: { kind: 'fixed', every: 'month' } }],
    },
  ],
  defaultPlans: ['team'],
})

const app = express()
app.use(
  '/v1',
  quotaMiddleware({ quota }),
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
// #endregion budget

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
