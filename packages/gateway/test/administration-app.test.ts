import type { Gateway } from '@tallygate/gateway'
import { expect } from 'chai'
import { chat, closeAll, get, run, SECRETS, sendRaw, writeSetting } from './running-gateway.ts'

const ADMINISTRATOR = { authorization: `Bearer ${SECRETS.administrator}` }

describe('administrationApp', () => {
  let gateway: Gateway
  const start = async (...options: Parameters<typeof writeSetting>): Promise<void> => {
    gateway = await run(await writeSetting(...options))
  }
  const rows = async (query: string): Promise<unknown[]> => {
    const { status, text } = await get(`${gateway.administrationUrl}/usage${query}`, ADMINISTRATOR)
    expect(status, text).to.equal(200)
    return (JSON.parse(text) as { rows: Record<string, unknown>[] }).rows.map(({ key, calls }) => [key, calls])
  }
  afterEach(closeAll)

  it('listens on the loopback interface unless told otherwise', async () => {
    await start()
    expect(new URL(gateway.administrationUrl).hostname).to.equal('127.0.0.1')
  })

  it('shows an administrator the usage of every key, tenant by tenant', async () => {
    await start()
    await chat(gateway.url)
    await chat(gateway.url, { key: SECRETS.other })
    await chat(gateway.url, { key: SECRETS.other })
    expect(await rows('')).to.deep.equal([['caller', 1]])
    expect(await rows('?key=caller')).to.deep.equal([['caller', 1]])
    expect(await rows('?tenant=acme')).to.deep.equal([['other', 2]])
    expect(await rows('?tenant=nobody')).to.deep.equal([])
  })

  const STRANGERS: readonly [who: string, headers: Record<string, string>][] = [
    ['nobody', {}],
    ['a caller', { authorization: `Bearer ${SECRETS.caller}` }],
    ['a caller by another header', { 'x-api-key': SECRETS.administrator }],
    ['somebody with the key in Basic', { authorization: `Basic ${btoa(`a:${SECRETS.administrator}`)}` }],
    ['somebody with half of the key', { authorization: `Bearer ${SECRETS.administrator.slice(0, -1)}` }],
  ]
  for (const [who, headers] of STRANGERS) {
    it(`shows ${who} nothing`, async () => {
      await start()
      for (const path of ['/usage', '/usage/calls', '/usage/limits', '/usage/nothing', '/USAGE']) {
        const answer = await get(gateway.administrationUrl + path, headers)
        expect([path, answer.status]).to.deep.equal([path, 401])
        expect(answer.headers.get('www-authenticate')).to.equal('Bearer')
        expect(JSON.parse(answer.text)).to.include({ status: 401 })
      }
      expect((await get(`${gateway.administrationUrl}/usage?key=${SECRETS.administrator}`, headers)).status).to.equal(
        401,
      )
    })
  }

  it('refuses whoever guesses keys, and what comes from there, until the window of guards.guesses is over', async () => {
    await start('guards: { guesses: { limit: 4, window: 1h } }')
    const url = `${gateway.administrationUrl}/usage`
    const guess = (index: number): Promise<number> =>
      get(url, { authorization: `Bearer guess-${index}-0123456789` }).then(({ status }) => status)
    const found = await Promise.all(Array.from({ length: 12 }, (_, index) => guess(index)))
    expect(found.filter((status) => status === 401)).to.have.length(4)
    expect(found.filter((status) => status === 429)).to.have.length(8)
    gateway.reload()
    expect((await get(url, ADMINISTRATOR)).status).to.equal(429)
    expect((await get(`${gateway.administrationUrl}/livez`)).status).to.equal(200)
  })

  it('guards.guesses: off counts no guesses', async () => {
    await start('guards: { guesses: off }')
    const url = `${gateway.administrationUrl}/usage`
    for (let guess = 0; guess < 12; guess += 1)
      expect((await get(url, { authorization: 'Bearer x' })).status).to.equal(401)
    expect((await get(url, ADMINISTRATOR)).status).to.equal(200)
  })

  it('has no report where there are no keys for it, as if there were none', async () => {
    await start('', { keys: '[]' })
    for (const path of ['/usage', '/usage/calls', '/nothing']) {
      const { status, text, headers } = await get(gateway.administrationUrl + path, ADMINISTRATOR)
      expect([status, headers.get('content-type')]).to.deep.equal([404, 'application/problem+json'])
      expect(JSON.parse(text)).to.include({ status: 404, detail: 'There is nothing under this path.' })
    }
  })

  it('answers what no client should send without a trace of its insides', async () => {
    await start()
    for (const target of ['/usage//[', '/%', '//', 'http://evil.invalid/metrics/x']) {
      const answer = await sendRaw(
        gateway.administrationUrl,
        `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer ${SECRETS.administrator}\r\n\r\n`,
      )
      expect(answer, target).to.match(/^HTTP\/1\.1 404 /)
      expect(answer).to.not.match(/\.[jt]s:\d|TypeError/)
    }
  })

  it('shows the metrics of usage and decisions to a Prometheus', async () => {
    await start()
    await chat(gateway.url)
    for (let calls = 0; calls < 3; calls += 1) await chat(gateway.url)
    const { text, headers } = await get(`${gateway.administrationUrl}/metrics`)
    expect(headers.get('content-type')).to.include('text/plain')
    const count = (pattern: RegExp): number => Number(pattern.exec(text)?.[1])
    const metric = (name: string, label: string): number =>
      count(new RegExp(`^${name}\\{[^}]*${label}[^}]*\\} (\\S+)`, 'm'))
    expect(metric('tallygate_decisions_total', 'tallygate_decision="admitted"')).to.equal(3)
    expect(metric('tallygate_decisions_total', 'tallygate_decision="refused"')).to.equal(1)
    expect(metric('tallygate_entries_total', 'tallygate_outcome="complete"')).to.equal(3)
    expect(metric('gen_ai_client_token_usage_count', 'gen_ai_token_type="output"')).to.equal(3)
    expect(metric('gen_ai_client_inference_usage_input_tokens_total', 'gen_ai_request_model="gpt-4o"')).to.be.above(0)
    expect(text).to.not.include('unknown_service')
    for (const secret of Object.values(SECRETS)) expect(text).to.not.include(secret)
  })
})
