import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadConfig, startGateway, type Gateway } from '@tallygate/gateway'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import { chat, closeAll, get, onClose, run, SECRETS, usageOf, writeConfig, type Setting } from './running-gateway.ts'

/** A configuration whose one plan has so many requests, and what else a test says. */
const text = (url: string, quota: number, further = ''): string => `listen: { port: 0 }
administration: { port: 0, keys: [${SECRETS.administrator}] }
providers: { openai: { target: '${url}', credential: { swap: ${SECRETS.provider} } } }
keys: [{ id: caller, secret: ${SECRETS.caller}, dimensions: { user: ann } }]
plans: { trial: { limits: [{ name: requests, unit: requests, quota: ${quota}, window: lifetime }] } }
defaultPlans: [trial]
pepper: ${SECRETS.pepper}
log: silent
${further}`

describe('reloading quota.yaml', () => {
  let setting: Setting
  let gateway: Gateway
  const write = (quota: number, further?: string): void =>
    writeFileSync(setting.file, text(setting.provider.url, quota, further))
  const statuses = async (calls: number): Promise<number[]> => {
    const found: number[] = []
    for (let call = 0; call < calls; call += 1) found.push((await chat(gateway.url)).status)
    return found
  }
  beforeEach(async () => {
    setting = await writeConfig(({ url }) => text(url, 1))
  })
  afterEach(closeAll)

  it('puts plans, overrides, keys and providers into force at once, and what was counted stays counted', async () => {
    gateway = await run(setting)
    expect(await statuses(2)).to.deep.equal([200, 429])
    write(2)
    expect(gateway.reload()).to.equal(true)
    expect(await statuses(2)).to.deep.equal([200, 429])
    write(2, 'overrides: [{ for: { user: ann }, limit: trial/requests, quota: 3 }]')
    expect(gateway.reload()).to.equal(true)
    expect(await statuses(2)).to.deep.equal([200, 429])
    const moved = text(setting.provider.url, 9).replace('openai: { target', 'openai: { path: /ai, target')
    writeFileSync(setting.file, moved.replace(SECRETS.caller, SECRETS.other))
    expect(gateway.reload()).to.equal(true)
    expect((await chat(gateway.url)).status).to.equal(404)
    expect((await chat(gateway.url, { path: '/ai/v1/chat/completions' })).status).to.equal(401)
    expect((await chat(gateway.url, { path: '/ai/v1/chat/completions', key: SECRETS.other })).status).to.equal(200)
    expect(await usageOf(gateway.url, SECRETS.other)).to.include({ calls: 4 })
  })

  it('changes the keys of administrators', async () => {
    gateway = await run(setting)
    const statusWith = async (key: string): Promise<number> =>
      (await get(`${gateway.administrationUrl}/usage`, { authorization: `Bearer ${key}` })).status
    expect(await statusWith(SECRETS.administrator)).to.equal(200)
    writeFileSync(setting.file, text(setting.provider.url, 1).replace(SECRETS.administrator, 'another-administrator-1'))
    expect(gateway.reload()).to.equal(true)
    expect(await statusWith(SECRETS.administrator)).to.equal(401)
    expect(await statusWith('another-administrator-1')).to.equal(200)
  })

  const BROKEN: readonly [what: string, further: string][] = [
    ['broken YAML', 'plans: {'],
    ['an unknown key', 'plnas: {}'],
    ['an override that leads nowhere', 'overrides: [{ for: { user: a }, limit: gold/x, quota: 1 }]'],
    ['a variable that is not set', 'ledger: ${NOT_SET}'],
  ]
  for (const [what, further] of BROKEN) {
    it(`keeps the one from before, and says false, for ${what}`, async () => {
      gateway = await run(setting)
      write(9, further)
      expect(gateway.reload()).to.equal(false)
      expect(await statuses(2)).to.deep.equal([200, 429])
      write(3)
      expect(gateway.reload()).to.equal(true)
      expect(await statuses(3)).to.deep.equal([200, 200, 429])
    })
  }

  it('leaves alone what only a start reads, and takes the rest', async () => {
    gateway = await run(setting)
    write(2, 'exhaustedStatus: 402\nledger: elsewhere.db\nrateLimitHeaders: [openai]')
    expect(gateway.reload()).to.equal(true)
    expect(await statuses(3)).to.deep.equal([200, 200, 429])
    expect((await chat(gateway.url)).headers.has('x-ratelimit-limit-requests')).to.equal(false)
  })

  it('lets calls under way end as they began', async () => {
    gateway = await run(setting)
    setting.provider.script = { paceMs: 20, pieces: 20, text: 'word '.repeat(20) }
    const streamed = chat(gateway.url, { stream: true })
    while (setting.provider.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    const gone = text(setting.provider.url, 0).replace('openai:', 'other:').replaceAll('trial', 'none')
    writeFileSync(setting.file, gone)
    expect(gateway.reload()).to.equal(true)
    const { status, text: words } = await streamed
    expect([status, words.split('word').length]).to.deep.equal([200, 21])
    await gateway.quota.drain()
    expect(await usageOf(gateway.url)).to.include({ calls: 1, failed: 0, aborted: 0 })
  })

  it('keeps no connection to a provider that is configured no more, when its calls have ended', async () => {
    const held: ServerResponse[] = []
    let holds = false
    const upstream = createServer((_req, res) => void (holds ? held.push(res) : res.end('{}'))).listen(0, '127.0.0.1')
    onClose(() => upstream.close().closeAllConnections())
    await once(upstream, 'listening')
    const open = async (expected: number): Promise<void> => {
      let found = -1
      for (let tries = 0; tries < 200 && found !== expected; tries += 1) {
        found = await new Promise((resolve) => upstream.getConnections((_error, count) => resolve(count)))
        if (found !== expected) await new Promise((resolve) => setTimeout(resolve, 10))
      }
      expect(found).to.equal(expected)
    }
    const target = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
    const withTimeout = (value: number): void =>
      writeFileSync(setting.file, text(target, 100).replace('credential:', `timeout: ${60 + value}s, credential:`))
    withTimeout(0)
    gateway = await run(setting)
    expect(await statuses(2)).to.deep.equal([200, 200])
    holds = true
    const under = [chat(gateway.url), chat(gateway.url)]
    while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    held.pop()!.end('{}')
    await open(2)
    withTimeout(1)
    expect(gateway.reload()).to.equal(true)
    await open(1)
    held.pop()!.end('{}')
    expect((await Promise.all(under)).map(({ status }) => status)).to.deep.equal([200, 200])
    await open(0)

    holds = false
    const warnings: string[] = []
    const warn = ({ message }: Error): void => void warnings.push(message)
    process.on('warning', warn)
    for (let time = 2; time < 30; time += 1) {
      withTimeout(time)
      expect(gateway.reload()).to.equal(true)
      expect(await statuses(1)).to.deep.equal([200])
    }
    await open(1)
    process.off('warning', warn)
    expect(warnings, 'nothing piles up').to.deep.equal([])
  })

  it('fails no request while it is reloaded again and again', async function () {
    this.timeout(120_000)
    gateway = await run(setting)
    const times = runs(40)
    const over = new AbortController()
    const warnings: string[] = []
    const warn = ({ message }: Error): void => void warnings.push(message)
    process.on('warning', warn)
    const found = new Map<number, number>()
    const caller = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const { status } = await chat(gateway.url)
        found.set(status, (found.get(status) ?? 0) + 1)
      }
    }
    const callers = [caller(), caller(), caller(), caller()]
    for (let time = 0; time < times; time += 1) {
      const further = [
        `bodyLimitBytes: ${100_000 + time}`,
        'assignments: [{ for: { user: ann }, plans: [] }]',
        'overrides: [{ for: { user: ann }, limit: trial/requests, quota: null }]',
        `bodyLimitBytes: ${100_000 + time}`,
        'plnas: {}',
      ][time % 5]!
      write(1_000_000 + time, further)
      expect(gateway.reload()).to.equal(further !== 'plnas: {}')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    over.abort()
    await Promise.all(callers)
    expect([...found.keys()]).to.deep.equal([200])
    process.off('warning', warn)
    expect(warnings, 'nothing piles up').to.deep.equal([])
    expect(found.get(200)).to.be.above(times)
    await gateway.quota.drain()
    expect(await usageOf(gateway.url)).to.include({ calls: found.get(200) })
  })

  describe('when the file changes', () => {
    const admits = async (status: number): Promise<void> => {
      for (let tries = 0; tries < 200; tries += 1) {
        if ((await chat(gateway.url)).status === status) return
        await new Promise((resolve) => setTimeout(resolve, 25))
      }
      throw new Error(`no call was answered with ${status}`)
    }
    beforeEach(async () => {
      gateway = await startGateway(loadConfig(setting.file, {}), { watch: 'always' })
      onClose(() => gateway.stop({ delayMs: 0 }))
      expect(await statuses(2)).to.deep.equal([200, 429])
    })

    it('is read again, whether it was written or another put in its place, also after a mistake', async () => {
      write(2)
      await admits(200)
      expect(await statuses(1)).to.deep.equal([429])
      write(9, 'plnas: {}')
      const beside = join(setting.folder, 'quota.yaml.new')
      writeFileSync(beside, text(setting.provider.url, 3))
      renameSync(beside, setting.file)
      await admits(200)
      expect(await statuses(1)).to.deep.equal([429])
      write(4)
      await admits(200)
    })
  })
})
