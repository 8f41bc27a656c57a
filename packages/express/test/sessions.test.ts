import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { dollars, PriceBook, type ModelPrice } from '@tallygate/core'
import { llmProxy, quotaMiddleware, serveSessions } from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { frameOf } from '@tallygate/testkit'
import { expect } from 'chai'
import express from 'express'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import {
  askForSession,
  closeServers,
  LIVE,
  masked,
  openSession,
  openSessionBed,
  PER_DAY,
  REALTIME,
  until,
  type RawClient,
} from './session-bed.ts'
import { ask, closeTestBeds, EXPRESSES, openTestBed } from './test-bed.ts'

const REQUESTS = { name: 'calls', unit: 'requests', quota: 10, window: PER_DAY } as const
const TOKENS = { name: 'tokens', unit: 'tokens', quota: 10_000, window: PER_DAY } as const
const AT_ONCE = { name: 'at-once', unit: 'requests', quota: 1, window: { kind: 'concurrent' } } as const
const SECRETS = /sk-|Bearer/

describe('sessions over WebSocket', () => {
  afterEach(async () => {
    await closeServers()
    await closeTestBeds()
  })

  for (const { version, express: expressOf } of EXPRESSES) {
    it(`are forwarded byte for byte, and metered response by response: ${version}`, async () => {
      const bed = await openSessionBed([REQUESTS, TOKENS], { express: expressOf })
      bed.provider.realtime = { usage: { input: 20, output: 30, cached: 5 }, audioBytes: 2_000 }
      const client = await openSession(bed.port)
      expect(client.status).to.equal(101)
      for (const response of [1, 2, 3]) {
        client.respond()
        await until(async () => (await bed.written()).length === response)
        expect(await bed.counted('tokens')).to.be.at.least(50 * response)
      }
      client.say(Buffer.of(0x03, 0xe8), 0x8)
      await until(() => client.isEnded)
      const [session] = bed.provider.sessions
      expect(client.bytes.equals(Buffer.concat(session!.sent))).to.equal(true)
      expect(session!.messages.map(String)).to.deep.equal(Array(3).fill('{"type":"response.create"}'))
      const entries = await bed.entries()
      expect(
        entries.map(({ usage, outcome, status }) => [usage?.inputTokens, usage?.outputTokens, outcome, status]),
      ).to.deep.equal([1, 2, 3].map(() => [20, 30, 'complete', 101]))
      expect(entries.map(({ usage }) => usage?.basis)).to.deep.equal(Array(3).fill('reported'))
      expect(new Set(entries.map(({ callId }) => callId)).size).to.equal(1)
      expect(new Set(entries.map(({ id }) => id)).size).to.equal(3)
      expect(entries[0]).to.include({
        model: 'gpt-realtime',
        responseModel: 'gpt-realtime-2026',
        operation: 'realtime',
      })
      expect(await bed.counted('tokens')).to.equal(150)
      expect(await bed.counted('calls')).to.equal(1)
    })
  }

  it('are metered with the official client, which reads what ends them', async () => {
    const bed = await openSessionBed([{ ...TOKENS, quota: 90 }], {
      proxy: { credential: { swap: 'sk-of-the-host' }, unregistered: 'pass' },
    })
    const openai = new OpenAI({ apiKey: 'sk-a-key', baseURL: `http://127.0.0.1:${bed.port}/openai/v1` })
    // The client insists on TLS; what it writes is the same without.
    const options = { createConnection: () => connect(bed.port, '127.0.0.1') }
    const client = new OpenAIRealtimeWS({ model: 'gpt-realtime', options } as never, openai)
    const events: string[] = []
    const errors: string[] = []
    client.on('event', ({ type }) => events.push(type)).on('error', ({ message }) => errors.push(message))
    const closed = once(client.socket, 'close')
    await once(client.socket, 'open')
    client.send({ type: 'response.create' })
    await until(() => events.includes('response.done'))
    client.send({ type: 'response.create' })
    const [code, reason] = (await closed) as [number, Buffer]
    expect(events.filter((type) => type === 'response.done')).to.have.length(2)
    expect(errors.join()).to.include('The quota "tokens" of 90 tokens is used up').and.to.include('insufficient_quota')
    expect(code).to.equal(1008)
    expect(String(reason)).to.include('The quota "tokens" of 90 tokens is used up')
    expect(bed.provider.sessions[0]!.headers.authorization).to.equal('Bearer sk-of-the-host')
  })

  it('of Gemini Live are metered by turn, under the model that their setup names', async () => {
    const ofModel = { ...TOKENS, name: 'of-model', when: { model: ['gemini-live-*'] } }
    const bed = await openSessionBed([REQUESTS, ofModel])
    const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
    client.say({ setup: { model: 'models/gemini-live-2.5-flash' } })
    await until(() => client.messages.length === 1)
    client.say({ client_content: { turns: [], turnComplete: true } })
    await until(async () => (await bed.written()).length === 1)
    client.say({ clientContent: { turns: [], turnComplete: true } })
    await until(async () => (await bed.written()).length === 2)
    client.socket.end()
    const entries = await bed.entries()
    expect(entries.map(({ usage, model, provider }) => [usage?.totalTokens, model, provider])).to.deep.equal(
      [1, 2].map(() => [50, 'gemini-live-2.5-flash', 'gcp.gemini']),
    )
    expect(await bed.counted('of-model')).to.equal(100)
    expect(await bed.counted('calls')).to.equal(1)
    expect(bed.provider.sessions[0]!.url).to.include('?key=sk-a-key')
  })

  it('are closed where the model that they name has no room', async () => {
    const ofModel = { ...REQUESTS, name: 'of-model', quota: 0, when: { model: ['gemini-live-*'] } }
    const bed = await openSessionBed([REQUESTS, ofModel])
    const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
    client.say({ setup: { model: 'publishers/google/models/gemini-live-2.5-flash' } })
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
  })

  describe('under a budget', () => {
    const budget = { name: 'budget', unit: 'cost', quota: dollars(5), window: PER_DAY } as const
    const priced = (prices: readonly ModelPrice[], unpriced?: 'flag' | 'family-max'): Partial<QuotaOptions> => ({
      prices: new PriceBook({ version: 'v1', prices }),
      plans: [{ name: 'plan', limits: [budget], ...(unpriced === undefined ? {} : { unpriced }) }],
      defaultPlans: ['plan'],
    })
    const realtime = { model: 'gpt-realtime', input: 4, output: 16 }

    it('cost what each response does, and hold that of one to come', async () => {
      const bed = await openSessionBed([], { quota: priced([realtime]) })
      const client = await openSession(bed.port)
      client.respond()
      await until(async () => (await bed.written()).length === 1)
      const [entry] = await bed.written()
      const cost = entry!.usage!.inputTokens! * 4_000 + entry!.usage!.outputTokens! * 16_000
      expect(entry!.usage).to.deep.include({ costNanos: cost, pricedBy: 'v1 gpt-realtime' })
      await until(async () => (await bed.counted('budget')) > cost)
      client.socket.destroy()
      await until(async () => (await bed.counted('budget')) === cost)
    })

    it('are refused before the upgrade where their model has no price', async () => {
      const bed = await openSessionBed([], { quota: priced([{ model: 'gpt-4o', input: 1 }]) })
      const client = await openSession(bed.port)
      expect(client.status).to.equal(403)
      expect(bed.provider.sessions).to.deep.equal([])
    })

    it('are closed where the model that they name later has none', async () => {
      const bed = await openSessionBed([], { quota: priced([realtime]) })
      const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
      expect(client.status).to.equal(101)
      client.say({ setup: { model: 'models/gemini-live-2.5-flash' } })
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1008)
      expect((await bed.entries())[0]!.usage?.flags ?? []).not.to.include('cut-at-quota')
      expect(await bed.counted('budget')).to.equal(0)
    })

    it('are closed after the first response where they name none', async () => {
      const bed = await openSessionBed([], { quota: priced([realtime]) })
      const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
      client.say({ clientContent: { turns: [], turnComplete: true } })
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1008)
      expect((await bed.entries())[0]!.usage).to.deep.include({ totalTokens: 50 })
    })

    it('pass with a flag, or as the dearest of their family, where the plan says so', async () => {
      for (const unpriced of ['flag', 'family-max'] as const) {
        const bed = await openSessionBed([], { quota: priced([{ model: 'gpt-4o', input: 1, output: 2 }], unpriced) })
        const client = await openSession(bed.port)
        client.respond()
        await until(async () => (await bed.written()).length === 1)
        const { usage } = (await bed.written())[0]!
        expect(usage!.flags).to.include('unpriced')
        expect(usage!.costNanos === undefined).to.equal(unpriced === 'flag')
      }
    })
  })

  describe('keys', () => {
    const CASES: readonly {
      what: string
      url?: string
      headers: Record<string, string>
      proxy?: object
      expected: Record<string, string | undefined>
      expectedUrl?: string
    }[] = [
      {
        what: 'Authorization goes on',
        headers: { authorization: 'Bearer sk-a-key', 'api-key': 'sk-other' },
        expected: { authorization: 'Bearer sk-a-key', 'api-key': undefined },
      },
      {
        what: 'api-key goes on',
        url: '/openai/realtime?deployment=gpt-realtime&api-version=2025-04-01-preview',
        headers: { 'api-key': 'sk-a-key' },
        expected: { 'api-key': 'sk-a-key' },
        expectedUrl: '/realtime?deployment=gpt-realtime&api-version=2025-04-01-preview',
      },
      {
        what: 'a key among the protocols goes on',
        headers: { 'Sec-WebSocket-Protocol': 'realtime, openai-insecure-api-key.sk-a-key' },
        expected: { 'sec-websocket-protocol': 'realtime, openai-insecure-api-key.sk-a-key' },
      },
      {
        what: 'a key among the protocols is swapped',
        headers: { 'Sec-WebSocket-Protocol': 'realtime, openai-insecure-api-key.sk-a-key, openai-beta.realtime-v1' },
        proxy: { credential: { swap: 'sk-host' }, unregistered: 'pass' },
        expected: { 'sec-websocket-protocol': 'realtime, openai-beta.realtime-v1', authorization: 'Bearer sk-host' },
      },
      {
        what: 'a key among the protocols beside another goes nowhere',
        headers: {
          authorization: 'Bearer sk-a-key',
          'Sec-WebSocket-Protocol': 'realtime, openai-insecure-api-key.sk-b',
        },
        expected: { 'sec-websocket-protocol': 'realtime', authorization: 'Bearer sk-a-key' },
      },
      {
        what: 'a key in the query is swapped',
        url: `${LIVE}?key=sk-a-key&alt=ws`,
        headers: {},
        proxy: { credential: { swap: 'sk-host' }, unregistered: 'pass' },
        expected: { 'x-goog-api-key': 'sk-host' },
        expectedUrl: '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?alt=ws',
      },
      {
        what: 'what is none of the provider’s business stays here',
        headers: {
          authorization: 'Bearer sk-a-key',
          cookie: 'session=1',
          'x-tallygate-parent': 'run-1',
          'x-forwarded-for': '10.0.0.1',
          'Sec-WebSocket-Extensions': 'permessage-deflate',
        },
        expected: {
          cookie: undefined,
          'x-tallygate-parent': undefined,
          'x-forwarded-for': undefined,
          'sec-websocket-extensions': undefined,
          upgrade: 'websocket',
        },
      },
    ]
    for (const { what, url = REALTIME, headers, proxy = {}, expected, expectedUrl } of CASES) {
      it(what, async () => {
        const bed = await openSessionBed([], { proxy })
        const client = await openSession(bed.port, url, headers)
        expect(client.status).to.equal(101)
        const [session] = bed.provider.sessions
        for (const [name, value] of Object.entries(expected)) expect(session!.headers[name], name).to.equal(value)
        if (expectedUrl !== undefined) expect(session!.url).to.equal(expectedUrl)
        client.socket.end()
        const text = JSON.stringify([await bed.entries(), bed.logged])
        expect(text).not.to.match(SECRETS)
      })
    }

    it('of the host’s account are not told of', async () => {
      const bed = await openSessionBed([REQUESTS], { proxy: { credential: { swap: 'sk-host' }, unregistered: 'pass' } })
      const client = await openSession(bed.port)
      expect(client.header('openai-organization')).to.equal(undefined)
      expect(client.header('x-request-id')).to.match(/^req_session/)
      expect(client.header('ratelimit')).to.include('"calls";r=9')
    })
  })

  describe('that are refused', () => {
    async function expectClosed(client: RawClient): Promise<void> {
      await until(() => client.isEnded)
      expect(client.header('connection')).to.equal('close')
    }

    it('get 429 in their dialect, with fields that tell where limits stand', async () => {
      const bed = await openSessionBed([{ ...REQUESTS, quota: 1 }])
      const first = await openSession(bed.port)
      expect(first.status).to.equal(101)
      const client = await openSession(bed.port)
      await expectClosed(client)
      expect(client.status).to.equal(429)
      expect(client.header('ratelimit')).to.include('"calls";r=0')
      expect(client.header('x-should-retry')).to.equal('false')
      expect(JSON.parse(client.bytes.toString())).to.have.nested.property('error.code', 'insufficient_quota')
      expect(bed.provider.sessions).to.have.length(1)
    })

    it('get 401 for a key that nobody has handed out', async () => {
      const bed = await openSessionBed([], { quota: { unregistered: 'refuse' } })
      for (const [url, body] of [
        [REALTIME, 'error.code'],
        [LIVE, 'error.status'],
      ] as const) {
        const client = await openSession(bed.port, url)
        await expectClosed(client)
        expect(client.status).to.equal(401)
        expect(JSON.parse(client.bytes.toString())).to.have.nested.property(body)
      }
      expect(bed.provider.sessions).to.have.length(0)
    })

    it('get 401 where the host’s key would pay for a stranger', async () => {
      const bed = await openSessionBed([REQUESTS], { proxy: { credential: { swap: 'sk-host' } } })
      const client = await openSession(bed.port)
      await expectClosed(client)
      expect(client.status).to.equal(401)
      expect(bed.provider.sessions).to.have.length(0)
    })

    it('get 404 where nothing would meter them, unless they may pass', async () => {
      const strict = await openSessionBed()
      for (const path of [
        '/openai/v1/dictation',
        '/openai/v1/responses',
        '/openai/v1/models',
        '/openai/v1/realtime/x',
      ]) {
        const client = await openSession(strict.port, path)
        await expectClosed(client)
        expect(client.status, path).to.equal(404)
      }
      expect(strict.provider.sessions).to.have.length(0)
      expect(strict.provider.requests).to.have.length(0)

      const open = await openSessionBed([AT_ONCE], { proxy: { unmetered: 'pass' } })
      const passed = await openSession(open.port, '/openai/v1/dictation')
      passed.respond()
      await until(() => passed.messages.some(({ type }) => type === 'response.done'))
      expect((await openSession(open.port, '/openai/v1/dictation')).status).to.equal(429)
      passed.socket.end()
      await until(() => passed.isEnded)
      await until(async () => (await openSession(open.port, '/openai/v1/dictation')).status === 101)
    })

    it('by their provider get its answer, and cost no token', async () => {
      const bed = await openSessionBed([REQUESTS, TOKENS])
      bed.provider.realtime = { status: 403 }
      const client = await openSession(bed.port)
      await expectClosed(client)
      expect(client.status).to.equal(403)
      expect(JSON.parse(client.bytes.toString())).to.have.property('error')
      const [entry, ...more] = await bed.entries()
      expect(more).to.deep.equal([])
      expect(entry).to.include({ outcome: 'failed', status: 403, usage: undefined })
      expect(await bed.counted('tokens')).to.equal(0)
    })

    it('get 502 in their dialect where the provider is not there, or agrees to what nobody offered', async () => {
      const bed = await openSessionBed([REQUESTS], { proxy: { target: 'http://127.0.0.1:1' } })
      const client = await openSession(bed.port)
      await expectClosed(client)
      expect(client.status).to.equal(502)
      expect(JSON.parse(client.bytes.toString())).to.have.nested.property('error.code', 'bad_gateway')
      const secure = await openSessionBed([], { proxy: { target: bed.provider.url.replace('http', 'https') } })
      expect((await openSession(secure.port)).status).to.equal(502)
      const other = await openSessionBed()
      other.provider.realtime = { extension: 'permessage-deflate' }
      expect((await openSession(other.port)).status).to.equal(502)
      expect(other.logged.join()).to.match(/^a provider did not answer a call .*an extension that was not offered/)
    })

    it('get 504 where the provider says nothing', async () => {
      const bed = await openSessionBed([REQUESTS], { proxy: { timeoutMs: 150 } })
      bed.provider.realtime = { delayMs: 5_000 }
      const client = await openSession(bed.port)
      expect(client.status).to.equal(504)
    })
  })

  describe('and limits', () => {
    it('hold one of those at once as long as they last, whatever they say, and give it back', async () => {
      const bed = await openSessionBed([AT_ONCE, TOKENS])
      const first = await openSession(bed.port)
      for (const response of [1, 2]) {
        first.respond()
        await until(async () => (await bed.written()).length === response)
        expect((await openSession(bed.port)).status).to.equal(429)
        expect(await bed.counted('at-once')).to.equal(1)
      }
      first.say(Buffer.of(0x03, 0xe8), 0x8)
      await until(() => first.isEnded)
      await until(async () => (await bed.counted('at-once')) === 0)
      expect((await openSession(bed.port)).status).to.equal(101)
      expect(await bed.counted('at-once')).to.equal(1)
    })

    it('end them when their quota is reached: told, closed, and so is the provider’s connection', async () => {
      const bed = await openSessionBed([{ ...TOKENS, quota: 120 }, AT_ONCE])
      const client = await openSession(bed.port)
      let reachedAtMs = 0
      for (const response of [1, 2, 3]) {
        client.respond()
        await until(async () => (await bed.written()).length === response)
        reachedAtMs = Date.now()
      }
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1008)
      const last = client.messages.at(-1) as { type: string; error: { code: string } }
      expect(last.type).to.equal('error')
      expect(last.error.code).to.equal('insufficient_quota')
      const [session] = bed.provider.sessions
      await until(() => session!.closedAtMs !== undefined)
      expect(session!.closedAtMs! - reachedAtMs).to.be.below(500)
      expect(session!.responses).to.equal(3)
      expect(await bed.counted('tokens')).to.equal(150)
      expect(await bed.counted('at-once')).to.equal(0)
      expect((await bed.entries()).length).to.equal(3)
      expect((await openSession(bed.port)).status).to.equal(429)
    })

    it('end Gemini’s with a close frame, which is all that it has', async () => {
      const bed = await openSessionBed([{ ...TOKENS, quota: 50 }])
      const client = await openSession(bed.port, LIVE, { 'x-goog-api-key': 'sk-a-key' })
      client.say({ clientContent: { turnComplete: true } })
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1008)
      expect(client.messages.some((message) => 'error' in message)).to.equal(false)
    })

    it('that only flag or watch end nothing', async () => {
      const bed = await openSessionBed([
        { ...TOKENS, quota: 10, onTrip: 'flag' },
        { ...TOKENS, name: 'watched', quota: 10, mode: 'shadow' },
      ])
      const client = await openSession(bed.port)
      for (const response of [1, 2, 3]) {
        client.respond()
        await until(async () => (await bed.written()).length === response)
      }
      expect(client.isEnded).to.equal(false)
      expect((await bed.written()).map(({ overage }) => overage)).to.deep.equal([false, true, true])
    })

    it('of which the quota is reached by others end them, too', async () => {
      const bed = await openSessionBed([{ ...TOKENS, quota: 1_000 }])
      const client = await openSession(bed.port)
      client.respond()
      await until(async () => (await bed.written()).length === 1)
      const { subject } = (await bed.written())[0]!
      await bed.quota.topUp(await bed.quota.subjectOf(subject), 'tokens', 1)
      bed.provider.script = { usage: { input: 900, output: 90 } }
      await ask(`http://127.0.0.1:${bed.port}/openai/v1/chat/completions`)
      client.respond()
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1008)
    })
  })

  describe('that end', () => {
    it('by a caller who hangs up within a response: what was said is estimated, and the provider let go', async () => {
      const bed = await openSessionBed([TOKENS])
      bed.provider.realtime = { words: 200, paceMs: 5 }
      const client = await openSession(bed.port)
      client.respond()
      await until(() => client.messages.length > 20)
      client.socket.destroy()
      const goneAtMs = Date.now()
      const [session] = bed.provider.sessions
      await until(() => session!.closedAtMs !== undefined)
      expect(session!.closedAtMs! - goneAtMs).to.be.below(500)
      await until(async () => (await bed.written()).length === 1)
      const [entry] = await bed.entries()
      expect(entry).to.include({ outcome: 'aborted', status: 101 })
      expect(entry!.usage).to.deep.include({ basis: 'estimated', flags: ['lower-bound'] })
      expect(entry!.usage!.outputTokens).to.be.within(20, 400)
      expect(await bed.counted('tokens')).to.equal(entry!.usage!.outputTokens)
    })

    it('by a caller who hangs up before the provider has agreed', async () => {
      const bed = await openSessionBed([AT_ONCE])
      bed.provider.realtime = { delayMs: 300 }
      const client = await askForSession(bed.port)
      await new Promise((resolve) => setTimeout(resolve, 100))
      expect(client.status).to.equal(undefined)
      client.socket.end()
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]).to.include({ outcome: 'aborted', status: undefined })
      expect(await bed.counted('at-once')).to.equal(0)
    })

    it('by a provider that breaks off: the caller is told', async () => {
      const bed = await openSessionBed([TOKENS])
      bed.provider.realtime = { breakAfter: 3 }
      const client = await openSession(bed.port)
      client.respond()
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1014)
      expect(client.messages.at(-1)).to.have.nested.property('error.code', 'provider_broke_off')
      const [entry] = await bed.entries()
      expect(entry).to.include({ outcome: 'failed' })
      expect(entry!.usage).to.include({ basis: 'estimated' })
    })

    it('before anything was said: they were a request, and used nothing', async () => {
      const bed = await openSessionBed([REQUESTS, TOKENS])
      const client = await openSession(bed.port)
      client.say(Buffer.of(0x03, 0xe8), 0x8)
      await until(() => client.isEnded)
      const entries = await bed.entries()
      expect(entries).to.have.length(1)
      expect(entries[0]!.usage).to.include({ basis: 'estimated', totalTokens: 0 })
      expect(await bed.counted('calls')).to.equal(1)
      expect(await bed.counted('tokens')).to.equal(0)
    })

    it('as nobody says anything', async () => {
      const bed = await openSessionBed([AT_ONCE], { proxy: { timeoutMs: 200 } })
      const client = await openSession(bed.port)
      await until(() => client.isEnded)
      expect(client.closeCode).to.equal(1001)
      await until(() => bed.provider.sessions[0]!.closedAtMs !== undefined)
      expect((await bed.entries()).length).to.equal(1)
    })

    it('as the process drains: at once where nothing is being said, else after the response', async () => {
      const bed = await openSessionBed([TOKENS])
      bed.provider.realtime = { words: 20, paceMs: 10 }
      const idle = await openSession(bed.port)
      const busy = await openSession(bed.port)
      busy.respond()
      await until(() => busy.messages.length > 3)
      await bed.quota.drain(5_000)
      await until(() => idle.isEnded && busy.isEnded)
      expect([idle.closeCode, busy.closeCode]).to.deep.equal([1001, 1001])
      const entries = await bed.written()
      expect(entries.map(({ usage }) => usage?.totalTokens)).to.have.members([0, 50])
      expect(bed.quota.pending).to.equal(0)
    })
  })

  describe('whose messages are', () => {
    it('large and binary pass unread', async () => {
      const bed = await openSessionBed([TOKENS])
      const client = await openSession(bed.port)
      const audio = Buffer.alloc(3_000_000, 0x7b)
      client.say(audio, 0x2)
      bed.provider.sessions[0]!.send(frameOf(0x2, audio))
      const { sent, messages } = bed.provider.sessions[0]!
      const bytes = sent.reduce((sum, each) => sum + each.length, 0)
      await until(() => client.bytes.length === bytes && messages.length === 1)
      expect(messages[0]!.equals(audio)).to.equal(true)
      client.respond()
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]!.usage?.totalTokens).to.equal(50)
    })

    it('a thousand, and cut anywhere, pass byte for byte and are metered once', async () => {
      const bed = await openSessionBed([TOKENS])
      const client = await openSession(bed.port)
      const usage = { input_tokens: 30, output_tokens: 40, total_tokens: 70 }
      const frames = [
        ...Array.from({ length: 1_000 }, (_, index) => ({
          type: 'response.output_text.delta',
          delta: `word ${index}`,
        })),
        { type: 'response.done', response: { usage } },
      ].map((message) => frameOf(0x1, Buffer.from(JSON.stringify(message))))
      const bytes = Buffer.concat(frames)
      const [session] = bed.provider.sessions
      for (let at = 0, size = 1; at < bytes.length; at += size) {
        size = 1 + ((at * 7_919) % 331)
        session!.send(bytes.subarray(at, at + size))
        if (at % 13 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]!.usage).to.include({ inputTokens: 30, outputTokens: 40 })
      await until(() => client.bytes.equals(Buffer.concat(session!.sent)))
      expect(client.messages).to.have.length(1_002)
    })

    it('longer than what is held are metered all the same', async () => {
      const bed = await openSessionBed([TOKENS])
      const client = await openSession(bed.port)
      const usage = { input_tokens: 3, output_tokens: 4, total_tokens: 7 }
      const output = [{ type: 'message', content: [{ type: 'text', text: '"usage":{}'.repeat(60_000) }] }]
      const done = { type: 'response.done', response: { status: 'completed', output, usage } }
      bed.provider.sessions[0]!.send(frameOf(0x1, Buffer.from(JSON.stringify(done))))
      await until(async () => (await bed.written()).length === 1)
      expect((await bed.written())[0]!.usage).to.include({ inputTokens: 3, outputTokens: 4, basis: 'reported' })
      expect(client.isEnded).to.equal(false)
    })

    it('malformed pass, and harm nobody', async () => {
      const bed = await openSessionBed([TOKENS])
      const wrong: readonly Buffer[] = [
        Buffer.of(0xf1, 2, 0x7b, 0x7d),
        Buffer.of(0x80, 1, 0x7b),
        Buffer.of(0x83, 1, 0x7b),
        frameOf(0x1, Buffer.from('{"type":"response.done","response":{"usage":{"input_tokens":"many"}}}')),
        frameOf(0x1, Buffer.from('{"usage":')),
        frameOf(0x1, Buffer.from('null')),
        Buffer.of(0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3),
      ]
      const client = await openSession(bed.port)
      for (const frame of wrong) {
        bed.provider.sessions[0]!.send(frame)
        client.socket.write(masked(frame.length > 10 ? frame : frameOf(0x1, frame)))
      }
      const expected = Buffer.concat(bed.provider.sessions[0]!.sent)
      await until(() => client.bytes.equals(expected))
      client.socket.destroy()
      expect(await bed.entries()).to.have.length(1)
    })
  })

  it('leave other requests for an upgrade alone', async () => {
    const bed = await openSessionBed()
    const url = `http://127.0.0.1:${bed.port}/openai/v1/chat/completions`
    for (const upgrade of ['h2c', 'websocket']) {
      const { status } = await askRaw(bed.port, upgrade)
      expect(status, upgrade).to.equal(200)
    }
    expect((await ask(url)).status).to.equal(200)
    expect((await bed.entries()).map(({ usage }) => usage?.basis)).to.deep.equal(['reported', 'reported', 'reported'])
  })

  it('leave those without a body alone where Node takes all of them for one, and refuse those with one', async () => {
    const bed = await openSessionBed()
    // As Node did before servers could tell.
    Object.assign(bed.server, { shouldUpgradeCallback: () => true })
    const offer = { authorization: 'Bearer sk-a-key', Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings' }
    const client = await openSession(bed.port, '/openai/v1/models', offer)
    await until(() => client.isEnded)
    expect([client.status, bed.provider.requests.length]).to.deep.equal([404, 1])
    expect((await askRaw(bed.port, 'h2c')).status).to.equal(400)
    expect(bed.provider.requests).to.have.length(1)
  })

  it('of others on the same server are left to them', async () => {
    const bed = await openTestBed()
    const app = express()
    app.use('/openai', quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url }))
    const server = createServer(app)
    serveSessions(server, app)
    serveSessions(server, app)
    server.on('upgrade', ({ url }, socket) => {
      if (url === '/chat') socket.end('HTTP/1.1 418 Theirs\r\nContent-Length: 0\r\n\r\n')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const theirs = await openSession(port, '/chat')
    expect(theirs.status).to.equal(418)
    const ours = await openSession(port)
    expect(ours.status).to.equal(101)
    ours.socket.destroy()
    theirs.socket.destroy()
    server.close()
  })
})

/** A chat completion whose request offers another protocol. */
async function askRaw(port: number, upgrade: string): Promise<{ status: number }> {
  const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }] })
  const socket = connect(port, '127.0.0.1')
  const fields = [
    'Host: localhost',
    `Connection: Upgrade${upgrade === 'h2c' ? ', HTTP2-Settings' : ''}, close`,
    `Upgrade: ${upgrade}`,
    'HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA',
    'Authorization: Bearer sk-a-key',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.write(`POST /openai/v1/chat/completions HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${body}`)
  let text = ''
  socket.on('data', (bytes: Buffer) => (text += bytes.toString())).on('error', () => {})
  await until(() => /^HTTP\/1\.1 \d{3}/.test(text))
  socket.destroy()
  return { status: Number(text.slice(9, 12)) }
}
