import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { startRedis, startScriptedProvider, type ScriptedProvider } from '@tallygate/testkit'
import { expect } from 'chai'
import { closeExamples, startExample } from '../../gateway/test/example-process.ts'

const folder = join(import.meta.dirname, '..')
const CHAT = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }] }

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

describe('further examples of examples/express-server', () => {
  let provider: ScriptedProvider
  beforeEach(async () => {
    provider = await startScriptedProvider()
  })
  afterEach(async () => {
    await closeExamples()
    await provider.close()
  })

  const start = async (file: string, environment: Readonly<Record<string, string>> = {}): Promise<string> => {
    const variables = { PROVIDER: provider.url, PORT: '0', ...environment }
    const { output } = await startExample(`express-server/${file}.ts`, variables, /listening on \S+\n/)
    return /listening on (\S+)\n/.exec(output)![1]!
  }
  const post = async (url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer alice-has-this-secret', ...headers },
      body: JSON.stringify(body),
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

  const SERVERS: readonly [file: string, policy: string | null][] = [
    ['steps', '"requests-per-minute";q=60;w=60, "tokens-per-month";q=2000000;w='],
    ['limiters', '"requests-per-minute";q=60;w=60, "tokens-per-month";q=2000000;w='],
    ['llm-proxy', '"requests-per-60s";q=100;w=60'],
    ['sessions', '"requests-per-60s";q=100;w=60'],
    ['report', '"requests-per-minute";q=60;w=60, "tokens-per-month";q=2000000;w='],
    ['telemetry', '"requests-per-60s";q=100;w=60'],
    ['budget', '"budget";q=50000000;w='],
    ['node-http', null],
  ]
  it('sessions.ts lets sessions over WebSocket through, and meters them', async () => {
    const url = await start('sessions')
    const key = 'openai-insecure-api-key.alice-has-this-secret'
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/realtime?model=gpt-realtime`, ['realtime', key])
    const types: string[] = []
    socket.addEventListener('message', ({ data }) => types.push((JSON.parse(String(data)) as { type: string }).type))
    await once(socket, 'open')
    socket.send(JSON.stringify({ type: 'response.create' }))
    while (!types.includes('response.done')) await once(socket, 'message')
    socket.close()
    expect(provider.sessions.map(({ url: asked, responses }) => [asked, responses])).to.deep.equal([
      ['/v1/realtime?model=gpt-realtime', 1],
    ])
  })

  for (const [file, policy] of SERVERS) {
    it(`${file}.ts answers JSON and streams as the provider does, and says where its limits stand`, async () => {
      const url = `${await start(file)}/v1/chat/completions`
      const { status, headers, text } = await post(url, CHAT)
      expect(status, text).to.equal(200)
      expect(JSON.parse(text)).to.have.nested.property('usage.completion_tokens')
      expect(headers.get('ratelimit-policy')?.slice(0, policy?.length) ?? null).to.equal(policy)
      const stream = await post(url, { ...CHAT, stream: true })
      expect(stream.text.trimEnd().endsWith('data: [DONE]')).to.equal(true)
      expect(provider.requests).to.have.length(2)
    })
  }

  it('llm-proxy.ts swaps the key, and refuses callers that it does not know', async () => {
    const url = `${await start('llm-proxy', { OPENAI_API_KEY: 'sk-of-the-server' })}/v1/chat/completions`
    await post(url, CHAT)
    expect(provider.requests[0]!.headers.authorization).to.equal('Bearer sk-of-the-server')
    expect((await post(url, CHAT, { authorization: 'Bearer guessed' })).status).to.equal(401)
    expect(provider.requests).to.have.length(1)
  })

  it('guards.ts turns away who guesses, and lets the key that was handed out pass', async () => {
    const url = `${await start('guards')}/v1/chat/completions`
    const found: number[] = []
    for (let guess = 0; guess < 12; guess += 1)
      found.push((await post(url, CHAT, { authorization: `Bearer guess-${guess}` })).status)
    expect(found).to.deep.equal([...Array<number>(10).fill(401), 429, 429])
    expect((await post(url, CHAT)).status).to.equal(200)
    expect(provider.requests).to.have.length(1)
  })

  it('report.ts shows each key its own calls, and administrators all', async () => {
    const url = await start('report')
    await post(`${url}/v1/chat/completions`, CHAT)
    await post(`${url}/v1/chat/completions`, CHAT, { authorization: 'Bearer sk-other' })
    const callsOf = async (path: string, headers: Record<string, string>): Promise<unknown> => {
      const response = await fetch(url + path, { headers })
      return response.ok ? ((await response.json()) as { total: { calls: number } }).total.calls : response.status
    }
    expect(await callsOf('/usage', { authorization: 'Bearer sk-other' })).to.equal(1)
    expect(await callsOf('/admin/usage', { authorization: 'Bearer sk-other' })).to.equal(403)
    expect(await callsOf('/admin/usage', { 'x-role': 'administrator' })).to.equal(2)
  })

  for (const file of ['redis', 'flexible']) {
    it(`${file}.ts shares its limit between two servers`, async () => {
      const redis = await startRedis()
      try {
        const environment = { REDIS_URL: redis.url, TALLYGATE_PEPPER: 'the same pepper for both of the servers' }
        const urls = [await start(file, environment), await start(file, environment)]
        const remaining: number[] = []
        for (const url of [...urls, ...urls]) {
          const { headers } = await post(`${url}/v1/chat/completions`, CHAT)
          remaining.push(Number(/r=(\d+)/.exec(headers.get('ratelimit')!)![1]))
        }
        // Where a minute of the clock ends meanwhile, counting begins anew; apart, each server would count its own two.
        expect(remaining).to.satisfy((left: number[]) => new Set(left).size === 4 || left.lastIndexOf(99) > 0)
        expect(remaining).to.not.deep.equal([99, 99, 98, 98])
      } finally {
        await redis.stop()
      }
    })
  }

  it('own-handler.ts records what its handler says, for the user that the server vouches for', async () => {
    const url = await start('own-handler', { OPENAI_API_KEY: 'sk-of-the-server' })
    const { status, text, headers } = await post(`${url}/ask`, { question: 'Why?' }, { 'x-user': 'ada' })
    expect([status, text.slice(0, 14)]).to.deep.equal([200, 'You said: Why?'])
    expect(headers.get('ratelimit-policy')).to.match(/;q=20;w=60$/)
  })

  for (const file of ['admission', 'identify', 'read-usage', 'witness']) {
    it(`${file}.ts prints what its comments say`, () => {
      const path = join(folder, `${file}.ts`)
      const { stdout, stderr, status } = spawnSync(process.execPath, [path], { encoding: 'utf8' })
      expect([status, stderr]).to.deep.equal([0, ''])
      // What is said of a value comes after a colon; a value that is only described begins with an article.
      const said = [...readFileSync(path, 'utf8').matchAll(/^\s*console\.log\(.*\) \/\/ ([^:\n]+)/gm)].map(
        ([, text]) => text!,
      )
      const values = said.filter((text) => !text.startsWith('a '))
      expect(values).to.not.deep.equal([])
      const lines = stdout.trim().split('\n')
      expect(lines.slice(-values.length)).to.deep.equal(values)
    })
  }

  it('conformance.ts passes', () => {
    const mocha = join(dirname(createRequire(import.meta.url).resolve('mocha/package.json')), 'bin/mocha.js')
    const args = [mocha, '--no-config', join(folder, 'conformance.ts')]
    const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    expect(status, stdout).to.equal(0)
    expect(stdout).to.match(/\d{2,} passing/)
  })
})
