import { MemoryPlanSource, type Limit, type Plan, type Window } from '@tallygate/core'
import { expect } from 'chai'
import { SystemBed } from './system-bed.ts'
import { closeTestBeds, START_MS } from './test-bed.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const MONTH: Window = { kind: 'fixed', every: 'month' }
const requests = (quota: number | null, window: Window, rest: Partial<Limit> = {}): Limit => {
  return { name: 'requests', unit: 'requests', quota, window, trip: 'reached', ...rest }
}
const tokens = (quota: number | null, window: Window, rest: Partial<Limit> = {}): Limit => {
  return { name: 'tokens', unit: 'tokens', quota, window, trip: 'reached', ...rest }
}

const PASSES = 200
const REFUSED = 429

describe('What operators of these systems find again', () => {
  afterEach(closeTestBeds)

  describe('Drupal', () => {
    it('trips when the limit is reached, for each key, before the provider is asked', async () => {
      const site = await SystemBed.of([requests(3, MONTH)])
      expect(await site.calls(4, { user: 'key-a' })).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
      expect(site.bed.provider.requests).to.have.length(3)
      expect(await site.call({ user: 'key-b' })).to.equal(PASSES)
    })

    it('counts in calendar months: the first of the next is free again, and the old one stays in the ledger', async () => {
      const site = await SystemBed.of([requests(1, MONTH)])
      site.bed.clock.set(Date.UTC(2026, 10, 30, 23, 59, 59, 999))
      expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
      site.bed.clock.advance(1)
      expect(await site.call()).to.equal(PASSES)
      const filter = { tenant: 'default', fromMs: 0, toMs: Date.UTC(2030, 0) }
      const { rows } = await site.bed.ledger.sum({ filter, by: ['month'] })
      expect(rows.map(({ group, calls }) => [group.month, calls])).to.deep.equal([
        ['2026-11', 1],
        ['2026-12', 1],
      ])
    })

    it('tokens that cross a limit are delivered, and the next call is refused', async () => {
      const [input, output] = ['input-tokens', 'output-tokens'] as const
      const site = await SystemBed.of([
        tokens(100, MONTH, { name: 'input', unit: input }),
        tokens(50, MONTH, { name: 'output', unit: output }),
      ])
      expect(await site.call({ tokens: [10, 60] })).to.equal(PASSES)
      expect(await site.call()).to.equal(REFUSED)
      const { statuses } = await site.bed.quota.limitsOf(site.subject())
      expect(statuses.map(({ bound, tripped }) => [bound.limit.name, tripped])).to.deep.equal([
        ['input', false],
        ['output', true],
      ])
    })

    it('the most specific of several budgets counts: user, then role, then everybody', async () => {
      const plans: readonly Plan[] = [{ name: 'site', limits: [requests(3, MONTH)] }]
      const [forUser, forRole] = [
        { for: { user: 'ann' }, limit: 'site/requests', quota: 1 },
        { for: { group: 'editor' }, limit: 'site/requests', quota: 2 },
      ]
      const site = await SystemBed.open({ plans, defaultPlans: ['site'], overrides: [forUser, forRole] })
      const ann = { user: 'ann', groups: ['editor'] }
      expect(await site.calls(2, ann)).to.deep.equal([PASSES, REFUSED])
      expect(await site.calls(3, { user: 'bob', groups: ['editor'] })).to.deep.equal([PASSES, PASSES, REFUSED])
      expect(await site.calls(4, { user: 'cid' })).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
      site.bed.quota.swap({ plans, defaultPlans: ['site'], overrides: [forRole] })
      expect(await site.calls(2, ann)).to.deep.equal([PASSES, REFUSED])
    })

    it('an administrator resets a counter, and the ledger keeps what was used', async () => {
      const site = await SystemBed.of([requests(1, MONTH)])
      expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
      await site.bed.quota.reset(site.subject(), 'requests', { by: 'root' })
      expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
      expect(await site.bed.entries()).to.have.length(2)
    })

    it('counts a call when it is made, and its tokens once, at the end of a stream', async () => {
      const site = await SystemBed.of([requests(9, MONTH), tokens(100, MONTH)])
      await site.call({ stream: true, tokens: [10, 7] })
      expect(await site.used()).to.deep.equal({ 'plan/requests': 1, 'plan/tokens': 17 })
    })

    it('a changed limit is in force now, and one of null never trips', async () => {
      const site = await SystemBed.of([requests(1, MONTH)])
      expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
      for (const quota of [2, null]) {
        site.bed.quota.swap({ plans: [{ name: 'plan', limits: [requests(quota, MONTH)] }], defaultPlans: ['plan'] })
        expect(await site.call()).to.equal(PASSES)
      }
      expect(await site.used()).to.deep.equal({ 'plan/requests': 3 })
    })
  })

  describe('Discourse', () => {
    const window = (durationMs: number): Window => ({ kind: 'first-use', durationMs, then: 'restart' })
    const change = { quota: 'now', duration: 'next-window' } as const
    const usages = (quota: number, durationMs = DAY, rest: Partial<Limit> = {}): Limit =>
      requests(quota, window(durationMs), { name: 'usages', trip: 'exceeded', onChange: change, ...rest })
    const used = (quota: number, durationMs = DAY): Limit =>
      tokens(quota, window(durationMs), { trip: 'exceeded', onChange: change })
    const count = { on: 'http200' } as const

    it('trips when the limit is exceeded: one more use passes', async () => {
      const forum = await SystemBed.of([usages(2)], { count })
      expect(await forum.calls(4)).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
    })

    it('tokens at the limit pass, tokens over it refuse, and the call that crosses it is answered in full', async () => {
      const forum = await SystemBed.of([used(1_000)], { count })
      expect(await forum.calls(2, { tokens: [300, 200] })).to.deep.equal([PASSES, PASSES])
      expect(await forum.call({ tokens: [400, 90] })).to.equal(PASSES)
      expect(await forum.used()).to.deep.equal({ 'plan/tokens': 1_490 })
      expect(await forum.call()).to.equal(REFUSED)
    })

    it('a window begins with the first use, and the next one with the next use after its end', async () => {
      const forum = await SystemBed.of([usages(0, HOUR)], { count })
      expect(await forum.calls(2)).to.deep.equal([PASSES, REFUSED])
      forum.bed.clock.advance(HOUR - 1)
      expect(await forum.call()).to.equal(REFUSED)
      forum.bed.clock.advance(1)
      forum.bed.clock.advance(17 * MINUTE)
      expect(await forum.call()).to.equal(PASSES)
      const [status] = (await forum.bed.quota.limitsOf(forum.subject())).statuses
      expect(status).to.include({ used: 1, resetAtMs: START_MS + 2 * HOUR + 17 * MINUTE })
    })

    it('one quota of several groups with room admits, and all are charged', async () => {
      const forum = await SystemBed.open({
        plans: new MemoryPlanSource({
          plans: [
            { name: 'small', limits: [usages(0), used(1_000)], count },
            { name: 'large', limits: [usages(1), used(1_000)], count },
          ],
          assignments: ['small', 'large'].map((group) => ({ for: { group }, plans: [group] })),
          severalGroups: 'any',
        }),
      })
      const both = { groups: ['small', 'large'] }
      expect(await forum.calls(3, both)).to.deep.equal([PASSES, PASSES, REFUSED])
      expect(await forum.used(both)).to.deep.include({ 'small/usages': 2, 'large/usages': 2 })
      expect(await forum.calls(2, { user: 'bob', groups: ['small'] })).to.deep.equal([PASSES, REFUSED])
    })

    it('nobody without a group with a quota is limited, and nothing is counted', async () => {
      const plans = [{ name: 'small', limits: [usages(0)] }]
      const forum = await SystemBed.open({ plans, assignments: [{ for: { group: 'small' }, plans: ['small'] }] })
      expect(await forum.calls(3)).to.deep.equal([PASSES, PASSES, PASSES])
      expect(await forum.used()).to.deep.equal({})
    })

    it('each member of a group has a quota of its own, on the model that it is for', async () => {
      const forum = await SystemBed.of([usages(0, DAY, { when: { model: ['gpt-4o'] } })], { count })
      expect(await forum.calls(2, { user: 'ann' })).to.deep.equal([PASSES, REFUSED])
      expect(await forum.call({ user: 'bob' })).to.equal(PASSES)
      expect(await forum.call({ user: 'ann', model: 'gpt-4o-mini' })).to.equal(PASSES)
    })

    it('counts afterwards, and only what was answered with 200', async () => {
      const forum = await SystemBed.of([usages(1), used(1_000)], { count })
      expect(await forum.calls(3, { fails: 500 })).to.deep.equal([500, 500, 500])
      expect(await forum.used()).to.deep.equal({ 'plan/usages': 0, 'plan/tokens': 0 })
      expect(await forum.call({ tokens: [100, 50] })).to.equal(PASSES)
      expect(await forum.used()).to.deep.equal({ 'plan/usages': 1, 'plan/tokens': 150 })
    })

    it('a changed maximum is in force now, a changed duration with the next window', async () => {
      const forum = await SystemBed.of([used(1_000, HOUR)], { count })
      const change = (quota: number, durationMs: number): void => {
        const plans = [{ name: 'plan', limits: [used(quota, durationMs)], count }]
        forum.bed.quota.swap({ plans, defaultPlans: ['plan'] })
      }
      await forum.call({ tokens: [300, 100] })
      change(300, 3 * HOUR)
      expect(await forum.call()).to.equal(REFUSED)
      change(500, 3 * HOUR)
      expect(await forum.call()).to.equal(PASSES)
      const resetAtMs = async (): Promise<unknown> =>
        (await forum.bed.quota.limitsOf(forum.subject())).statuses[0]!.resetAtMs
      expect(await resetAtMs()).to.equal(START_MS + HOUR)
      forum.bed.clock.advance(HOUR)
      await forum.call()
      expect(await resetAtMs()).to.equal(START_MS + 4 * HOUR)
    })
  })

  describe('Open-Xchange', () => {
    const per = ['user', 'application']
    const monthly = (quota: number): Limit => requests(quota, MONTH, { name: 'monthly', per })
    const trial = (quota: number, days: number): Limit =>
      requests(quota, { kind: 'first-use', durationMs: days * DAY, then: 'end' }, { name: 'duration', per })

    it('trips when the limit is reached: as many requests as it says, for each user and service', async () => {
      const service = await SystemBed.of([monthly(3)])
      const openai = { user: '1-123', service: 'openai' }
      expect(await service.calls(4, openai)).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
      expect(await service.call({ ...openai, service: 'bedrock' })).to.equal(PASSES)
      expect(await service.call({ ...openai, user: '1-124' })).to.equal(PASSES)
    })

    it('a month begins on its first day, UTC', async () => {
      const service = await SystemBed.of([monthly(1)])
      service.bed.clock.set(Date.UTC(2027, 0, 31, 23, 59, 59))
      expect(await service.calls(2)).to.deep.equal([PASSES, REFUSED])
      service.bed.clock.advance(1_000)
      expect(await service.call()).to.equal(PASSES)
    })

    it('a trial begins with its first request, ends by number or by days, and never comes back by itself', async () => {
      const service = await SystemBed.of([trial(3, 30)])
      service.bed.clock.advance(5 * DAY)
      expect(await service.calls(4, { user: 'all-used' })).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
      expect(await service.call({ user: 'part-used' })).to.equal(PASSES)
      service.bed.clock.advance(30 * DAY - 1)
      expect(await service.call({ user: 'part-used' })).to.equal(PASSES)
      for (const user of ['all-used', 'part-used', 'unused']) {
        service.bed.clock.advance(user === 'all-used' ? 1 : 40 * DAY)
        expect(await service.call({ user }), user).to.equal(user === 'unused' ? PASSES : REFUSED)
      }
    })

    it('an administrator resets one counter of one user for one service', async () => {
      const service = await SystemBed.of([monthly(1), trial(5, 30)])
      const callers = [
        { user: '1-123', service: 'openai' },
        { user: '1-123', service: 'bedrock' },
        { user: '1-124', service: 'openai' },
      ]
      for (const caller of callers) await service.call(caller)
      await service.bed.quota.reset(service.subject(callers[0]), 'monthly')
      const left = await Promise.all(callers.map((caller) => service.used(caller)))
      expect(left).to.deep.equal([0, 1, 1].map((used) => ({ 'plan/monthly': used, 'plan/duration': 1 })))
      expect(await service.calls(2, callers[0])).to.deep.equal([PASSES, REFUSED])
    })

    it('the first plan that matches counts, and nobody is without one: 10,000 a month', async () => {
      const service = await SystemBed.open({
        plans: [
          { name: 'trial', limits: [trial(1, 30)] },
          { name: 'premium', limits: [monthly(2)] },
          { name: 'default', limits: [monthly(10_000)] },
        ],
        assignments: ['trial', 'premium'].map((group) => ({ for: { group }, plans: [group] })),
        defaultPlans: ['default'],
      })
      expect(await service.calls(2, { groups: ['trial', 'premium'] })).to.deep.equal([PASSES, REFUSED])
      expect(await service.calls(3, { user: 'bob', groups: ['premium'] })).to.deep.equal([PASSES, PASSES, REFUSED])
      await service.call({ user: 'cid', groups: ['switchboard'] })
      expect(await service.used({ user: 'cid', groups: ['switchboard'] })).to.deep.equal({ 'default/monthly': 1 })
    })

    it('counts each request that was admitted, also one that failed, and none that was refused', async () => {
      const service = await SystemBed.of([monthly(2)])
      expect(await service.calls(3, { fails: 500 })).to.deep.equal([500, 500, REFUSED])
      expect(await service.used()).to.deep.equal({ 'plan/monthly': 2 })
    })

    it('a configuration that is read again goes on counting where it was', async () => {
      const service = await SystemBed.of([monthly(1)])
      expect(await service.calls(2)).to.deep.equal([PASSES, REFUSED])
      service.bed.quota.swap({ plans: [{ name: 'plan', limits: [monthly(2)] }], defaultPlans: ['plan'] })
      expect(await service.calls(2)).to.deep.equal([PASSES, REFUSED])
    })
  })

  describe('WSO2', () => {
    const every = (every: 'minute' | 'hour' | 'day', count = 1): Window => ({ kind: 'fixed', every, count })
    const per = ['application']
    const tier = (
      window: Window,
      quotas: { requests: number; total?: number; prompt?: number; completion?: number },
    ) => {
      const { total = null, prompt = null, completion = null } = quotas
      return [
        requests(quotas.requests, window, { per }),
        tokens(total, window, { name: 'total', per }),
        tokens(prompt, window, { name: 'prompt', unit: 'input-tokens', per }),
        tokens(completion, window, { name: 'completion', unit: 'output-tokens', per }),
      ]
    }

    it('trips when the count is reached, for all users of an application together', async () => {
      const gateway = await SystemBed.of(tier(every('minute'), { requests: 3 }))
      const statuses = [
        await gateway.calls(2, { service: 'app' }),
        await gateway.calls(2, { service: 'app', user: 'bob' }),
      ]
      expect(statuses.flat()).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
      expect(await gateway.call({ service: 'other' })).to.equal(PASSES)
    })

    for (const [dimension, quotas] of [
      ['total', { requests: 99, total: 300 }],
      ['prompt', { requests: 99, prompt: 300 }],
      ['completion', { requests: 99, completion: 58 }],
    ] as const) {
      it(`any dimension trips: ${dimension} tokens, whose crossing answer is delivered; one of null never does`, async () => {
        const gateway = await SystemBed.of(tier(every('minute'), quotas))
        expect(await gateway.calls(2, { tokens: [300, 58] })).to.deep.equal([PASSES, REFUSED])
        gateway.bed.clock.advance(MINUTE)
        expect(await gateway.call({ tokens: [300, 58] })).to.equal(PASSES)
      })
    }

    for (const { window, usedUpAt, freeAt } of [
      { window: every('minute', 5), usedUpAt: [11, 33], freeAt: [11, 35] },
      { window: every('hour'), usedUpAt: [11, 59], freeAt: [12, 0] },
      { window: every('day'), usedUpAt: [11, 31], freeAt: [24, 0] },
    ] as const) {
      it(`${JSON.stringify(window)} is aligned to the clock, UTC, not to the first use`, async () => {
        const at = ([hour, minute]: readonly [number, number]): number => Date.UTC(2026, 10, 21, hour, minute)
        const gateway = await SystemBed.of(tier(window, { requests: 1 }))
        gateway.bed.clock.set(at(usedUpAt))
        expect(await gateway.calls(2)).to.deep.equal([PASSES, REFUSED])
        gateway.bed.clock.set(at(freeAt) - 1)
        expect(await gateway.call()).to.equal(REFUSED)
        gateway.bed.clock.advance(1)
        expect(await gateway.call()).to.equal(PASSES)
      })
    }

    it('counts a request and the tokens of its answer; a failure without usage adds no tokens', async () => {
      const gateway = await SystemBed.of(tier(every('day'), { requests: 9 }))
      await gateway.call({ fails: 500, service: 'app' })
      await gateway.call({ tokens: [20, 5], service: 'app' })
      const used = { 'plan/requests': 2, 'plan/total': 25, 'plan/prompt': 20, 'plan/completion': 5 }
      expect(await gateway.used({ service: 'app' })).to.deep.equal(used)
    })

    it('passes what is over the quota where it does not stop, flags it as overage, and counts on', async () => {
      const gateway = await SystemBed.of([requests(1, every('day'), { onTrip: 'flag' })])
      expect(await gateway.calls(3)).to.deep.equal([PASSES, PASSES, PASSES])
      expect((await gateway.bed.entries()).map(({ overage }) => overage)).to.deep.equal([false, true, true])
      expect(await gateway.used()).to.deep.equal({ 'plan/requests': 3 })
    })

    it('a subscription of another tier counts anew', async () => {
      const limits = [requests(1, every('day'))]
      const plans = ['bronze', 'gold'].map((name) => ({ name, limits }))
      const gateway = await SystemBed.open({ plans, defaultPlans: ['bronze'] })
      expect(await gateway.calls(2)).to.deep.equal([PASSES, REFUSED])
      gateway.bed.quota.swap({ plans, defaultPlans: ['gold'] })
      expect(await gateway.calls(2)).to.deep.equal([PASSES, REFUSED])
    })
  })

  describe('aiXplain', () => {
    const [minute, day] = [
      { kind: 'fixed', every: 'minute' },
      { kind: 'fixed', every: 'day' },
    ] as const
    const next = { onChange: { quota: 'next-window' } } as const

    it('trips when requests a minute are reached; the next minute of the clock passes', async () => {
      const team = await SystemBed.of([requests(2, minute, next)])
      team.bed.clock.advance(45_000)
      expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
      team.bed.clock.advance(15_000)
      expect(await team.call()).to.equal(PASSES)
    })

    it('a day ends at midnight, UTC', async () => {
      const team = await SystemBed.of([requests(1, day, next)])
      expect(await team.calls(2)).to.deep.equal([PASSES, REFUSED])
      team.bed.clock.set(Date.UTC(2026, 10, 22) - 1)
      expect(await team.call()).to.equal(REFUSED)
      team.bed.clock.advance(1)
      expect(await team.call()).to.equal(PASSES)
    })

    it('limits of an asset and of all are enforced together, and one that refuses charges neither', async () => {
      const asset = { name: 'asset', per: ['key', 'model'], when: { model: ['gpt-4o'] } }
      const team = await SystemBed.of([requests(3, day, { name: 'global' }), requests(2, day, asset)])
      expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
      expect(await team.used()).to.deep.include({ 'plan/global': 2 })
      const other = { model: 'gpt-4o-mini' }
      expect(await team.calls(2, other)).to.deep.equal([PASSES, REFUSED])
    })

    it('counts tokens in and out, known after the call: the crossing one is delivered', async () => {
      const team = await SystemBed.of([tokens(10, minute, next)])
      expect(await team.calls(2, { tokens: [6, 6] })).to.deep.equal([PASSES, REFUSED])
      expect(await team.used()).to.deep.equal({ 'plan/tokens': 12 })
    })

    it('a changed limit applies from the next day on', async () => {
      const team = await SystemBed.of([requests(5, day, next)])
      await team.calls(3)
      team.bed.quota.swap({ plans: [{ name: 'plan', limits: [requests(2, day, next)] }], defaultPlans: ['plan'] })
      expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
      team.bed.clock.advance(DAY)
      expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
    })

    it('a budget never comes back, and credits can be added at once', async () => {
      const team = await SystemBed.of([tokens(10, { kind: 'lifetime' }, { name: 'budget' })])
      expect(await team.calls(2, { tokens: [6, 4] })).to.deep.equal([PASSES, REFUSED])
      team.bed.clock.advance(400 * DAY)
      expect(await team.call()).to.equal(REFUSED)
      await team.bed.quota.topUp(team.subject(), 'budget', 5)
      expect(await team.calls(2, { tokens: [4, 1] })).to.deep.equal([PASSES, REFUSED])
    })
  })
})
