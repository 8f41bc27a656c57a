import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { loadConfig, startGateway, type Gateway } from '@tallygate/gateway'
import { startScriptedProvider, startRedis, startRedisCluster } from '@tallygate/testkit'
import { expect } from 'chai'
import {
  chat,
  closeAll,
  get,
  onClose,
  run,
  SECRETS,
  sendRaw,
  usageOf,
  writeSetting,
  type Setting,
  type Answer,
} from './running-gateway.ts'

const DIALECTS = [
  { name: 'OpenAI', path: '/openai/v1/chat/completions', place: 'authorization', unknown: /"code":"invalid_api_key"/ },
  { name: 'OpenAI responses', path: '/openai/v1/responses', place: 'authorization', unknown: /"invalid_api_key"/ },
  { name: 'Anthropic', path: '/anthropic/v1/messages', place: 'x-api-key', unknown: /"type":"authentication_error"/ },
  {
    name: 'Gemini',
    path: '/gemini/v1beta/models/gemini-pro:generateContent',
    place: 'x-goog-api-key',
    unknown: /"status":"UNAUTHENTICATED"/,
  },
] as const

describe('startGateway', () => {
  let setting: Setting
  let gateway: Gateway
  const start = async (...options: Parameters<typeof writeSetting>): Promise<void> => {
    setting = await writeSetting(...options)
    gateway = await run(setting)
  }
  afterEach(closeAll)

  describe('a call', () => {
    beforeEach(() => start())

    for (const { name, path, place, unknown } of DIALECTS) {
      it(`of ${name} passes, is in the report, and takes the gateway's key to the provider`, async () => {
        const { status, text, headers } = await chat(gateway.url, { path, headers: { [place]: keyIn(place) } })
        expect([status, headers.get('ratelimit')?.slice(0, 14)], text).to.deep.equal([200, '"requests";r=2'])
        expect(headers.get('x-request-id')).to.be.a('string')
        const received = setting.provider.requests[0]!
        expect(received.headers[place]).to.equal(
          place === 'authorization' ? `Bearer ${SECRETS.provider}` : SECRETS.provider,
        )
        expect(JSON.stringify([received.headers, received.url])).to.not.include(SECRETS.caller)
        expect(received.url).to.equal(path.replace(/^\/\w+/, ''))
        expect(await usageOf(gateway.url)).to.include({ calls: 1, failed: 0, unknown: 0 })
        expect((await usageOf(gateway.url))['inputTokens']).to.be.above(0)
      })

      it(`of ${name} with an unknown key or none is answered 401 in the dialect, and reaches nobody`, async () => {
        for (const headers of [{ authorization: 'Bearer unknown-key-0000001' }, { authorization: '' }]) {
          const { status, text } = await chat(gateway.url, { path, headers })
          expect(status).to.equal(401)
          expect(text).to.match(unknown)
        }
        expect(setting.provider.requests).to.deep.equal([])
      })
    }

    it('with the key in the query takes it no further', async () => {
      const path = `/gemini/v1beta/models/gemini-pro:generateContent?key=${SECRETS.caller}`
      expect((await chat(gateway.url, { path, headers: { authorization: '' } })).status).to.equal(200)
      const { url, headers } = setting.provider.requests[0]!
      expect(url).to.equal('/v1beta/models/gemini-pro:generateContent')
      expect(headers).to.include({ 'x-goog-api-key': SECRETS.provider })
    })

    it('past the limit is refused with what clients wait by, and never reaches the provider', async () => {
      for (let calls = 0; calls < 3; calls += 1) expect((await chat(gateway.url)).status).to.equal(200)
      const { status, headers, text } = await chat(gateway.url)
      expect([status, setting.provider.requests.length]).to.deep.equal([429, 3])
      expect(headers.get('ratelimit-policy')).to.equal('"requests";q=3;w=86400')
      expect(headers.get('ratelimit')).to.match(/^"requests";r=0;t=\d+$/)
      expect(text).to.match(/"code":"(?:insufficient_quota|rate_limit_exceeded)"/)
      expect(headers.has('retry-after')).to.equal(headers.get('x-should-retry') !== 'false')
      expect((await usageOf(gateway.url))['calls']).to.equal(3)
      expect((await chat(gateway.url, { key: SECRETS.other })).status).to.equal(200)
    })

    it('keeps its stream as the provider sends it, and counts it', async () => {
      const { text, headers } = await chat(gateway.url, { stream: true })
      expect(headers.get('content-type')).to.include('text/event-stream')
      expect(text.trimEnd().endsWith('data: [DONE]')).to.equal(true)
      expect((await usageOf(gateway.url))['outputTokens']).to.be.above(0)
    })
  })

  it('has an x-request-id on every answer', async () => {
    await start()
    const caller = { authorization: `Bearer ${SECRETS.caller}` }
    const answers = [
      await chat(gateway.url),
      await chat(gateway.url, { key: 'unknown-key-0000001' }),
      await chat(gateway.url, { path: '/nothing' }),
      await get(`${gateway.url}/usage`, caller),
      await get(`${gateway.url}/usage?month=x`, caller),
      await get(`${gateway.url}/usage`),
    ]
    expect(answers.map(({ status, headers }) => [status, headers.has('x-request-id')])).to.deep.equal(
      [200, 401, 404, 200, 400, 401].map((status) => [status, true]),
    )
  })

  it('says Retry-After where room returns within a minute', async () => {
    await start('', { plan: 'quota: 1, window: { sliding: 30s }' })
    await chat(gateway.url)
    const { status, headers } = await chat(gateway.url)
    expect(status).to.equal(429)
    expect(Number(headers.get('retry-after'))).to.be.within(1, 37)
    expect(Number(headers.get('retry-after-ms'))).to.be.within(1, 37_000)
  })

  describe('a path', () => {
    let evil: Awaited<ReturnType<typeof startScriptedProvider>>
    beforeEach(async () => {
      await start()
      evil = await startScriptedProvider()
      onClose(() => evil.close())
    })

    const UNKNOWN = ['/', '/nothing', '/nobody/v1/chat/completions', '/openai/v1/nothing', '/openai', '/metrics']
    for (const path of UNKNOWN) {
      it(`${path}, which nothing serves, is answered 404`, async () => {
        const { status, text } = await chat(gateway.url, { path })
        expect(status, text).to.equal(404)
        expect(text).to.match(/nothing under this path|not forwarded/)
        expect(setting.provider.requests).to.deep.equal([])
      })
    }

    for (const path of ['/livez', '/readyz', '/metrics']) {
      it(`${path} is for operators only`, async () => {
        expect((await get(gateway.url + path, { authorization: `Bearer ${SECRETS.caller}` })).status).to.equal(404)
        expect((await get(gateway.administrationUrl + path)).status).to.equal(200)
      })
    }

    const TRICKS: readonly [method: string, target: (evil: string) => string][] = [
      ['GET', (evil) => `//${evil}/v1/models`],
      ['GET', (evil) => `/openai//${evil}/v1/models`],
      ['POST', (evil) => `/openai//${evil}/v1/chat/completions`],
      ['GET', (evil) => `/openai/http://${evil}/v1/models`],
      ['POST', (evil) => `/openai/http://${evil}/v1/chat/completions`],
      ['GET', (evil) => `/openai/http:%2f%2f${evil}/v1/models`],
      ['GET', (evil) => `/openai/@${evil}/v1/models`],
      ['GET', (evil) => `/openai@${evil}/v1/models`],
      ['GET', (evil) => `/openai/%40${evil}/`],
      ['GET', (evil) => `/openai\\${evil}/v1/models`],
      ['GET', (evil) => `/openai/\\${evil}/v1/models`],
      ['GET', (evil) => `/openai/%5c%5c${evil}/v1/models`],
      ['GET', (evil) => `/openai/../${evil}/v1/models`],
      ['GET', (evil) => `/openai/%2e%2e/%2e%2e/${evil}/`],
      ['GET', (evil) => `/openai/v1/..%2f..%2f${evil}`],
      ['GET', (evil) => `/openai/.%2e/${evil}`],
      ['GET', (evil) => `http://${evil}/openai/v1/models`],
      ['POST', (evil) => `http://${evil}/openai/v1/chat/completions`],
      ['GET', (evil) => `http://${evil}/`],
      ['CONNECT', (evil) => evil],
      ['OPTIONS', () => '*'],
    ]
    for (const [method, target] of TRICKS) {
      it(`${method} ${target('evil')} leads to no other host`, async () => {
        const host = evil.url.slice('http://'.length)
        const body = JSON.stringify({ model: 'gpt-4o', messages: [] })
        const answer = await sendRaw(
          gateway.url,
          `${method} ${target(host)} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nX-Forwarded-Host: ${host}\r\n` +
            `Authorization: Bearer ${SECRETS.caller}\r\nContent-Type: application/json\r\n` +
            `Content-Length: ${body.length}\r\n\r\n${body}`,
        )
        expect(evil.requests).to.deep.equal([])
        expect(answer).to.not.match(/^HTTP\/1\.1 5|\.[jt]s:\d/)
        for (const { url, headers } of setting.provider.requests) {
          expect(url.startsWith('/') && !url.startsWith('//'), url).to.equal(true)
          expect(headers.host).to.equal(new URL(setting.provider.url).host)
        }
      })
    }
  })

  it('answers in the dialect, and names nobody, when the provider is away', async () => {
    await start()
    await setting.provider.close()
    const { status, text } = await chat(gateway.url)
    expect(status).to.equal(502)
    expect(JSON.parse(text)).to.have.property('error')
    expect(text).to.not.include(new URL(setting.provider.url).port)
  })

  describe('keeps its books', () => {
    it('over a restart, and its pepper readable by its owner alone', async () => {
      await start('ledger: books/usage.db')
      await chat(gateway.url)
      await gateway.stop({ delayMs: 0 })
      gateway = await run(setting)
      expect((await usageOf(gateway.url))['calls']).to.equal(1)
      expect(existsSync(join(setting.folder, 'books/pepper'))).to.equal(false)
    })

    it('with a pepper of its own where the configuration has none', async () => {
      await start()
      await closeAll()
      setting = await writeSetting()
      const { config, folder } = loadConfig(setting.file, {})
      const { pepper: _pepper, ...withoutPepper } = config
      gateway = await startGateway({ config: withoutPepper, folder })
      onClose(() => gateway.stop({ delayMs: 0 }))
      expect(statSync(join(folder, '.tallygate/pepper')).mode & 0o777).to.equal(0o600)
      expect((await chat(gateway.url)).status).to.equal(200)
    })
  })

  it('says which port is taken, and leaves nothing open', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    onClose(() => void taken.close())
    const { port } = taken.address() as AddressInfo
    setting = await writeSetting()
    const { config, folder } = loadConfig(setting.file, {})
    for (const place of ['listen', 'administration'] as const) {
      const failure = await startGateway({ config: { ...config, [place]: { port } }, folder }).catch(
        (error: unknown) => error,
      )
      expect(failure).to.include({ name: 'QuotaError', code: 'ERR_QUOTA_CONFIG' })
      expect(failure).to.have.property('message').that.includes(`127.0.0.1, port ${port}`)
    }
    await run(setting)
  })

  it('counts in a Redis Cluster, of which it is told some nodes', async () => {
    const cluster = await startRedisCluster()
    onClose(() => cluster.stop())
    await start(`counters: [${cluster.urls.slice(0, 2).join(', ')}]`, { plan: 'quota: 5, window: day' })
    const answers = await Promise.all(Array.from({ length: 12 }, () => chat(gateway.url)))
    expect(answers.filter(({ status }) => status === 200)).to.have.length(5)
    expect(answers.filter(({ status }) => status === 429)).to.have.length(7)
    expect(setting.provider.requests).to.have.length(5)
  })

  describe('with counters in Redis', () => {
    let redis: Awaited<ReturnType<typeof startRedis>>
    beforeEach(async () => {
      redis = await startRedis()
      onClose(() => redis.stop())
    })

    it('shares one limit between two gateways', async () => {
      await start(`counters: ${redis.url}`, { plan: 'quota: 10, window: day' })
      const secondSetting = await writeSetting(`counters: ${redis.url}`, { plan: 'quota: 10, window: day' })
      const second = await run(secondSetting)
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, index) => chat((index % 2 === 0 ? gateway : second).url)),
      )
      expect(answers.filter(({ status }) => status === 200)).to.have.length(10)
      expect(answers.filter(({ status }) => status === 429)).to.have.length(20)
      expect(setting.provider.requests.length + secondSetting.provider.requests.length).to.equal(10)
    })

    it('is not ready, refuses, and lives on while Redis is away', async () => {
      await start(`counters: ${redis.url}`)
      expect((await get(`${gateway.administrationUrl}/readyz`)).status).to.equal(200)
      await redis.stop()
      const readiness = (): Promise<Answer> => get(`${gateway.administrationUrl}/readyz`)
      const text = 'not ready: the counters do not answer\n'
      expect(await readiness()).to.deep.include({ status: 503, text })
      expect((await get(`${gateway.administrationUrl}/livez`)).status).to.equal(200)
      const { status, headers } = await chat(gateway.url)
      expect(status).to.equal(503)
      expect(Number(headers.get('retry-after'))).to.be.within(1, 5)
      expect(setting.provider.requests).to.deep.equal([])
      expect((await readiness()).text).to.match(/^not ready: the counters, or the ledger .* did not answer a call/)
    })

    it('does not start without it, and tells no password', async () => {
      await redis.stop()
      setting = await writeSetting(`counters: ${redis.url.replace('//', `//user:${SECRETS.other}@`)}`)
      const failure = await run(setting).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
      expect(String(failure)).to.not.include(SECRETS.other)
    })
  })
})

function keyIn(place: string): string {
  return place === 'authorization' ? `Bearer ${SECRETS.caller}` : SECRETS.caller
}
