import { tellAddress } from './tell-address.ts'
// #region redis
import { quotaMiddleware } from '@tallygate/express'
import { createQuota } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

const store = await RedisCounterStore.connect({
  url: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379',
  onError: (error) => console.warn(`Redis: ${error.message}`),
})
const quota = createQuota({ store })

const app = express()
app.use(
  '/v1',
  quotaMiddleware({ quota, limit: 100, windowMs: 60_000 }),
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
const server = app.listen(Number(process.env['PORT'] ?? 3000))

process.once('SIGTERM', () => {
  server.close(async () => {
    await quota.close() // settles and writes what is left
    await store.close() // stores that were given stay open until their owner closes them
  })
})
// #endregion redis

tellAddress(server)
