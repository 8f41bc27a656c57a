import { QuotaError } from '@tallygate/core'
import { keepRawBody, llmProxy, quotaMiddleware } from '@tallygate/express'
import { expect } from 'chai'
import type { RequestHandler } from 'express'
import { createProxyMiddleware, fixRequestBody } from 'http-proxy-middleware'
import { ask, closeTestBeds, EXPRESSES, HELLO, openTestBed } from './test-bed.ts'

const STREAMED = { ...HELLO, stream: true }
/** Bytes that a parser would not give back as they are. */
const ODD =
  '{ "model":"gpt-4o",  "temperature":1.0, "seed":12345678901234567890, "messages":[{"role":"user","content":"H\\u00e9llo!"}] }'

describe('quotaMiddleware', () => {
  const mistakes: readonly (readonly [says: RegExp, options: Record<string, unknown>])[] = [
    [/quotaMiddleware\(\)\.max is 1: there is no such member, use .*limit/, { max: 1 }],
    [/limt is 5: there is no such member/, { limt: 5 }],
    [/limit is "5": use a whole number from 0, or a function/, { limit: '5' }],
    [/windowMs is 1000: it is for a limit/, { windowMs: 1_000 }],
    [/bodyLimitBytes is -1/, { bodyLimitBytes: -1 }],
    [/statusCode is 200/, { statusCode: 200 }],
    [/quota is "mine"/, { quota: 'mine' }],
  ]
  for (const [says, options] of mistakes) {
    it(`refuses ${JSON.stringify(options)} when it is made`, () => {
      expect(() => quotaMiddleware(options))
        .to.throw(QuotaError, says)
        .with.property('code', 'ERR_QUOTA_CONFIG')
    })
  }
})

for (const { version, express } of EXPRESSES) {
  describe(`quotaMiddleware, on ${version}`, () => {
    afterEach(closeTestBeds)

    it('meters and records with no options but its quota, and limits nothing', async () => {
      const bed = await openTestBed()
      const app = express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
      const url = await bed.serve(app)
      const { status, headers, json } = await ask(url)
      expect(status).to.equal(200)
      expect(headers.has('ratelimit')).to.equal(false)
      const [entry, ...others] = await bed.entries()
      expect(others).to.deep.equal([])
      expect(entry).to.deep.include({
        outcome: 'complete',
        status: 200,
        provider: 'openai',
        model: 'gpt-4o',
        charges: [],
      })
      expect(entry!.usage).to.deep.include({
        basis: 'reported',
        inputTokens: json.usage.prompt_tokens,
        outputTokens: json.usage.completion_tokens,
      })
      expect(entry!.subject).to.match(/^key_[0-9a-f]{32}$/)
    })

    const orders = [
      {
        order: 'before plain http-proxy-middleware',
        mount: () => [],
        after: (target: string) => createProxyMiddleware({ target, changeOrigin: true }),
        isExact: true,
      },
      {
        order: 'before llmProxy',
        mount: () => [],
        after: (target: string) => llmProxy({ target }),
        isExact: true,
      },
      {
        order: 'after express.json() that keeps the raw body, before llmProxy',
        mount: () => [express.json({ verify: keepRawBody })],
        after: (target: string) => llmProxy({ target }),
        isExact: true,
      },
      {
        order: 'after express.json() without the raw body, before llmProxy',
        mount: () => [express.json()],
        after: (target: string) => llmProxy({ target }),
        isExact: false,
      },
      {
        order: 'after express.json(), before http-proxy-middleware that writes the body again',
        mount: () => [express.json()],
        after: (target: string) =>
          createProxyMiddleware({ target, changeOrigin: true, on: { proxyReq: fixRequestBody } }),
        isExact: false,
      },
      {
        order: 'after express.raw(), before llmProxy',
        mount: () => [express.raw({ type: '*/*' })],
        after: (target: string) => llmProxy({ target }),
        isExact: true,
      },
    ]

    for (const { order, mount, after, isExact } of orders) {
      it(`works ${order}`, async () => {
        const bed = await openTestBed()
        const app = express()
        for (const middleware of mount()) app.use(middleware)
        app.use(quotaMiddleware({ quota: bed.quota }), after(bed.provider.url))
        const url = await bed.serve(app)
        expect(await ask(url, { body: ODD })).to.have.property('status', 200)
        const streamed = await ask(url, { body: STREAMED })
        expect(streamed.text)
          .to.match(/data: \[DONE\]\n\n$/)
          .and.not.include('"usage"')
        const [first, second] = bed.provider.requests
        if (isExact) expect(first!.body.toString()).to.equal(ODD)
        else expect(JSON.parse(first!.body.toString())).to.deep.equal(JSON.parse(ODD))
        expect(JSON.parse(second!.body.toString())).to.deep.equal({
          ...STREAMED,
          stream_options: { include_usage: true },
        })
        const entries = await bed.entries()
        expect(
          entries.map(({ outcome, usage, streamed: isStream }) => [outcome, usage?.basis, isStream]),
        ).to.deep.equal([
          ['complete', 'reported', false],
          ['complete', 'reported', true],
        ])
      })
    }

    it('asks no stream for its usage of a provider that its host tells, under a name of our own', async () => {
      const bed = await openTestBed()
      for (const [host, asked] of [
        ['api.mistral.ai', undefined],
        ['llm.example', { include_usage: true }],
      ] as const) {
        const app = express().use(quotaMiddleware({ quota: bed.quota, provider: 'ours', host }))
        const url = await bed.serve(app.use(llmProxy({ target: bed.provider.url })))
        await ask(url, { body: STREAMED })
        expect(JSON.parse(bed.provider.requests.at(-1)!.body.toString()).stream_options).to.deep.equal(asked)
        expect((await bed.entries()).at(-1)?.provider).to.equal('ours')
      }
    })

    it('refuses a provider or a host that is no name', () => {
      for (const options of [{ provider: 5 }, { host: '' }, { host: ['api.mistral.ai'] }])
        expect(() => quotaMiddleware(options as never)).to.throw(/provider|host/)
    })

    it('leaves the body to a parser that comes after it', async () => {
      const bed = await openTestBed()
      const app = express().use(quotaMiddleware({ quota: bed.quota }), express.json(), (req, res) => {
        res.json({ echo: req.body as unknown })
      })
      const url = await bed.serve(app)
      expect((await ask(url)).json).to.deep.equal({ echo: HELLO })
    })

    it('passes routes untouched that no provider has', async () => {
      const bed = await openTestBed()
      const app = express().use(quotaMiddleware({ quota: bed.quota }), express.text(), (req, res) => {
        res.send(`${req.method} ${req.body as string}`)
      })
      const url = await bed.serve(app)
      const answer = await ask(`${url}/shop`, { headers: { 'content-type': 'text/plain' }, body: 'not json' })
      expect(answer).to.deep.include({ status: 200, text: 'POST not json' })
      expect(await bed.entries()).to.deep.equal([])
    })

    for (const [what, headers, body] of [
      ['no JSON', { 'content-type': 'text/plain' }, 'not json'],
      ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'a=b'],
      ['a compressed body', { 'content-type': 'application/json', 'content-encoding': 'br' }, 'xx'],
      ['broken JSON', {}, '{'],
      ['JSON of its own', {}, '{"text":"hi","messages":[]}'],
      ['JSON with a member twice', {}, '{"a":1,"a":2}'],
    ] as const) {
      it(`passes ${what} untouched on short paths that the host can have for itself`, async () => {
        const bed = await openTestBed()
        const app = express().use(quotaMiddleware({ quota: bed.quota }), (req, res, next) => {
          req.toArray().then((parts: Buffer[]) => res.send(Buffer.concat(parts).toString()), next)
        })
        const url = await bed.serve(app)
        for (const path of [
          '/messages',
          '/api/chat',
          '/generate',
          '/embeddings',
          '/rerank/',
          '/completion',
          '/api/responses',
        ]) {
          const answer = await ask(url + path, { headers, body })
          expect(answer, path).to.deep.include({ status: 200, text: body })
        }
        expect(await bed.entries()).to.deep.equal([])
      })
    }

    it('meters calls on short paths that are what a provider takes, and all of them where the provider is named', async () => {
      const bed = await openTestBed()
      const handler: RequestHandler = (_req, res) => {
        res.json({ usage: { input_tokens: 3, output_tokens: 4 } })
      }
      const app = express().use('/named', quotaMiddleware({ quota: bed.quota, provider: 'anthropic' }), handler)
      const url = await bed.serve(app.use(quotaMiddleware({ quota: bed.quota }), handler))
      await ask(`${url}/messages`, { body: '{"model":"claude-opus-4-8"}' })
      await ask(`${url}/named/messages`, { body: '{"a":1}' })
      expect((await ask(`${url}/named/messages`, { body: '{' })).status).to.equal(400)
      expect((await ask(`${url}/v1/messages`, { body: '{' })).status).to.equal(400)
      const entries = await bed.entries()
      expect(entries.map(({ usage }) => usage?.totalTokens)).to.deep.equal([7, 7])
    })

    it('refuses to forward to a provider what it took for a request to the host', async () => {
      const bed = await openTestBed()
      const proxy = llmProxy({ target: bed.provider.url, unmetered: 'pass' })
      const url = await bed.serve(express().use(quotaMiddleware({ quota: bed.quota }), proxy))
      const plain = await ask(`${url}/messages`, { headers: { 'content-type': 'text/plain' }, body: '{}' })
      expect(plain.status).to.equal(415)
      const odd = await ask(`${url}/responses`, { body: '{"x":1}' })
      expect(odd.status).to.equal(400)
      expect(bed.provider.requests).to.deep.equal([])
    })

    it('counts requests by its limit, and says so in the headers of every answer', async () => {
      const bed = await openTestBed()
      const app = express().use(quotaMiddleware({ quota: bed.quota, limit: 2, windowMs: 3_600_000 }), (_req, res) => {
        res.send('ok')
      })
      const url = await bed.serve(app)
      const answers = [await ask(url), await ask(url), await ask(url)]
      expect(answers.map(({ status, headers }) => [status, headers.get('ratelimit')])).to.deep.equal([
        [200, '"requests-per-3600s";r=1;t=1800'],
        [200, '"requests-per-3600s";r=0;t=1800'],
        [429, '"requests-per-3600s";r=0;t=1800'],
      ])
      expect(answers[2]!.headers.get('ratelimit-policy')).to.equal('"requests-per-3600s";q=2;w=3600')
      expect(answers[2]!.headers.get('x-should-retry')).to.equal('false')
    })

    it('applies the plans of the caller, and settles what was really used', async () => {
      const bed = await openTestBed({
        plans: [
          {
            name: 'pro',
            limits: [{ name: 'tokens', unit: 'tokens', quota: 10_000, window: { kind: 'fixed', every: 'day' } }],
          },
        ],
        defaultPlans: ['pro'],
      })
      bed.provider.script = { usage: { input: 120, output: 34 } }
      const app = express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
      const url = await bed.serve(app)
      await ask(url)
      expect(await bed.used('tokens')).to.equal(154)
      const { headers } = await ask(url, { body: STREAMED })
      expect(headers.get('ratelimit')).to.match(/^"tokens";r=\d+;t=45000$/)
      expect(await bed.used('tokens')).to.equal(308)
      const [entry] = await bed.entries()
      expect(entry!.plans).to.have.length(1)
      expect(entry!.charges).to.have.length(1)
      expect(entry!.charges[0]).to.deep.include({ counter: 'pro/tokens', unit: 'tokens', actual: 154 })
    })

    it('counts a call once where it is mounted twice', async () => {
      const limits = [{ name: 'calls', unit: 'requests', quota: 9, window: { kind: 'lifetime' } }] as const
      const bed = await openTestBed({ plans: [{ name: 'p', limits }], defaultPlans: ['p'] })
      const app = express().use(quotaMiddleware({ quota: bed.quota }))
      app.use('/v1', quotaMiddleware({ quota: bed.quota }))
      const url = await bed.serve(app.use(llmProxy({ target: bed.provider.url })))
      expect((await ask(url)).headers.get('ratelimit')).to.equal('"calls";r=8')
      expect(await bed.used('calls')).to.equal(1)
      expect(await bed.entries()).to.have.length(1)
    })

    it('answers with an id, and records that of the provider', async () => {
      const bed = await openTestBed()
      const app = express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
      const { headers } = await ask(await bed.serve(app), {
        headers: { 'idempotency-key': 'once', 'x-tallygate-parent': 'run-7' },
      })
      expect(headers.get('x-request-id')).to.match(/^req_scripted\d{10}$/)
      const [entry] = await bed.entries()
      expect(entry).to.include({ providerRequestId: headers.get('x-request-id'), parentId: 'run-7' })
      expect(entry!.callId).to.match(/^call_[0-9a-f]{32}$/)
    })

    it('records the provider by the name that the host gives it', async () => {
      const bed = await openTestBed()
      const app = express()
      app.use(quotaMiddleware({ quota: bed.quota, provider: 'mistral' }), llmProxy({ target: bed.provider.url }))
      await ask(await bed.serve(app))
      expect((await bed.entries())[0]).to.include({ provider: 'mistral', operation: 'chat' })
    })

    it('gives attempts with the same Idempotency-Key one call, and each its own entry', async () => {
      const bed = await openTestBed()
      const app = express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
      const url = await bed.serve(app)
      for (let attempt = 0; attempt < 2; attempt += 1) await ask(url, { headers: { 'idempotency-key': 'once' } })
      await ask(url, { key: 'sk-another', headers: { 'idempotency-key': 'once' } })
      const [first, second, third] = await bed.entries()
      expect(second!.callId).to.equal(first!.callId)
      expect(second!.id).not.to.equal(first!.id)
      expect(third!.callId).not.to.equal(first!.callId)
    })

    it('takes compressed answers as they are, and reads them', async () => {
      const bed = await openTestBed()
      bed.provider.script = { encoding: 'gzip', usage: { input: 50, output: 60 } }
      const app = express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
      const url = await bed.serve(app)
      const plain = await ask(url)
      expect(plain.headers.get('content-encoding')).to.equal('gzip')
      expect(plain.json.usage.prompt_tokens).to.equal(50)
      const streamed = await ask(url, { body: STREAMED })
      expect(streamed.text)
        .to.match(/\[DONE\]\n\n$/)
        .and.not.include('"usage"')
      expect(
        (await bed.entries()).map(({ usage }) => [usage!.basis, usage!.inputTokens, usage!.outputTokens]),
      ).to.deep.equal([
        ['reported', 50, 60],
        ['reported', 50, 60],
      ])
    })
  })
}
