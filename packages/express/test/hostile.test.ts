import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import type { Plan } from '@tallygate/core'
import { fixedWindow, llmProxy, quotaMiddleware } from '@tallygate/express'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, FORWARDERS, HELLO, openTestBed, proxied } from './test-bed.ts'

const PLAN: Plan = {
  name: 'p',
  limits: [
    { name: 'calls', unit: 'requests', quota: 9, window: { kind: 'lifetime' } },
    { name: 'tokens', unit: 'tokens', quota: 1e9, window: { kind: 'lifetime' } },
  ],
}

function portOf(url: string): number {
  return Number(new URL(url).port)
}

describe('a hostile caller', () => {
  afterEach(closeTestBeds)

  it('can not hide a request in the body of another by what Connection names', async () => {
    const bed = await openTestBed()
    const url = await proxied(bed)
    const hidden = `POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}`
    const socket = connect(portOf(url), '127.0.0.1')
    const head = `GET /v1/models HTTP/1.1\r\nHost: t\r\nConnection: content-length, x-mine, keep-alive\r\nX-Mine: 1\r\n`
    socket.write(`${head}Content-Length: ${hidden.length}\r\n\r\n`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    socket.write(hidden)
    await once(socket, 'data')
    await ask(url)
    socket.destroy()
    expect(bed.provider.requests.map(({ method, url: path }) => `${method} ${path}`)).to.deep.equal([
      'GET /v1/models',
      'POST /v1/chat/completions',
    ])
    expect(bed.provider.requests[0]!.body.toString()).to.equal(hidden)
    expect(bed.provider.requests[0]!.headers).to.not.have.property('x-mine')
    expect(await bed.entries()).to.have.length(1)
  })

  it('leaves nothing held when it was gone before the first middleware', async () => {
    const bed = await openTestBed({ plans: [PLAN], defaultPlans: ['p'] })
    const slow = Promise.withResolvers<void>()
    const arrived: string[] = []
    const app = express()
    app.use((req, _res, next) => {
      arrived.push(req.path)
      void slow.promise.then(() => next())
    })
    app.use('/v1', quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
    app.use(fixedWindow({ quota: bed.quota, limit: 1 }), (_req, res) => void res.send('ok'))
    const url = await bed.serve(app)
    for (const path of ['/v1/chat/completions', '/plain']) {
      const body = JSON.stringify(HELLO)
      const socket = connect(portOf(url), '127.0.0.1')
      socket.write(`POST ${path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n`)
      socket.write(`Content-Length: ${body.length}\r\n\r\n${body}`)
      while (!arrived.includes(path)) await new Promise(setImmediate)
      socket.destroy()
    }
    await new Promise((resolve) => setTimeout(resolve, 30))
    slow.resolve()
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(bed.quota.pending).to.equal(0)
    expect(bed.provider.requests).to.have.length(0)
    expect((await ask(`${url}/plain`)).status).to.equal(200)
  })

  it('does not spend the key of the host by being nobody to its keyGenerator', async () => {
    const bed = await openTestBed()
    const app = express()
    app.use(quotaMiddleware({ quota: bed.quota, keyGenerator: (req) => req.get('x-user') }))
    const url = await bed.serve(app.use(llmProxy({ target: bed.provider.url, credential: { swap: 'sk-host' } })))
    expect((await ask(url, { key: '' })).status).to.equal(401)
    expect((await ask(url, { key: '', headers: { 'x-user': 'ann' } })).status).to.equal(200)
    expect(bed.provider.requests).to.have.length(1)
  })

  it('passes no second key in the query, however it is spelt, and no other method', async () => {
    const bed = await openTestBed()
    const query = '?k%65y=other&access_token=other&a=1'
    await ask(`${await proxied(bed)}/v1/chat/completions${query}`, { headers: { 'x-http-method-override': 'DELETE' } })
    expect(bed.provider.requests[0]!.url).to.equal('/v1/chat/completions?a=1')
    expect(bed.provider.requests[0]!.headers).to.not.have.property('x-http-method-override')
  })

  it('holds no more output than a model can write, whatever it asks for', async () => {
    const limits = [
      { name: 'tokens', unit: 'tokens', quota: 1e9, window: { kind: 'lifetime' }, trip: 'reached' },
    ] as const
    const bed = await openTestBed({ plans: [{ name: 'p', limits }], defaultPlans: ['p'] })
    bed.provider.script = { delayMs: 100 }
    const url = await proxied(bed)
    const asked = ask(url, { body: { ...HELLO, max_tokens: 1e15 } })
    while (bed.provider.requests.length === 0) await new Promise(setImmediate)
    const other = await ask(url)
    expect(other.status).to.equal(200)
    expect((await asked).status).to.equal(200)
  })

  it('gets 400 in its dialect for a body too deep to be written again, also behind express.json()', async () => {
    const bed = await openTestBed()
    const app = express()
    app.use(
      express.json({ limit: '1mb' }),
      quotaMiddleware({ quota: bed.quota }),
      llmProxy({ target: bed.provider.url }),
    )
    const deep = `{"model":"gpt-4o","messages":[],"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`
    const { status, json } = await ask(await bed.serve(app), { body: deep })
    expect([status, json?.error?.type]).to.deep.equal([400, 'invalid_request_error'])
  })

  it('that pipelines and hangs up is charged for all that reached the provider', async () => {
    const bed = await openTestBed()
    bed.provider.script = { delayMs: 10_000 }
    const url = await proxied(bed)
    const body = JSON.stringify(HELLO)
    const one = `POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    const socket = connect(portOf(url), '127.0.0.1')
    socket.write(one.repeat(3))
    while (bed.provider.requests.length < 3) await new Promise(setImmediate)
    socket.destroy()
    while (bed.provider.requests.some(({ brokenOffAtMs }) => brokenOffAtMs === undefined))
      await new Promise(setImmediate)
    const entries = await bed.entries()
    expect(entries.map(({ outcome }) => outcome)).to.deep.equal(['aborted', 'aborted', 'aborted'])
    for (const { usage } of entries) expect(usage!.inputTokens).to.be.above(4)
  })
})

for (const forwarder of FORWARDERS)
  describe(`a slow reader, forwarded by ${forwarder}`, () => {
    afterEach(closeTestBeds)

    /** A client that reads nothing of its answer. */
    async function deaf(url: string, path: string): Promise<() => void> {
      const body = JSON.stringify({ ...HELLO, stream: true })
      const socket = connect(portOf(url), '127.0.0.1').pause()
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      )
      await once(socket, 'connect')
      return () => void socket.destroy()
    }

    it('holds up the provider, and does not fill the memory', async () => {
      let sent = 0
      const upstream = createServer((req: IncomingMessage, res) => {
        req.resume()
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        const event = `data: {"choices":[{"delta":{"content":"${'x'.repeat(64_000)}"}}]}\n\n`
        const more = (): void => {
          while (sent < 2_000 && !res.destroyed) {
            sent += 1
            if (!res.write(event)) return void res.once('drain', more)
          }
        }
        more()
      }).listen(0, '127.0.0.1')
      await once(upstream, 'listening')
      const bed = await openTestBed()
      const target = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
      const url = await bed.serve(express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target, forwarder })))
      const stop = await deaf(url, '/v1/chat/completions')
      await new Promise((resolve) => setTimeout(resolve, 400))
      expect(sent).to.be.within(1, 500)
      stop()
      upstream.closeAllConnections()
      upstream.close()
    })

    it('holds up a handler that waits for its writes', async () => {
      const bed = await openTestBed()
      let written = 0
      const app = express().use(quotaMiddleware({ quota: bed.quota }), (_req, res) => {
        res.type('text/event-stream')
        const event = `data: {"choices":[{"delta":{"content":"${'x'.repeat(64_000)}"}}]}\n\n`
        const more = (error?: Error | null): void => {
          if (error == null && written < 2_000 && !res.destroyed) {
            written += 1
            res.write(event, more)
          }
        }
        more()
      })
      const stop = await deaf(await bed.serve(app), '/v1/chat/completions')
      await new Promise((resolve) => setTimeout(resolve, 400))
      expect(written).to.be.within(1, 500)
      stop()
    })
  })
