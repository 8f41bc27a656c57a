import { tellAddress } from './tell-address.ts'
// #region guards
import { floodGuard, guessGuard, quotaMiddleware } from '@tallygate/express'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'
import { quota } from './registered-keys.ts'

const app = express()
app.set('trust proxy', 1) // behind one proxy: else all callers have its address
app.use(floodGuard({ limit: 100 })) // requests a second from one address, before anything looks at them
app.use(
  '/v1',
  guessGuard(), // 10 wrong keys a minute from one address; then 429 for more of them, while registered keys pass
  quotaMiddleware({ quota }), // whose quota knows the keys that were handed out
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
// #endregion guards

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
