import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { MemoryKeyRegistry } from '@tallygate/core'
import { llmProxy, quotaMiddleware, type LlmProxyOptions } from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { fingerprint, pepperOf } from '@tallygate/identity'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, FORWARDERS, HELLO, openTestBed, PEPPER, type Asked, type TestBed } from './test-bed.ts'

const PLAN: Partial<QuotaOptions> = {
  plans: [{ name: 'p', limits: [{ name: 'calls', unit: 'requests', quota: 3, window: { kind: 'lifetime' } }] }],
  defaultPlans: ['p'],
}
const ROUTES = {
  openai: '/v1/chat/completions',
  anthropic: '/v1/messages',
  gemini: '/v1beta/models/gemini-2.5-flash:generateContent',
}
/** What tells a client library's parser of each dialect apart. */
const SHAPES = {
  openai: (json: { error: { message: string; type: string } }) => [json.error.message, json.error.type],
  anthropic: (json: { type: string; error: { message: string; type: string } }) => [
    json.error.message,
    json.type === 'error' ? json.error.type : undefined,
  ],
  gemini: (json: { error: { message: string; status: string } }) => [json.error.message, json.error.status],
}

async function proxied(
  bed: TestBed,
  options: Partial<LlmProxyOptions> = {},
  bodyLimitBytes = 100_000,
): Promise<string> {
  const app = express()
  app.use(quotaMiddleware({ quota: bed.quota, bodyLimitBytes }), llmProxy({ target: bed.provider.url, ...options }))
  return bed.serve(app)
}

/** Asserts that the bed has counted, recorded and forwarded nothing, and that a good call still works. */
async function nothingHappened(bed: TestBed, url: string): Promise<void> {
  expect(bed.provider.requests).to.have.length(0)
  expect(await bed.entries()).to.deep.equal([])
  for (let left = 3; left > 0; left -= 1) expect((await ask(url)).status).to.equal(200)
  expect((await ask(url)).status).to.equal(429)
}

describe('a bad request', () => {
  afterEach(closeTestBeds)

  const bodies: readonly { bad: string; asked: Asked; status: number; types: readonly [string, string, string] }[] = [
    {
      bad: 'broken JSON',
      asked: { body: '{"model": "gpt-4o", "messages": [' },
      status: 400,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'a duplicate key',
      asked: { body: '{"model": "cheap", "model": "dear", "messages": []}' },
      status: 400,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'an array',
      asked: { body: '[1, 2]' },
      status: 400,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'nothing',
      asked: { body: '' },
      status: 400,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'bytes that are no UTF-8',
      asked: { body: Buffer.from([0x7b, 0xff, 0xfe, 0x7d]) },
      status: 400,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'JSON as deep as it is long',
      asked: { body: '['.repeat(40_000) + ']'.repeat(40_000) },
      status: 400,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'a body above the limit',
      asked: { body: JSON.stringify({ ...HELLO, user: 'x'.repeat(100_000) }) },
      status: 413,
      types: ['invalid_request_error', 'request_too_large', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'a compressed body',
      asked: { body: gzipSync(Buffer.alloc(5_000_000)), headers: { 'content-encoding': 'gzip' } },
      status: 415,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
    {
      bad: 'a form',
      asked: { body: 'model=gpt-4o', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
      status: 415,
      types: ['invalid_request_error', 'invalid_request_error', 'INVALID_ARGUMENT'],
    },
  ]

  for (const { bad, asked, status, types } of bodies) {
    it(`with ${bad} is answered ${status} in each dialect, and changes nothing`, async () => {
      const bed = await openTestBed(PLAN)
      const url = await proxied(bed)
      for (const [index, dialect] of (['openai', 'anthropic', 'gemini'] as const).entries()) {
        const answer = await ask(url + ROUTES[dialect], asked)
        expect(answer.status, dialect).to.equal(status)
        const [message, type] = SHAPES[dialect](answer.json)
        expect(message).to.match(/^[A-Z].*\.$/)
        expect(type, dialect).to.equal(types[index])
        expect(answer.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/)
      }
      await nothingHappened(bed, url)
    })
  }

  it('above the limit without a length is refused when it gets there', async () => {
    const bed = await openTestBed(PLAN)
    const url = await proxied(bed)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      `POST ${ROUTES.openai} HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    )
    const piece = `2710\r\n${'x'.repeat(10_000)}\r\n`
    for (let sent = 0; sent < 20; sent += 1) socket.write(piece)
    let answer = ''
    for await (const chunk of socket) {
      answer += String(chunk)
      if (answer.includes('larger than')) break
    }
    expect(answer)
      .to.match(/^HTTP\/1\.1 413 /)
      .and.match(/connection: close/i)
    socket.destroy()
    await nothingHappened(bed, url)
  })

  for (const { credential, headers, message } of [
    { credential: 'no key', headers: {}, message: /No API key was given/ },
    { credential: 'an unknown key', headers: { authorization: 'Bearer sk-nobody' }, message: /is not known here/ },
    { credential: 'a key with a line feed', headers: { 'x-api-key': 'sk\u00e9 x y' }, message: /malformed/ },
    {
      credential: 'a key that is too long',
      headers: { authorization: `Bearer ${'x'.repeat(9_000)}` },
      message: /malformed/,
    },
    { credential: 'an empty Bearer', headers: { authorization: 'Bearer ' }, message: /No API key|malformed/ },
  ] as const) {
    it(`with ${credential} is answered 401 in each dialect, without the key, and changes nothing`, async () => {
      const registry = new MemoryKeyRegistry([{ id: 'one', fingerprint: fingerprint(pepperOf(PEPPER), 'sk-a-key') }])
      const bed = await openTestBed({ ...PLAN, registry })
      const url = await proxied(bed)
      for (const dialect of ['openai', 'anthropic', 'gemini'] as const) {
        const answer = await ask(url + ROUTES[dialect], { key: '', headers })
        expect(answer.status).to.equal(401)
        expect(SHAPES[dialect](answer.json)[0]).to.match(message)
        expect(answer.text).to.not.include('sk-nobody')
      }
      await nothingHappened(bed, url)
    })
  }

  it('that accepts problem documents gets one (RFC 9457)', async () => {
    const bed = await openTestBed({
      ...PLAN,
      plans: [{ name: 'p', limits: [{ name: 'calls', unit: 'requests', quota: 0, window: { kind: 'lifetime' } }] }],
    })
    const { status, headers, json } = await ask(await proxied(bed), { headers: { accept: 'application/problem+json' } })
    expect(status).to.equal(429)
    expect(headers.get('content-type')).to.match(/^application\/problem\+json/)
    expect(json).to.deep.include({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      status: 429,
      'violated-policies': ['calls'],
    })
  })
})

for (const forwarder of FORWARDERS)
  describe(`a path that tries to reach another host, forwarded by ${forwarder}`, () => {
    afterEach(closeTestBeds)

    for (const target of [
      '//evil.example/v1/chat/completions',
      '/v1/../../v1/chat/completions',
      '/v1/%2e%2e/%2E./v1/chat/completions',
      '/v1/..%2fchat/completions',
      '/v1\\..\\chat/completions',
      '/v1/%5cevil.example/chat/completions',
      '@evil.example/v1/chat/completions',
      'http://evil.example/v1/chat/completions',
      '/.//evil.example/chat/completions',
    ]) {
      it(`${target} goes nowhere`, async () => {
        const evil = createServer((_req, res) => res.end('evil')).listen(0, '127.0.0.1')
        await once(evil, 'listening')
        let reached = 0
        evil.on('request', () => (reached += 1))
        const bed = await openTestBed(PLAN)
        const url = await proxied(bed, { forwarder, unmetered: 'pass' })
        const socket = connect(Number(new URL(url).port), '127.0.0.1')
        const path = target.replaceAll('evil.example', `127.0.0.1:${(evil.address() as AddressInfo).port}`)
        const body = JSON.stringify(HELLO)
        socket.write(
          `POST ${path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        )
        let answer = ''
        for await (const chunk of socket) answer += String(chunk)
        evil.close()
        expect(answer).to.match(/^HTTP\/1\.1 4\d\d /)
        expect(reached).to.equal(0)
        expect(bed.provider.requests).to.have.length(0)
      })
    }

    it('is never told of the upstream, nor of what went wrong inside', async () => {
      const bed = await openTestBed()
      const { text } = await ask(await proxied(bed, { forwarder, target: 'http://secret-host.invalid' }))
      expect(text)
        .to.include('can not be reached')
        .and.not.match(/secret-host|ENOTFOUND|EAI_AGAIN| at /)
    })

    it('is refused where nothing would meter it, and free routes pass', async () => {
      const bed = await openTestBed()
      const url = await proxied(bed, { forwarder })
      expect((await ask(`${url}/v1/fine_tuning/jobs`)).status).to.equal(404)
      await ask(`${url}/v1/models`, { method: 'GET' })
      expect(bed.provider.requests.map(({ url: path }) => path)).to.deep.equal(['/v1/models'])
    })

    for (const [path, purpose] of [
      ['/v1/batches', 'batch of calls'],
      ['/v1/messages/batches', 'batch of calls'],
      ['/v1/videos', 'video generation'],
      ['/v1/nobody/knows/this', 'unknown route'],
    ] as const) {
      it(`is refused or flagged where nothing meters it: ${path}`, async () => {
        const bed = await openTestBed(PLAN)
        const { status, text } = await ask(`${await proxied(bed, { forwarder })}${path}`)
        expect([status, text.includes(`(${purpose}) is not forwarded`)]).to.deep.equal([404, true])
        expect(bed.provider.requests).to.have.length(0)
        await ask(`${await proxied(bed, { forwarder, unmetered: 'flag' })}${path}`)
        expect(bed.provider.requests.map(({ url }) => url)).to.deep.equal([path])
        const [entry] = await bed.entries()
        expect(entry).to.deep.include({ operation: purpose, usage: { basis: 'estimated', flags: ['unmetered'] } })
      })
    }
  })
