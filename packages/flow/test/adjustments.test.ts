import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryCounterStore, type Limit, type Subject } from '@tallygate/core'
import { createQuota, type Quota } from '@tallygate/flow'
import { SqliteLedger } from '@tallygate/store-sql'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'

const SUBJECT: Subject = {
  id: 'user-7',
  tenant: 'default',
  standing: 'registered',
  dimensions: { tenant: 'default', key: 'user-7' },
}
const limit = (name: string, window: Limit['window']): Limit => ({ name, unit: 'tokens', quota: 100, window })
const PLANS = [
  {
    name: 'p',
    limits: [
      limit('budget', { kind: 'lifetime' }),
      limit('month', { kind: 'fixed', every: 'month' }),
      limit('trial', { kind: 'first-use', durationMs: 3_600_000, then: 'restart' }),
      limit('hour', { kind: 'sliding', durationMs: 3_600_000 }),
      limit('at-once', { kind: 'concurrent' }),
    ],
  },
]
const BODY = Buffer.from('{"model":"gpt-4o","max_tokens":20,"messages":[]}')

describe('resets, top-ups and refunds', () => {
  const clock = new SettableClock()
  let folder: string
  let ledger: SqliteLedger
  let quota: Quota

  /** As after a restart: counters are gone, the file is there. */
  async function open(): Promise<void> {
    ledger = await SqliteLedger.open({ file: join(folder, 'usage.db') })
    quota = createQuota({
      ledger,
      store: new MemoryCounterStore({ clock: clock.now }),
      clock: clock.now,
      plans: PLANS,
      defaultPlans: ['p'],
      pepper: 'a pepper for tests, long enough to be one',
    })
  }

  async function restart(): Promise<void> {
    await quota.close()
    await ledger.close()
    await open()
  }

  async function use(tokens: number): Promise<void> {
    const headers = { authorization: 'Bearer sk-1' }
    const call = quota.begin({ method: 'POST', url: '/v1/chat/completions', headers })
    call.identifyAs(SUBJECT)
    await call.resolvePlans()
    expect(call.read(BODY) ?? (await call.admit())).to.equal(undefined)
    call.recordAtEnd()
    call.record({ inputTokens: tokens, outputTokens: 0 })
    await call.finishUnmetered('complete', 200)
    await quota.drain(1_000)
    clock.advance(1_000)
  }

  async function stands(): Promise<Record<string, string>> {
    const { statuses } = await quota.limitsOf(SUBJECT)
    return Object.fromEntries(
      statuses.map(({ bound, used, quota }) => [bound.limit.name, `${used} of ${quota}`] as const),
    )
  }

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-adjustments-'))
    await open()
  })
  afterEach(async () => {
    await quota.close(50)
    await ledger.close()
    rmSync(folder, { recursive: true, force: true })
  })

  for (const { name, change, then } of [
    {
      name: 'reset',
      change: async (): Promise<void> => {
        for (const each of ['budget', 'month', 'trial', 'hour']) await quota.reset(SUBJECT, each, { by: 'root' })
      },
      then: { budget: '5 of 100', month: '5 of 100', trial: '5 of 100', hour: '5 of 100' },
    },
    {
      name: 'top-up',
      change: async (): Promise<void> => {
        for (const each of ['budget', 'p/month', 'trial']) await quota.topUp(SUBJECT, each, 50, { by: 'root' })
      },
      then: { budget: '35 of 150', month: '35 of 150', trial: '35 of 150', hour: '35 of 100' },
    },
    {
      name: 'refund',
      change: async (): Promise<void> => {
        for (const each of ['budget', 'month', 'trial']) await quota.refund(SUBJECT, each, 12, { refundOf: 'x' })
      },
      then: { budget: '23 of 100', month: '23 of 100', trial: '23 of 100', hour: '35 of 100' },
    },
  ]) {
    it(`a ${name} survives a restart, and history is left as it is`, async () => {
      await use(30)
      await change()
      clock.advance(1_000)
      await use(5)
      const expected = { ...then, 'at-once': '0 of 100' }
      expect(await stands()).to.deep.equal(expected)
      await restart()
      expect(await stands()).to.deep.equal(expected)
      const range = { tenant: 'default', fromMs: 0, toMs: clock.now() + 1 }
      expect((await ledger.sum({ filter: range, by: [] })).total.totalTokens).to.equal(35)
      expect((await quota.driftOf(SUBJECT)).map(({ drift }) => drift)).to.deep.equal([0, 0, 0, 0])
    })
  }

  it('tells who did it, and what was counted before a reset', async () => {
    await use(30)
    await quota.reset(SUBJECT, 'month', { by: 'root', id: 'change-1' })
    expect((await ledger.find('default', ['change-1']))[0]).to.include({ adjustment: 'reset', amount: 30, by: 'root' })
  })

  it('changes nothing when it is repeated with its id, also after a restart', async () => {
    await use(30)
    for (let repeat = 0; repeat < 2; repeat += 1) await quota.topUp(SUBJECT, 'budget', 50, { id: 'change-1' })
    await restart()
    await quota.topUp(SUBJECT, 'budget', 50, { id: 'change-1' })
    clock.advance(100_000)
    await restart()
    await quota.topUp(SUBJECT, 'budget', 50, { id: 'change-1' })
    expect(await stands()).to.include({ budget: '30 of 150' })
  })

  it('a top-up before the first use is there when the window begins', async () => {
    await quota.topUp(SUBJECT, 'trial', 50)
    clock.advance(1_000)
    await use(5)
    await restart()
    expect(await stands()).to.include({ trial: '5 of 150' })
  })

  for (const [mistake, change, says] of [
    ['a limit that there is none of', () => quota.reset(SUBJECT, 'week'), /no limit "week": use one of p\/budget/],
    ['an amount that is none', () => quota.topUp(SUBJECT, 'month', -1), /amount is -1: use a whole number from 0/],
    ['a top-up of a sliding window', () => quota.topUp(SUBJECT, 'hour', 1), /p\/hour is a sliding window: it takes no/],
    ['concurrency', () => quota.reset(SUBJECT, 'at-once'), /p\/at-once is a concurrent window: it takes no reset/],
  ] as const) {
    it(`refuses ${mistake}, and writes nothing`, async () => {
      const failure: unknown = await change().catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_CONFIG')
      expect(failure).to.have.property('message').that.matches(says)
      const counters = PLANS[0]!.limits.map(({ name }) => ({
        partition: 'tenant=default,key=user-7',
        name: `p/${name}`,
      }))
      expect((await ledger.counterEvents({ tenant: 'default', counters, fromMs: 0 })).events).to.deep.equal([])
    })
  }

  it('says how far a counter is from the ledger', async () => {
    await use(30)
    const call = quota.begin({ method: 'POST', url: '/v1/chat/completions', headers: { authorization: 'Bearer sk-1' } })
    call.identifyAs(SUBJECT)
    await call.resolvePlans()
    call.read(BODY)
    await call.admit()
    const [budget] = await quota.driftOf(SUBJECT)
    expect(budget).to.include({ ledger: 30 })
    expect(budget!.drift)
      .to.equal(budget!.counter - 30)
      .and.be.greaterThan(0)
    call.release()
  })
})
