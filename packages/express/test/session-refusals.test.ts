import { expect } from 'chai'
import {
  AT_ONCE,
  closeSessionBeds,
  LIVE,
  openSession,
  openSessionBed,
  REALTIME,
  REQUESTS,
  TOKENS,
  type RawClient,
} from './session-bed.ts'
import { until } from './test-bed.ts'

describe('sessions over WebSocket that are refused', () => {
  afterEach(closeSessionBeds)

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
    for (const path of ['/openai/v1/dictation', '/openai/v1/responses', '/openai/v1/models', '/openai/v1/realtime/x']) {
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
