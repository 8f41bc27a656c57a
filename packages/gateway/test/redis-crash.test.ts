import { join } from 'node:path'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SqliteLedger } from '@tallygate/store-sql'
import { freePort, runs, startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { chat, closeAll, get, onClose, run, SECRETS, writeConfig } from './running-gateway.ts'

const CLIENTS = 6
const AGREES_WITHIN_MS = 5_000
/** Day and month, in a zone in which it is about noon, so that no window ends while the test runs. */
const behind = 12 - new Date().getUTCHours()
const zone = behind === 0 ? 'UTC' : `Etc/GMT${behind > 0 ? `-${behind}` : `+${-behind}`}`

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Calls one after the other until it is told to stop; those that are refused while Redis is away don't count. */
async function callUntil(url: string, isOver: () => boolean): Promise<void> {
  for (let call = 0; !isOver(); call += 1) {
    const { status } = await chat(url, { stream: call % 2 === 1, max_tokens: 50 })
    if (status !== 200) await pause(20)
  }
}

/** A call as its caller saw it. */
interface Seen {
  readonly begunMs: number
  readonly endedMs: number
  readonly status: number
}

/** Streams one call after the other until the quota is reached. */
async function callUntilRefused(url: string, key: string, seen: Seen[]): Promise<void> {
  for (let status = 0; status !== 429;) {
    const begunMs = performance.now()
    ;({ status } = await chat(url, { key, stream: true, max_tokens: 50 }))
    seen.push({ begunMs, endedMs: performance.now(), status })
    if (status === 503) await pause(10)
  }
}

/** How many counters the gateway says it has rebuilt. */
async function rebuilt(administrationUrl: string): Promise<number> {
  const { text } = await get(`${administrationUrl}/metrics`)
  return Number(/^tallygate_counters_rebuilt_total(?:\{[^}]*\})? (\S+)/m.exec(text)?.[1] ?? 0)
}

/** Used units by limit: what the counters say, or `unavailable`. */
async function counters(url: string, key: string = SECRETS.caller): Promise<Record<string, number> | 'unavailable'> {
  const { status, text } = await get(`${url}/usage/limits`, { authorization: `Bearer ${key}` })
  if (status !== 200) return 'unavailable'
  const { rows } = JSON.parse(text) as { rows: { limit: string; used: number }[] }
  return Object.fromEntries(rows.map(({ limit, used }) => [limit, used]))
}

describe('a Redis that is killed without persistence, with calls running', () => {
  afterEach(closeAll)

  before(function () {
    // A store that can't tell what it has lost has nothing to agree.
    expect(RedisCounterStore.prototype).to.respondTo('seed')
  })

  it('comes back to counters of days and months that agree with the ledger, within 5 s', async function () {
    this.timeout(runs(120_000))
    const port = await freePort()
    let redis = await startRedis({ isOwn: true, port })
    onClose(() => redis.stop())
    const setting = await writeConfig(
      ({ url }) => `listen: { port: 0 }
administration: { port: 0 }
providers:
  openai: { target: '${url}', credential: { swap: ${SECRETS.provider} } }
keys:
  - { id: caller, secret: ${SECRETS.caller}, plans: [pro] }
plans:
  pro:
    limits:
      - { name: requests-per-day, unit: requests, quota: 1000000, window: { fixed: day, zone: ${zone} } }
      - { name: tokens-per-month, unit: tokens, quota: 1000000000, window: { fixed: month, zone: ${zone} } }
counters: redis://127.0.0.1:${port}
pepper: ${SECRETS.pepper}
log: silent
`,
    )
    setting.provider.script = { paceMs: 2 }
    const gateway = await run(setting)
    const ledger = await SqliteLedger.open({ file: join(setting.folder, '.tallygate/usage.db') })
    onClose(() => ledger.close())
    const range = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
    for (let round = 0; round < runs(5); round += 1) {
      let isOver = false
      const calls = Array.from({ length: CLIENTS }, () => callUntil(gateway.url, () => isOver))
      await pause(200 + Math.random() * 200)
      await redis.stop()
      await pause(Math.random() * 300)
      redis = await startRedis({ isOwn: true, port })
      const returnedAtMs = performance.now()
      await pause(300)
      isOver = true
      await Promise.all(calls)
      for (;;) {
        const { total } = await ledger.sum({ filter: range, by: [] })
        const stand = await counters(gateway.url)
        const expected = { 'requests-per-day': total.calls, 'tokens-per-month': total.totalTokens }
        const isLate = performance.now() - returnedAtMs > AGREES_WITHIN_MS
        if (isLate || JSON.stringify(stand) === JSON.stringify(expected)) {
          expect(stand, `round ${round}`).to.deep.equal(expected)
          break
        }
        await pause(50)
      }
    }
    expect((await ledger.sum({ filter: range, by: [] })).total.calls).to.be.greaterThan(runs(5) * CLIENTS)
  })

  it('admits beyond a quota at most the calls that were under way when it died, and reports what it rebuilt', async function () {
    this.timeout(runs(60_000))
    const [rounds, quota] = [runs(5), 50]
    const port = await freePort()
    let redis = await startRedis({ isOwn: true, port })
    onClose(() => redis.stop())
    const keyOf = (round: number): string => `the-secret-key-of-caller-${round}`
    const keys = Array.from({ length: rounds }, (_, round) => `  - { id: caller-${round}, secret: ${keyOf(round)} }`)
    const setting = await writeConfig(
      ({ url }) => `listen: { port: 0 }
administration: { port: 0 }
providers:
  openai: { target: '${url}', credential: { swap: ${SECRETS.provider} } }
keys:
${keys.join('\n')}
plans:
  pro: { limits: [{ name: requests-per-day, unit: requests, quota: ${quota}, window: { fixed: day, zone: ${zone} } }] }
defaultPlans: [pro]
counters: redis://127.0.0.1:${port}
pepper: ${SECRETS.pepper}
log: silent
`,
    )
    setting.provider.script = { paceMs: 10, pieces: 10, text: 'word '.repeat(10) }
    const gateway = await run(setting)
    let mostUnderWay = 0
    for (let round = 0; round < rounds; round += 1) {
      const admittedBefore = setting.provider.requests.length
      const rebuiltBefore = await rebuilt(gateway.administrationUrl)
      const seen: Seen[] = []
      const calls = Array.from({ length: 2 * CLIENTS }, () => callUntilRefused(gateway.url, keyOf(round), seen))
      // Some have ended, and quota is left.
      while (seen.length < quota / 4) await pause(5)
      await pause(Math.random() * 100)
      const killedMs = performance.now()
      await redis.stop()
      const goneMs = performance.now()
      await pause(Math.random() * 100)
      redis = await startRedis({ isOwn: true, port })
      await Promise.all(calls)
      const admitted = setting.provider.requests.length - admittedBefore
      const underWay = seen.filter(
        ({ status, begunMs, endedMs }) => status === 200 && begunMs <= goneMs && endedMs >= killedMs,
      ).length
      mostUnderWay = Math.max(mostUnderWay, underWay)
      expect(seen.filter(({ status }) => status === 200)).to.have.length(admitted)
      expect(admitted, `round ${round}`).to.be.within(quota, quota + underWay)
      await gateway.quota.drain()
      expect(await counters(gateway.url, keyOf(round))).to.deep.equal({ 'requests-per-day': admitted })
      expect(await rebuilt(gateway.administrationUrl)).to.be.above(rebuiltBefore)
    }
    expect(mostUnderWay, 'calls ran on across a kill').to.be.above(0)
  })
})
