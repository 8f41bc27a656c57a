import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { startScriptedProvider, type ScriptedProvider } from '@tallygate/testkit'
import { expect } from 'chai'
import { closeExamples, startExample, type ExampleProcess } from '../../gateway/test/example-process.ts'

const KEY = { authorization: 'Bearer sk-anything' }

describe('examples/express-server', () => {
  let provider: ScriptedProvider
  let example: ExampleProcess
  let url: string
  beforeEach(async () => {
    provider = await startScriptedProvider()
    example = await startExample(
      'express-server/server.ts',
      { PROVIDER: provider.url, PORT: '0' },
      /listening on \S+\n/,
    )
    url = /listening on (\S+)\n/.exec(example.output)![1]!
  })
  afterEach(async () => {
    await closeExamples()
    await provider.close()
  })

  const chat = (members: object = {}, headers: Record<string, string> = KEY): Promise<Response> =>
    fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }], ...members }),
    })
  const totalOf = async (headers: Record<string, string> = KEY): Promise<Record<string, number>> => {
    const response = await fetch(`${url}/usage`, { headers })
    return ((await response.json()) as { total: Record<string, number> }).total
  }

  it('is the server that was there before', async () => {
    expect(await (await fetch(url)).text()).to.equal('The server that was there before.')
  })

  it('answers as the provider does, passes the key on, and shows each key its own calls', async () => {
    const direct = await fetch(`${provider.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: 'Hello!' }] }),
    })
    const { usage, choices } = (await direct.json()) as Record<string, Record<string, number>>
    const answer = await chat()
    expect(await answer.json()).to.deep.include({ usage, choices })
    expect(answer.headers.get('ratelimit-policy')).to.equal('"requests-per-60s";q=100;w=60')
    expect(provider.requests[1]!.headers).to.include(KEY)
    expect(provider.requests[1]!.url).to.equal('/v1/chat/completions')
    await (await chat({ stream: true })).text()
    expect(await totalOf()).to.include({ calls: 2, estimated: 0, outputTokens: 2 * usage!['completion_tokens']! })
    expect(await totalOf({ authorization: 'Bearer sk-other' })).to.include({ calls: 0 })
    expect((await fetch(`${url}/usage`)).status).to.equal(401)
  })

  it('allows each key 100 requests a minute', async () => {
    const passed: number[] = []
    // A minute of the clock may end meanwhile, and another hundred pass.
    for (let rounds = 0; rounds < 2 && !passed.includes(429); rounds += 1) {
      const answers = await Promise.all(Array.from({ length: 101 }, () => chat()))
      passed.push(...answers.map(({ status }) => status))
      await Promise.all(answers.map((answer) => answer.text()))
    }
    expect(passed.filter((status) => status !== 200 && status !== 429)).to.deep.equal([])
    expect(passed.filter((status) => status === 200)).to.have.length(provider.requests.length)
    expect(passed).to.include(429)
    expect((await chat({}, { authorization: 'Bearer sk-other' })).status).to.equal(200)
  })

  it('makes its files where it was started', () => {
    expect(existsSync(join(example.folder, '.tallygate'))).to.equal(false)
    return totalOf().then(() => expect(existsSync(join(example.folder, '.tallygate/pepper'))).to.equal(true))
  })
})
