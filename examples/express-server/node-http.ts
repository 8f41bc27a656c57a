import { tellAddress } from './tell-address.ts'
// #region node-http
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createQuota } from '@tallygate/flow'

const provider = process.env['PROVIDER'] ?? 'https://api.openai.com'
const quota = createQuota()

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const { method = 'GET', url = '/', headers } = req
  const call = quota.begin({ method, url, headers })
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks)

  const malformed = (await call.identify()) ?? call.read(body)
  await call.resolvePlans()
  const denial = malformed ?? (await call.admit())
  if (denial !== undefined) return void res.writeHead(denial.status, denial.headers).end(denial.body)

  call.meter()
  call.recordAtEnd()
  const answer = call.answer({ push: (bytes) => void res.write(bytes) })
  res.once('close', () => void (answer.isFinished || answer.abort())) // the caller has hung up
  const upstream = await fetch(`${provider}${url}`, {
    method: 'POST',
    headers: { authorization: headers.authorization ?? '', 'content-type': 'application/json' },
    body: new Uint8Array(call.bodyToForward() ?? body),
  })
  const type = upstream.headers.get('content-type') ?? 'application/json'
  const { set } = answer.head(upstream.status, { getHeader: (name) => (name === 'content-type' ? type : undefined) })
  res.writeHead(upstream.status, { 'content-type': type, ...set })
  for await (const bytes of upstream.body ?? []) answer.write(Buffer.from(bytes))
  res.end(await answer.end()) // what was kept back leaves when the call is in the ledger
}
// #endregion node-http

const server = createServer((req, res) => void handle(req, res).catch(() => res.destroy()))
server.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
