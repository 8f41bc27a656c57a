import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request, type ClientRequest, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { MemoryKeyRegistry, QuotaError } from '@tallygate/core'
import { fixedWindow, llmProxy, quotaMiddleware, type LlmProxyOptions } from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { fingerprint, pepperOf } from '@tallygate/identity'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, FORWARDERS, HELLO, openTestBed, PEPPER, type TestBed } from './test-bed.ts'

const OURS = 'sk-of-the-host'
const known = (): Partial<QuotaOptions> => ({
  registry: new MemoryKeyRegistry([{ id: 'one', fingerprint: fingerprint(pepperOf(PEPPER), 'sk-a-key') }]),
})
/** The head of an upload, whose body is sent by and by. */
function upload(url: string, coding: 'content-length' | 'transfer-encoding', length: number): ClientRequest {
  const said = coding === 'content-length' ? { 'content-length': length } : { 'transfer-encoding': 'chunked' }
  const headers = { authorization: 'Bearer sk-a-key', 'content-type': 'application/octet-stream', ...said }
  return request(`${url}/v1/files`, { method: 'POST', headers, agent: false })
}

const ROUTES = {
  openai: '/v1/chat/completions',
  anthropic: '/v1/messages',
  gemini: '/v1beta/models/gemini-2.5-flash:generateContent',
}

for (const forwarder of FORWARDERS)
  describe(`llmProxy, by ${forwarder}`, () => {
    const proxied = (bed: TestBed, options: Partial<LlmProxyOptions> = {}): Promise<string> =>
      bed.serve(
        express().use(
          quotaMiddleware({ quota: bed.quota }),
          llmProxy({ target: bed.provider.url, forwarder, ...options }),
        ),
      )

    afterEach(closeTestBeds)

    for (const { place, headers, path } of [
      { place: 'Authorization', headers: { authorization: 'Bearer sk-1' }, path: ROUTES.openai },
      { place: 'x-api-key', headers: { 'x-api-key': 'sk-1' }, path: ROUTES.anthropic },
      { place: 'api-key', headers: { 'api-key': 'sk-1' }, path: ROUTES.openai },
      { place: 'x-goog-api-key', headers: { 'x-goog-api-key': 'sk-1' }, path: ROUTES.gemini },
      { place: 'the query', headers: {}, path: `${ROUTES.gemini}?alt=json&key=sk-1` },
    ] as const) {
      it(`passes the caller's key on where it stood: in ${place}`, async () => {
        const bed = await openTestBed()
        expect((await ask((await proxied(bed)) + path, { key: '', headers })).status).to.equal(200)
        const [received] = bed.provider.requests
        for (const [name, value] of Object.entries(headers)) expect(received!.headers[name]).to.equal(value)
        expect(received!.url).to.equal(path)
        const [entry] = await bed.entries()
        expect(entry!.subject).to.match(/^key_/)
      })
    }

    it('passes no other key than the one that the caller was identified by', async () => {
      const bed = await openTestBed()
      const others = { 'x-api-key': 'sk-other', 'api-key': 'sk-third', 'x-goog-api-key': 'sk-fourth' }
      await ask(`${await proxied(bed)}${ROUTES.openai}?key=sk-fifth&a=1`, { headers: others })
      const [received] = bed.provider.requests
      expect(received!.headers.authorization).to.equal('Bearer sk-a-key')
      for (const name of Object.keys(others)) expect(received!.headers[name], name).to.equal(undefined)
      expect(received!.url).to.equal(`${ROUTES.openai}?a=1`)
    })

    for (const [dialect, header, value] of [
      ['openai', 'authorization', `Bearer ${OURS}`],
      ['anthropic', 'x-api-key', OURS],
      ['gemini', 'x-goog-api-key', OURS],
    ] as const) {
      it(`swaps in the host's key where ${dialect} expects one, and hides the caller's`, async () => {
        const bed = await openTestBed(known())
        const url = await proxied(bed, { credential: { swap: OURS } })
        expect((await ask(url + ROUTES[dialect])).status).to.equal(200)
        const [received] = bed.provider.requests
        expect(received!.headers[header]).to.equal(value)
        expect(JSON.stringify(received!.headers) + received!.url).to.not.include('sk-a-key')
      })
    }

    it('swaps in what a function says, in the header that is named', async () => {
      const bed = await openTestBed(known())
      const swap = (): string => 'made for this request'
      await ask(await proxied(bed, { credential: { swap }, credentialHeader: 'X-Provider-Key' }))
      expect(bed.provider.requests[0]!.headers).to.include({ 'x-provider-key': 'made for this request' })
      expect(bed.provider.requests[0]!.headers).to.not.have.property('authorization')
    })

    it('spends the key of the host on nobody whom it does not know', async () => {
      const bed = await openTestBed()
      const url = await proxied(bed, { credential: { swap: OURS } })
      for (const key of ['sk-a-stranger', '']) expect((await ask(url, { key })).status).to.equal(401)
      expect(bed.provider.requests).to.have.length(0)
      expect(await bed.entries()).to.deep.equal([])
      expect(bed.logged.filter((line) => line.includes("swaps in the host's key"))).to.have.length(1)
      const open = await proxied(bed, { credential: { swap: OURS }, unregistered: 'pass' })
      expect((await ask(open)).status).to.equal(200)
    })

    it('knows whom the host vouches for', async () => {
      const bed = await openTestBed()
      const app = express()
      app.use(quotaMiddleware({ quota: bed.quota, keyGenerator: () => 'user-7' }))
      const url = await bed.serve(
        app.use(llmProxy({ forwarder, target: bed.provider.url, credential: { swap: OURS } })),
      )
      expect((await ask(url, { key: '' })).status).to.equal(200)
    })

    it('forwards neither cookies, hop-by-hop headers, our own, nor where the caller is', async () => {
      const bed = await openTestBed()
      const not = {
        cookie: 'session=1',
        'x-forwarded-for': '203.0.113.9',
        'x-tallygate-parent': 'run-1',
        forwarded: 'for=203.0.113.9',
        via: '1.1 x',
        te: 'trailers',
      }
      await ask(await proxied(bed), { headers: { ...not, 'openai-beta': 'assistants=v2', 'x-request-tag': 'kept' } })
      const { headers } = bed.provider.requests[0]!
      for (const name of Object.keys(not)) expect(headers[name], name).to.equal(undefined)
      expect(headers).to.include({ 'openai-beta': 'assistants=v2', 'x-request-tag': 'kept' })
      expect(headers.host).to.equal(new URL(bed.provider.url).host)
    })

    it('adds headers, and puts the path of its target first', async () => {
      const bed = await openTestBed()
      const url = await proxied(bed, { target: `${bed.provider.url}/deployments/x`, headers: { 'x-org': 'acme' } })
      await ask(url)
      expect(bed.provider.requests[0]!.url).to.equal(`/deployments/x${ROUTES.openai}`)
      expect(bed.provider.requests[0]!.headers).to.include({ 'x-org': 'acme' })
    })

    it('finds the context wherever it is kept, and works below a mount point', async () => {
      const bed = await openTestBed()
      const app = express()
      app.use('/ai', quotaMiddleware({ quota: bed.quota, requestPropertyName: 'tally' }))
      const url = await bed.serve(app.use('/ai', llmProxy({ forwarder, target: bed.provider.url })))
      expect((await ask(`${url}/ai${ROUTES.openai}`)).status).to.equal(200)
      expect(bed.provider.requests[0]!.url).to.equal(ROUTES.openai)
      expect(await bed.entries()).to.have.length(1)
    })

    it('lets routes pass for free that no provider charges for', async () => {
      const plans = [
        { name: 'p', limits: [{ name: 'calls', unit: 'requests', quota: 0, window: { kind: 'lifetime' } }] },
      ] as const
      const bed = await openTestBed({ plans, defaultPlans: ['p'] })
      const app = express().use(
        quotaMiddleware({ quota: bed.quota, limit: 0 }),
        llmProxy({ forwarder, target: bed.provider.url }),
      )
      const url = await bed.serve(app)
      await ask(`${url}/v1/models`, { method: 'GET' })
      expect(bed.provider.requests).to.have.length(1)
      expect(await bed.entries()).to.deep.equal([])
      expect((await ask(url)).status).to.equal(429)
      expect((await ask(`${url}/of-the-host`, { method: 'GET' })).status).to.equal(429)
      const limited = express().use(
        fixedWindow({ quota: bed.quota, limit: 0 }),
        llmProxy({ forwarder, target: bed.provider.url }),
      )
      expect((await ask(`${await bed.serve(limited)}/v1/models`, { method: 'GET' })).status).to.equal(429)
    })

    it('hides what the provider says of the account of the host, and keeps what it says to the caller', async () => {
      const bed = await openTestBed(known())
      const upstream = await bed.serve(
        express().use((_req, res) => {
          res.set({
            'x-ratelimit-remaining-requests': '9',
            'openai-organization': 'the-host',
            'openai-processing-ms': '12',
            'set-cookie': 'a=1',
            location: 'http://10.0.0.7:9000/internal',
          })
          res.json({ usage: { prompt_tokens: 1, completion_tokens: 1 } })
        }),
      )
      const swapped = await ask(await proxied(bed, { target: upstream, credential: { swap: OURS } }))
      expect(swapped.headers.get('openai-processing-ms')).to.equal('12')
      for (const name of ['x-ratelimit-remaining-requests', 'openai-organization', 'set-cookie', 'location']) {
        expect(swapped.headers.get(name), name).to.equal(null)
      }
      const own = await ask(await proxied(bed, { target: upstream }))
      expect(own.headers.get('location')).to.equal(null)
      expect(own.headers.get('x-ratelimit-remaining-requests')).to.equal('9')
    })

    it('forwards bodies of every size byte for byte', async () => {
      const bed = await openTestBed()
      const url = await proxied(bed)
      for (const size of [0, 1, 65_000, 2_000_000]) {
        const body = JSON.stringify({ ...HELLO, user: 'é'.repeat(size) })
        expect((await ask(url, { body })).status).to.equal(200)
        expect(bed.provider.requests.at(-1)!.body.toString() === body, String(size)).to.equal(true)
      }
    })

    it('uses a connection to the provider again, but not when the provider is about to close it', async () => {
      const bed = await openTestBed()
      let connections = 0
      const upstream = createServer((_req, res) => res.end('{}'))
      upstream.keepAliveTimeout = 2_000
      upstream.on('connection', () => (connections += 1))
      upstream.listen(0, '127.0.0.1')
      await once(upstream, 'listening')
      const url = await proxied(bed, { target: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` })
      const first = await ask(url)
      expect([first.headers.get('connection'), first.headers.get('keep-alive')]).to.deep.equal([
        'keep-alive',
        'timeout=5',
      ])
      await ask(url)
      expect(connections).to.equal(1)
      await new Promise((resolve) => setTimeout(resolve, 1_300))
      await ask(url)
      expect(connections).to.equal(2)
      upstream.closeAllConnections()
      upstream.close()
    })

    // undici knows the first of these alone, and keeps the others for half a minute.
    const odd = forwarder === 'undici' ? [] : ['Timeout=2', 'timeout = "2"']
    for (const says of ['max=100, timeout=2', ...odd]) {
      it(`understands a provider that keeps a connection for "${says}"`, async () => {
        const bed = await openTestBed()
        let connections = 0
        const upstream = createServer((_req, res) =>
          res.writeHead(200, { connection: 'keep-alive', 'keep-alive': says }).end('{}'),
        )
        upstream.on('connection', () => (connections += 1))
        upstream.listen(0, '127.0.0.1')
        await once(upstream, 'listening')
        const url = await proxied(bed, { target: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}` })
        await ask(url)
        await new Promise((resolve) => setTimeout(resolve, 1_300))
        await ask(url)
        expect(connections).to.equal(2)
        upstream.closeAllConnections()
        upstream.close()
      })
    }

    for (const coding of ['content-length', 'transfer-encoding'] as const) {
      it(`lets an upload that nothing meters pass as it comes, with ${coding}`, async () => {
        const bed = await openTestBed()
        const bytes = randomBytes(3_000_000)
        const sent = upload(await proxied(bed, { unmetered: 'pass' }), coding, bytes.length)
        for (let at = 0; at < bytes.length; at += 250_000) {
          sent.write(bytes.subarray(at, at + 250_000))
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
        sent.end()
        const [answer] = (await once(sent, 'response')) as [IncomingMessage]
        await once(answer.resume(), 'end')
        const [received] = bed.provider.requests
        expect(received!.body.equals(bytes)).to.equal(true)
        expect(received!.headers[coding]).to.equal(coding === 'content-length' ? String(bytes.length) : 'chunked')
      })

      it(`lets an answer pass that comes before the end of an upload, with ${coding}`, async () => {
        const bed = await openTestBed()
        const target = await bed.serve((_req, res) => res.writeHead(413, { connection: 'close' }).end('too large'))
        const sent = upload(await proxied(bed, { unmetered: 'pass', target }), coding, 3_000_000)
        sent.on('error', () => {})
        sent.write(randomBytes(1_000))
        const [answer] = (await once(sent, 'response')) as [IncomingMessage]
        expect(answer.statusCode).to.equal(413)
        expect(String(Buffer.concat(await answer.toArray()))).to.equal('too large')
        sent.destroy()
      })
    }

    it('carries calls that were admitted before it was closed', async () => {
      const bed = await openTestBed()
      const proxy = llmProxy({ target: bed.provider.url, forwarder })
      const url = await bed.serve(express().use(quotaMiddleware({ quota: bed.quota }), proxy))
      for (const _ of [1, 2]) {
        expect((await ask(url)).status).to.equal(200)
        proxy.close()
      }
      expect((await ask(url)).status).to.equal(200)
    })

    it('has no more connections than it may, and makes calls wait for one', async () => {
      const bed = await openTestBed()
      const callers = new Set<unknown>()
      const target = await bed.serve((req, res) => {
        callers.add(req.socket)
        setTimeout(() => res.end('{}'), 20)
      })
      const url = await proxied(bed, { target, maxSockets: 2 })
      const statuses = await Promise.all(Array.from({ length: 7 }, async () => (await ask(url)).status))
      expect(statuses).to.deep.equal([200, 200, 200, 200, 200, 200, 200])
      expect(callers.size).to.equal(2)
    })

    it('closes the connection to a caller who asks for it', async () => {
      const bed = await openTestBed()
      const socket = connect(Number(new URL(await proxied(bed)).port), '127.0.0.1')
      const body = JSON.stringify(HELLO)
      const head = `POST ${ROUTES.openai} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\n`
      socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
      let answer = ''
      for await (const chunk of socket) answer += String(chunk)
      expect(answer)
        .to.match(/^HTTP\/1\.1 200 /)
        .and.match(/\r\nConnection: close\r\n/)
    }).timeout(3_000)

    it('refuses options that it does not have, or can not follow, when it is made', () => {
      const target = 'https://api.openai.com'
      for (const [says, more] of [
        [/credential is none: use 'pass', or \{ swap \}/, { credential: 'swap' }],
        [/credential is none/, { credential: { swap: '' } }],
        [/unmetered is "allow": use refuse, flag, pass/, { unmetered: 'allow' }],
        [/forwarder is "axios": use http-proxy-middleware, undici/, { forwarder: 'axios' }],
        [/timeout is 5: there is no such member/, { timeout: 5 }],
      ] as const) {
        expect(() => llmProxy({ target, ...(more as object) })).to.throw(QuotaError, says)
      }
    })

    it('refuses a target that is none when it is made', () => {
      for (const target of ['', 'api.openai.com', 'ftp://x', 'https://x/?q=1', 'https://user@x', 'https://x/#f']) {
        expect(() => llmProxy({ target }), target).to.throw(QuotaError, /use an http or https URL/)
      }
    })
  })
