import { tellAddress } from './tell-address.ts'
// #region sessions
import { createServer } from 'node:http'
import { llmProxy, quotaMiddleware, serveSessions } from '@tallygate/express'
import express from 'express'

const app = express()
app.use(
  '/v1',
  quotaMiddleware({ limit: 100, windowMs: 60_000 }),
  llmProxy({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1` }),
)

const server = createServer(app)
serveSessions(server, app) // upgrades take the same way through the application as requests
server.listen(Number(process.env['PORT'] ?? 3000))
// #endregion sessions

tellAddress(server)
