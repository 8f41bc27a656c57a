import { tellAddress } from './tell-address.ts'
// #region llm-proxy
import { MemoryKeyRegistry } from '@tallygate/core'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { createQuota } from '@tallygate/flow'
import { fingerprint, pepperOf } from '@tallygate/identity'
import express from 'express'

const pepper = pepperOf(process.env['PEPPER'] ?? 'at least 32 characters, at random, kept')
const quota = createQuota({
  pepper,
  registry: new MemoryKeyRegistry([{ id: 'alice', fingerprint: fingerprint(pepper, 'alice-has-this-secret') }]),
})

const app = express()
app.use(
  '/v1',
  quotaMiddleware({ quota, limit: 100, windowMs: 60_000 }),
  llmProxy({
    target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`,
    credential: { swap: process.env['OPENAI_API_KEY'] ?? 'the key that callers never see' },
  }),
)
// #endregion llm-proxy

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
