import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { configJsonSchema, type Gateway } from '@tallygate/gateway'
import { startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { parse } from 'yaml'
import { chat, closeAll, get, onClose, run, SECRETS, writeConfig, type Setting } from './running-gateway.ts'

/** Every key of the top level, as an operator would set it; `listen` and so on on free ports. */
const everything = (provider: string, redis: string): string => `listen: { host: 127.0.0.1, port: 0 }
administration: { host: 127.0.0.1, port: 0, keys: [${SECRETS.administrator}] }
providers:
  openai: { target: '${provider}', credential: { swap: ${SECRETS.provider} }, timeout: 30s }
  claude: { target: '${provider}', path: /ai/claude, credential: { swap: ${SECRETS.provider} } }
keys:
  - { id: caller, secret: ${SECRETS.caller}, dimensions: { user: ann }, groups: [staff], expires: 2999-01-31 }
  - { id: other, secret: ${SECRETS.other}, plans: [trial] }
unregistered: refuse
plans:
  trial: { limits: [{ name: requests, unit: requests, quota: 1, window: lifetime }] }
  staff:
    version: '2'
    onExpiry: release
    onShortRoom: { lower: 16 }
    count: { on: success, refundOn: [5xx] }
    unpriced: family-max
    labels: { price: '10' }
    limits:
      - { name: requests, unit: requests, quota: 2, window: { fixed: month, zone: Europe/Berlin } }
      - { name: tokens, unit: tokens, quota: 100000, window: { sliding: 1h, buckets: 6 }, onUnavailable: { local: 0.5 }, onStream: cut }
      - { name: at-once, unit: requests, quota: 5, window: concurrent }
      - { name: budget, unit: cost, quota: $50, window: month }
defaultPlans: [trial]
combine: all
assignments: [{ for: { group: staff }, plans: [staff] }]
severalGroups: first
overrides:
  - { for: { user: ann }, limit: staff/requests, quota: 4, until: 2999-01-31 }
  - { for: { user: ann }, limit: staff/budget, quota: $90, until: 2999-01-31 }
prices: [starter]
estimates: { seconds: 30, images: 2, searches: 1 }
nodes: 1
counters: ${redis}
decideWithin: 2s
guards:
  flood: { limit: 40, window: 24h }
  guesses: { limit: 3, window: 1h }
ledger: books/usage.db
durability: power
durableWithin: 2s
onLateEntry: break
pepper: ${SECRETS.pepper}
spareRetries: 5m
sampleCounts: when-loaded
outputEstimate: learned
reportPath: /mine
rateLimitHeaders: [draft-8, x]
exhaustedStatus: 402
trustProxy: loopback
bodyLimitBytes: 2048
shutdown: { delay: 0s, timeout: 5s }
log: silent
`

describe('a quota.yaml with every key', () => {
  let setting: Setting
  let gateway: Gateway
  beforeEach(async () => {
    const redis = await startRedis({ isOwn: true })
    onClose(() => redis.stop())
    setting = await writeConfig(({ url }) => everything(url, redis.url))
    gateway = await run(setting)
  })
  afterEach(closeAll)

  const reported = async (path: string): Promise<Record<string, unknown>[]> => {
    const { status, text } = await get(`${gateway.url}/mine${path}`, { authorization: `Bearer ${SECRETS.caller}` })
    expect(status, text).to.equal(200)
    return (JSON.parse(text) as { rows: Record<string, unknown>[] }).rows
  }

  it('has every key that there is', () => {
    const { properties } = configJsonSchema() as { properties: object }
    const written = parse(readFileSync(setting.file, 'utf8')) as object
    expect(Object.keys(written).sort()).to.deep.equal(Object.keys(properties).sort())
  })

  it('serves: calls are admitted, counted, recorded, refused, reported and explained as it says', async () => {
    setting.provider.script = { status: 503 }
    expect((await chat(gateway.url)).status).to.equal(503)
    setting.provider.script = {}
    const path = '/ai/claude/v1/messages'
    const answers = [
      await chat(gateway.url, { max_tokens: 20 }),
      await chat(gateway.url, { max_tokens: 20, stream: true }),
      await chat(gateway.url, { max_tokens: 20, path }),
      await chat(gateway.url, { max_tokens: 20 }),
      await chat(gateway.url, { max_tokens: 20 }),
    ]
    // The assigned plan, with the quota of the override; a failure was given back.
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200, 200, 402])
    expect(answers[0]!.headers.get('x-ratelimit-limit')).to.equal('4')
    expect(answers[0]!.headers.has('ratelimit')).to.equal(true)
    expect((await chat(gateway.url, { prediction: 'x'.repeat(3_000) })).status).to.equal(413)
    expect((await chat(gateway.url, { key: SECRETS.other })).status).to.equal(200)
    expect((await chat(gateway.url, { key: SECRETS.other })).status).to.equal(402)
    for (const { headers } of setting.provider.requests) expect(JSON.stringify(headers)).to.include(SECRETS.provider)

    await gateway.quota.drain()
    const limits = await reported('/limits')
    expect(limits.find(({ limit }) => limit === 'requests')).to.include({ plan: 'staff', used: 4, remaining: 0 })
    const [requests] = await reported('/explain?model=gpt-4o')
    expect(requests).to.include({ from: 'group staff', override: 'user ann', quota: 4, binding: true })
    expect((await reported('')).map(({ calls, failed }) => [calls, failed])).to.deep.equal([[5, 1]])
    const page = await get(`${gateway.administrationUrl}/metrics`)
    expect(page.text).to.match(/^tallygate_entries_total\{.*tallygate_outcome="complete".*\} 5$/m)
    expect((await get(`${gateway.administrationUrl}/readyz`)).status).to.equal(200)
    expect(existsSync(join(setting.folder, 'books/usage.db'))).to.equal(true)
    expect(existsSync(join(setting.folder, 'books/outbox'))).to.equal(true)
  })

  it('guards: keys that are guessed, and floods', async () => {
    const guess = async (url: string): Promise<number> =>
      (await get(url, { authorization: 'Bearer nobody-has-this-key' })).status
    const found = [await guess(`${gateway.url}/mine`), await guess(`${gateway.url}/openai/v1/models`)]
    for (let guesses = 0; guesses < 3; guesses += 1) found.push(await guess(`${gateway.url}/mine/limits`))
    expect(found).to.deep.equal([401, 401, 401, 429, 429])
    const administration = `${gateway.administrationUrl}/usage`
    for (const status of [401, 401, 401, 429]) expect(await guess(administration)).to.equal(status)
    expect((await chat(gateway.url)).status).to.equal(200)
    const statuses = await Promise.all(Array.from({ length: 60 }, () => guess(`${gateway.url}/nothing`)))
    expect(statuses.filter((status) => status === 404)).to.have.length(40 - 6)
    expect((await chat(gateway.url)).status).to.equal(429)
  })

  it('starts again where it stopped', async () => {
    for (const status of [200, 200]) expect((await chat(gateway.url)).status).to.equal(status)
    await gateway.stop({ delayMs: 0 })
    gateway = await run(setting)
    expect((await reported('')).map(({ calls }) => calls)).to.deep.equal([2])
    for (const status of [200, 200, 402]) expect((await chat(gateway.url)).status).to.equal(status)
  })
})
