import type { Gateway } from '@tallygate/gateway'
import { expect } from 'chai'
import { chat, closeAll, get, run, SECRETS, usageOf, writeSetting, type Setting } from './running-gateway.ts'

describe('guards of a gateway', () => {
  let setting: Setting
  let gateway: Gateway
  const start = async (...options: Parameters<typeof writeSetting>): Promise<void> => {
    setting = await writeSetting(...options)
    gateway = await run(setting)
  }
  afterEach(closeAll)

  const guess = (key: string): ReturnType<typeof chat> =>
    chat(gateway.url, { headers: { authorization: `Bearer ${key}` } })

  it('refuse unknown keys of an address that has tried ten, and none that was handed out', async () => {
    await start('', { plan: 'quota: 30, window: day' })
    const statuses: number[] = []
    for (let guessed = 0; guessed < 12; guessed += 1) statuses.push((await guess(`an-unknown-key-${guessed}`)).status)
    expect(statuses).to.deep.equal([...Array.from({ length: 10 }, () => 401), 429, 429])
    expect((await chat(gateway.url)).status).to.equal(200)
    expect(setting.provider.requests).to.have.length(1)
  })

  it('count keys that are guessed on the report with those that are guessed at providers', async () => {
    await start()
    const reportWith = async (key: string, path = '/usage'): Promise<number> =>
      (await get(`${gateway.url}${path}`, { authorization: `Bearer ${key}` })).status
    const found: number[] = []
    for (let guess = 0; guess < 4; guess += 1) {
      found.push(
        await reportWith(`guess-${guess}-0123456789`),
        await reportWith(`guess-${guess}-0123456789`, '/usage/limits'),
      )
      found.push((await chat(gateway.url, { key: `guess-${guess}-9876543210` })).status)
    }
    expect(found).to.deep.equal([...Array.from({ length: 10 }, () => 401), 429, 429])
    expect(await reportWith('guess-5-0123456789')).to.equal(429)
    expect(await reportWith(SECRETS.caller)).to.equal(200)
    expect((await get(`${gateway.url}/usage`)).status).to.equal(401)
    await gateway.quota.drain()
    expect(await usageOf(gateway.url)).to.include({ calls: 0 })
  })

  it('let everybody guess where they are off', async () => {
    await start('guards: { guesses: off }')
    for (let guessed = 0; guessed < 12; guessed += 1)
      expect((await guess(`unknown-${guessed}-key`)).status).to.equal(401)
  })

  it('refuse what one address sends too fast, before anything of it is looked at', async () => {
    await start('guards: { flood: { limit: 4, window: 1m } }', { plan: 'quota: 30, window: day' })
    const answers = await Promise.all(Array.from({ length: 9 }, () => chat(gateway.url)))
    expect(answers.filter(({ status }) => status === 200)).to.have.length(4)
    const refused = answers.filter(({ status }) => status === 429)
    expect(refused).to.have.length(5)
    expect(Number(refused[0]!.headers.get('retry-after'))).to.be.within(1, 60)
    expect(setting.provider.requests).to.have.length(4)
  })
})
