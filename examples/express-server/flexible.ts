import { tellAddress } from './tell-address.ts'
// #region flexible
import { quotaMiddleware } from '@tallygate/express'
import { createQuota } from '@tallygate/flow'
import { FlexibleCounterStore } from '@tallygate/store-flexible'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { Redis } from 'ioredis'
import { RateLimiterRedis } from 'rate-limiter-flexible'

const storeClient = new Redis(process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379', {
  enableOfflineQueue: false, // while Redis is away, a decision fails at once
  maxRetriesPerRequest: 0,
  commandTimeout: 250,
})
storeClient.on('error', (error) => console.warn(`Redis: ${error.message}`))
const limiter = new RateLimiterRedis({ storeClient, keyPrefix: 'quota', points: 1, duration: 1 }) // limits are in plans
const quota = createQuota({ store: new FlexibleCounterStore({ limiter }) })

const app = express()
app.use(
  '/v1',
  quotaMiddleware({ quota, limit: 100, windowMs: 60_000 }),
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
const server = app.listen(Number(process.env['PORT'] ?? 3000))
// #endregion flexible

tellAddress(server)
