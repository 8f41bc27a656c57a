import { mock } from 'node:test'
import {
  CompiledPlan,
  isQuotaError,
  MemoryCounterStore,
  MemoryLedger,
  MemoryOutbox,
  QuotaError,
  type CounterStore,
  type Plan,
  type Subject,
} from '@tallygate/core'
import { createQuota, type Quota, type QuotaOptions } from '@tallygate/flow'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'

const PEPPER = 'a pepper for tests, long enough to be one'
const BODY = Buffer.from('{"model":"gpt-4o","max_tokens":50,"messages":[{"role":"user","content":"Hello!"}]}')
const REQUEST = { method: 'POST', url: '/v1/chat/completions', headers: { authorization: 'Bearer sk-1' } }
const plan = (quota: number, more: Partial<Plan['limits'][number]> = {}): Plan => ({
  name: 'p',
  limits: [{ name: 'tokens', unit: 'tokens', quota, window: { kind: 'lifetime' }, ...more }],
})
const SUBJECT: Subject = {
  id: 'user-7',
  tenant: 'default',
  standing: 'registered',
  dimensions: { tenant: 'default', key: 'user-7' },
}

interface Opened {
  readonly quota: Quota
  readonly clock: SettableClock
  readonly store: MemoryCounterStore
  readonly ledger: MemoryLedger
  readonly logged: string[]
}

const quotas: Quota[] = []

function opened(options: Partial<QuotaOptions> = {}): Opened {
  const clock = new SettableClock()
  const store = new MemoryCounterStore({ clock: clock.now })
  const ledger = new MemoryLedger()
  const logged: string[] = []
  const log = (message: string): void => void logged.push(message)
  const given = { pepper: PEPPER, store, ledger, clock: clock.now, logger: { warn: log, error: log }, ...options }
  const quota = createQuota(given)
  quotas.push(quota)
  return { quota, clock, store, ledger, logged }
}

/** A call that was admitted, or the status of its refusal. */
async function admitted(quota: Quota, url = REQUEST.url): Promise<ReturnType<Quota['begin']> | number> {
  const call = quota.begin({ ...REQUEST, url })
  call.identifyAs(SUBJECT)
  await call.resolvePlans()
  const denial = call.read(BODY) ?? (await call.admit())
  call.recordAtEnd()
  return denial?.status ?? call
}

describe('createQuota', () => {
  afterEach(async () => {
    for (const quota of quotas.splice(0)) await quota.close(50)
  })

  const mistakes: readonly (readonly [mistake: string, options: QuotaOptions, code: string, says: RegExp])[] = [
    [
      'a pepper that is too short',
      { pepper: 'short' },
      'ERR_QUOTA_CONFIG',
      /the pepper has 5 characters: use at least 32/,
    ],
    [
      'a budget without prices',
      { plans: [plan(1, { unit: 'cost' })] },
      'ERR_QUOTA_CONFIG',
      /plan p counts cost, and nobody knows prices/,
    ],
    ['default plans that are not there', { defaultPlans: ['gold'] }, 'ERR_QUOTA_CONFIG', /gold/],
    ['two plans of one name', { plans: [plan(1), plan(2)] }, 'ERR_QUOTA_CONFIG', /p/],
    [
      'an option that there is none of',
      { stores: {} } as QuotaOptions,
      'ERR_QUOTA_CONFIG',
      /createQuota\(\)\.stores is \{\}: there is no such member/,
    ],
    [
      'a store that is none',
      { store: 'redis://x' as unknown as CounterStore },
      'ERR_QUOTA_CONFIG',
      /store is "redis:\/\/x": use a counter store/,
    ],
    [
      'fields that there are none of',
      { rateLimitStyles: ['draft8' as 'draft-8'] },
      'ERR_QUOTA_CONFIG',
      /rateLimitStyles is "draft8"/,
    ],
    [
      'a decision that takes no time',
      { decideWithinMs: 0 },
      'ERR_QUOTA_CONFIG',
      /createQuota\(\)\.decideWithinMs is 0: use milliseconds from 1 to 10000/,
    ],
    ...([1, 999, 0, -5, NaN, 1_000.5, 3_600_001, '5000' as never] as const).map(
      (holdLifetimeMs) =>
        [
          `holds that live ${JSON.stringify(holdLifetimeMs)} ms`,
          { holdLifetimeMs },
          'ERR_QUOTA_CONFIG',
          /holdLifetimeMs is \S+: use whole milliseconds from 1000 to 3600000/,
        ] as const,
    ),
    ...([0, -1, NaN, 0.5, 1e12, 'x' as never] as const).map(
      (durableWithinMs) =>
        [
          `ends that wait for ${JSON.stringify(durableWithinMs)} ms`,
          { durableWithinMs },
          'ERR_QUOTA_CONFIG',
          /durableWithinMs is \S+: use whole milliseconds from 1 to 600000/,
        ] as const,
    ),
    [
      'a status that clients would retry',
      { denials: { exhaustedStatus: 500 as 429 } },
      'ERR_QUOTA_CONFIG',
      /exhaustedStatus is 500: use 429, 402 or 403/,
    ],
    [
      'default plans beside a plan source',
      { plans: { plans: [], plansOf: async () => ({ plans: [], combine: 'all' }) }, defaultPlans: ['p'] },
      'ERR_QUOTA_CONFIG',
      /defaultPlans is set beside a plan source/,
    ],
    [
      'a window that the store can not count',
      { plans: [plan(1)], store: { capabilities: new Set() } as unknown as CounterStore },
      'ERR_QUOTA_CAPABILITY',
      /plan p needs lifetime, which the counter store can't do: change the limit, or use another store/,
    ],
  ]
  for (const [mistake, options, code, says] of mistakes) {
    it(`refuses ${mistake}, and says what to do`, () => {
      expect(() => createQuota({ pepper: PEPPER, ...options }))
        .to.throw(QuotaError, says)
        .with.property('code', code)
    })
  }

  it('admits on bytes while there is room, and counts the prompt only where bytes would not fit', async () => {
    const { quota } = opened({ plans: [plan(100)], defaultPlans: ['p'] })
    // 82 bytes and 50 tokens of output are more than 100, but the prompt has fewer than 20 tokens.
    const call = await admitted(quota)
    expect(call).to.be.an('object')
    const { statuses } = await quota.limitsOf(SUBJECT)
    expect(statuses[0]!.used).to.be.within(55, 75)
  })

  it('tells of limits that middlewares apply beside the plans', async () => {
    const { quota } = opened({ plans: [plan(100)], defaultPlans: ['p'] })
    const limits = [{ name: 'calls', unit: 'requests', quota: 5, window: { kind: 'lifetime' } }] as const
    const general = new CompiledPlan({ name: 'limiter', limits })
    quota.alsoLimits(general)
    quota.alsoLimits(general)
    const { statuses } = await quota.limitsOf(SUBJECT)
    expect(statuses.map(({ bound, remaining }) => [bound.limit.name, remaining])).to.deep.equal([
      ['calls', 5],
      ['tokens', 100],
    ])
  })

  it('refuses limits of middlewares that the store can not count', () => {
    const store = Object.assign(new MemoryCounterStore(), { capabilities: new Set(['lifetime'] as const) })
    const quota = createQuota({ pepper: PEPPER, plans: [plan(1)], store })
    const window = { kind: 'sliding', durationMs: 60_000 } as const
    const limits = [{ name: 'calls', unit: 'requests', quota: 5, window }] as const
    expect(() => quota.alsoLimits(new CompiledPlan({ name: 'limiter', limits })))
      .to.throw(QuotaError, /plan limiter needs sliding/)
      .with.property('code', 'ERR_QUOTA_CAPABILITY')
  })

  it('applies a limit on a service to whom the host says it is for', async () => {
    const { quota } = opened({ plans: [plan(0, { when: { service: ['mail*'] } })], defaultPlans: ['p'] })
    const statusFor = async (service: string): Promise<number | undefined> => {
      const call = quota.begin(REQUEST)
      call.identifyAs({ ...SUBJECT, dimensions: { ...SUBJECT.dimensions, service } })
      await call.resolvePlans()
      const status = (call.read(BODY) ?? (await call.admit()))?.status
      call.release()
      return status
    }
    expect(await statusFor('mailer')).to.equal(429)
    expect(await statusFor('search')).to.equal(undefined)
  })

  it('gives back what was held for a caller that hung up while the decision was under way', async () => {
    const { quota } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    const call = quota.begin(REQUEST)
    call.identifyAs(SUBJECT)
    await call.resolvePlans()
    call.read(BODY)
    const deciding = call.admit()
    call.release()
    await deciding
    await quota.drain()
    expect((await quota.limitsOf(SUBJECT)).statuses[0]!.used).to.equal(0)
    expect(quota.pending).to.equal(0)
  })

  it('refuses new calls while neither ledger nor outbox takes entries, unless it is told to admit', async () => {
    for (const [onFullOutbox, isReady, status] of [
      ['refuse', false, 503],
      ['admit', true, undefined],
    ] as const) {
      const { quota, ledger } = opened({ outbox: new MemoryOutbox({ most: 0 }), onFullOutbox })
      const append = ledger.append.bind(ledger)
      ledger.append = async () => {
        throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'gone')
      }
      const first = await admitted(quota)
      if (typeof first === 'number') throw new Error(`refused with ${first}`)
      await first.finishUnmetered('complete', 200)
      expect(await quota.isReady()).to.equal(isReady)
      expect(await quota.notReadyBecause()).to.equal(isReady ? undefined : 'no-place-for-entries')
      const second = await admitted(quota)
      expect(typeof second === 'number' ? second : undefined).to.equal(status)
      if (typeof second !== 'number') second.release()
      ledger.append = append
      await quota.drain(50)
      expect(await quota.isReady()).to.equal(true)
      expect(quota.pending).to.equal(0)
    }
  })

  it('is not ready while the counters do not answer', async () => {
    const { quota, store } = opened()
    store.read = async () => {
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone')
    }
    expect(await quota.isReady()).to.equal(false)
    expect(await quota.notReadyBecause()).to.equal('counters-away')
  })

  it('goes by what each limit says while the counters do not answer', async () => {
    for (const [onUnavailable, status] of [
      ['refuse', 503],
      ['admit', undefined],
    ] as const) {
      const { quota, store } = opened({ plans: [plan(100, { onUnavailable })], defaultPlans: ['p'] })
      store.reserve = async () => {
        throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone')
      }
      const call = await admitted(quota)
      expect(typeof call === 'number' ? call : undefined).to.equal(status)
      if (typeof call !== 'number') await call.finishUnmetered('complete', 200)
    }
  })

  it('waits for calls under way when it drains, and closes what it opened itself', async () => {
    const { quota, ledger } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    const call = await admitted(quota)
    if (typeof call === 'number') throw new Error(`refused with ${call}`)
    let isDrained = false
    const drained = quota.drain(5_000).then(() => (isDrained = true))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect([isDrained, quota.pending]).to.deep.equal([false, 1])
    await call.finishUnmetered('complete', 200)
    await drained
    expect(await ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })).to.have.length(1)
  })

  it('records a call once, however often it ends', async () => {
    const { quota, ledger } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    const call = await admitted(quota)
    if (typeof call === 'number') throw new Error(`refused with ${call}`)
    await Promise.all([call.finishUnmetered('aborted', 200), call.finishUnmetered('complete', 200)])
    call.release()
    await quota.drain()
    const entries = await ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
    expect(entries.map(({ outcome }) => outcome)).to.deep.equal(['aborted'])
  })

  it('is not ready for a while after a decision that no counter answered', async () => {
    const { quota, store, clock } = opened({ plans: [plan(100)], defaultPlans: ['p'] })
    const reserve = store.reserve.bind(store)
    store.reserve = async () => {
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'READONLY')
    }
    expect(await admitted(quota)).to.equal(503)
    expect(await quota.isReady()).to.equal(false)
    expect(await quota.notReadyBecause()).to.equal('decision-failed')
    clock.advance(5_000)
    expect(await quota.isReady()).to.equal(true)
    expect(await admitted(quota)).to.equal(503)
    store.reserve = reserve
    const call = await admitted(quota)
    expect(await quota.isReady()).to.equal(true)
    if (typeof call !== 'number') call.release()
  })

  it('does not wait longer than it is told for a ledger that says nothing', async () => {
    const { quota, ledger } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    const append = ledger.append.bind(ledger)
    ledger.append = () => new Promise(() => {})
    const call = await admitted(quota)
    if (typeof call === 'number') throw new Error(`refused with ${call}`)
    await call.finishUnmetered('complete', 200)
    const begunMs = performance.now()
    await quota.drain(100)
    expect(performance.now() - begunMs).to.be.below(5_000)
    expect(quota.pending).to.be.above(0)
    // Or it is tried again for as long as the process runs, and keeps it running.
    ledger.append = append
  })

  it('decides once on a limit that a middleware applies twice, and still on those of another caller', async () => {
    const { quota } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    const call = await admitted(quota)
    if (typeof call === 'number') throw new Error(`refused with ${call}`)
    expect(call.undecided(call.bind(call.plans))).to.deep.equal([])
    call.identifyAs({ ...SUBJECT, id: 'user-8', dimensions: { tenant: 'default', key: 'user-8' } })
    expect(call.undecided(call.bind(call.plans))).to.have.length(1)
    call.release()
  })

  it('keeps what a long call holds from expiring', async () => {
    const { quota, clock, store } = opened({ plans: [plan(100)], defaultPlans: ['p'], holdLifetimeMs: 60_000 })
    const call = await admitted(quota)
    if (typeof call === 'number') throw new Error(`refused with ${call}`)
    for (let half = 0; half < 6; half += 1) {
      clock.advance(30_000)
      await call.extend(clock.now())
    }
    expect(await store.sweep(10)).to.deep.equal([])
    clock.advance(61_000)
    expect(await store.sweep(10)).to.have.length(1)
  })

  for (const holdLifetimeMs of [1_000, 3_000, 60_000]) {
    it(`beats by itself often enough for holds that live ${holdLifetimeMs} ms`, async () => {
      mock.timers.enable({ apis: ['setInterval'] })
      try {
        const { quota, clock, store } = opened({ plans: [plan(100)], defaultPlans: ['p'], holdLifetimeMs })
        const call = await admitted(quota)
        if (typeof call === 'number') throw new Error(`refused with ${call}`)
        const stepMs = holdLifetimeMs / 20
        for (let step = 0; step < 60; step += 1) {
          clock.advance(stepMs)
          mock.timers.tick(stepMs)
          await new Promise(setImmediate)
          expect(await store.sweep(10)).to.deep.equal([])
        }
        call.release()
        await quota.close(50)
      } finally {
        mock.timers.reset()
      }
    })
  }

  it('keeps with a hold only what every store can keep: no half of a character', async () => {
    const { quota, store } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    // A set: a counter that has to be looked up in the ledger is asked for twice.
    const contexts = new Set<string>()
    const reserve = store.reserve.bind(store)
    store.reserve = async (request) => {
      contexts.add(request.context)
      return reserve(request)
    }
    for (const model of ['gpt\\ud800', `${'x'.repeat(255)}🙂`]) {
      const call = quota.begin(REQUEST)
      call.identifyAs(SUBJECT)
      await call.resolvePlans()
      call.read(Buffer.from(`{"model":"${model}","max_tokens":5,"messages":[]}`))
      await call.admit()
      call.release()
    }
    expect([...contexts].map((context) => context.isWellFormed())).to.deep.equal([true, true])
  })

  it('says in a QuotaError when a reservation was settled before', async () => {
    const { quota, store } = opened({ plans: [plan(1_000)], defaultPlans: ['p'] })
    store.reserve = async () => ({ outcome: 'closed', nowMs: 1 })
    const error: unknown = await admitted(quota).catch((reason: unknown) => reason)
    expect(isQuotaError(error, 'ERR_QUOTA_CONFIG')).to.equal(true)
  })
})
