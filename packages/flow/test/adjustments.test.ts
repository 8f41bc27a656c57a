import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  Admission,
  CompiledPlan,
  MemoryCounterStore,
  type Limit,
  type Plan,
  QuotaError,
  type Subject,
} from '@tallygate/core'
import { createQuota, type Quota } from '@tallygate/flow'
import { SqliteLedger } from '@tallygate/store-sql'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import { KnownLimits } from '../src/known-limits.ts'
import { Sweeper } from '../src/sweeper.ts'

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
      { ...limit('model', { kind: 'fixed', every: 'month' }), per: ['key', 'model'] },
    ],
  },
]
const BODY = Buffer.from('{"model":"gpt-4o","max_tokens":20,"messages":[]}')

describe('resets, top-ups and refunds', () => {
  const clock = new SettableClock()
  let folder: string
  let ledger: SqliteLedger
  let quota: Quota
  let store: MemoryCounterStore
  let logged: unknown[] = []

  /** As after a restart: counters are gone, the file is there. */
  async function open(kept?: MemoryCounterStore): Promise<void> {
    ledger = await SqliteLedger.open({ file: join(folder, 'usage.db') })
    // Remembers what was done for as long as Redis does.
    store = kept ?? new MemoryCounterStore({ clock: clock.now, closedForMs: 15 * 60_000 })
    logged = []
    const log = (...told: unknown[]): void => void logged.push(told)
    quota = createQuota({
      ledger,
      store,
      logger: { warn: () => {}, error: log },
      clock: clock.now,
      plans: PLANS,
      defaultPlans: ['p'],
      pepper: 'a pepper for tests, long enough to be one',
    })
  }

  async function restart(kept?: MemoryCounterStore): Promise<void> {
    await quota.close()
    await ledger.close()
    await open(kept)
  }

  /** As where Redis has kept the counters. */
  const restartWithStore = (): Promise<void> => restart(store)

  /** Of another node: what the quota does by itself every 30 s. */
  function newSweeper(): Sweeper {
    const admission = new Admission({ store, clock: clock.now })
    const plans = PLANS.map((plan) => new CompiledPlan(plan as Plan))
    return new Sweeper({
      store,
      ledger,
      limits: new KnownLimits(() => plans),
      logger: { warn: () => {}, error: (...told: unknown[]) => void logged.push(told) },
      rebuildsFromMs: 0,
      beforeRead: async () => {},
      nowMs: clock.now,
      plansOf: async () => [],
      adjust: (change) => admission.adjust(change),
    })
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

  it('reaches a limit of one model', async () => {
    await use(30)
    await quota.topUp(SUBJECT, 'model', 50, { facts: { model: 'gpt-4o' } })
    const { statuses } = await quota.limitsOf(SUBJECT, { model: 'gpt-4o' })
    expect(statuses.find(({ bound }) => bound.limit.name === 'model')).to.include({ used: 30, quota: 150 })
    expect((await quota.driftOf(SUBJECT, { model: 'gpt-4o' })).map(({ drift }) => drift)).to.deep.equal([0, 0, 0, 0, 0])
  })

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

  describe('whose counter was not changed', () => {
    /** Fails as a store whose answer is lost, before or after it did what it was asked. */
    function failOnce(when: 'before' | 'after'): void {
      const adjust = store.adjust.bind(store)
      store.adjust = (request) => {
        store.adjust = adjust
        if (when === 'after') void adjust(request)
        throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone fishing')
      }
    }
    const topUp = async (): Promise<unknown> =>
      quota.topUp(SUBJECT, 'budget', 50).then(
        () => undefined,
        (error: unknown) => error,
      )

    for (const when of ['before', 'after'] as const) {
      it(`can be repeated by the id in the error (${when})`, async () => {
        failOnce(when)
        const failure = await topUp()
        expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
        const { changeId, message } = failure as QuotaError
        expect(message).to.equal(`gone fishing: repeat it with id "${changeId}"`)
        await quota.topUp(SUBJECT, 'budget', 50, { id: changeId! })
        expect(await stands()).to.include({ budget: '0 of 150' })
      })

      it(`are finished by another process, once (${when})`, async () => {
        failOnce(when)
        await topUp()
        await restartWithStore()
        clock.advance(20_000)
        await newSweeper().sweep()
        expect(await stands()).to.include({ budget: '0 of 150' })
        expect((await quota.driftOf(SUBJECT)).map(({ drift }) => drift)).to.deep.equal([0, 0, 0, 0])
        await newSweeper().sweep()
        expect(await stands()).to.include({ budget: '0 of 150' })
        expect(await store.sweep(9)).to.deep.equal([])
      })
    }

    it('are finished also where they were reset, and nothing is left on the list of those that went well', async () => {
      await use(30)
      failOnce('before')
      await quota.reset(SUBJECT, 'month').catch(() => {})
      await quota.reset(SUBJECT, 'budget')
      await restartWithStore()
      clock.advance(20_000)
      expect(await store.sweep(9)).to.have.length(1)
      await newSweeper().sweep()
      expect(await stands()).to.include({ budget: '0 of 100', month: '0 of 100' })
    })

    it('are left alone when it is too late to tell, and logged', async () => {
      failOnce('before')
      const { changeId } = (await topUp()) as QuotaError
      await restartWithStore()
      clock.advance(601_000)
      await newSweeper().sweep()
      expect(await stands()).to.include({ budget: '0 of 100' })
      expect(logged).to.deep.equal([
        ['an adjustment is in the ledger, and its counter may be without it: compare them', { id: changeId }],
      ])
      expect(await store.sweep(9)).to.deep.equal([])
    })

    it('are nothing where no entry was written', async () => {
      const append = ledger.append.bind(ledger)
      ledger.append = async () => {
        throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'full')
      }
      expect(await topUp())
        .to.have.property('changeId')
        .that.is.a('string')
      ledger.append = append
      const sweeper = newSweeper()
      clock.advance(20_000)
      await sweeper.sweep()
      clock.advance(600_000)
      await sweeper.sweep()
      expect([logged, await store.sweep(9)]).to.deep.equal([[], []])
      expect(await stands()).to.include({ budget: '0 of 100' })
    })
  })

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
