import { MemoryPlanSource, type Limit, type Window } from '@tallygate/core'
import { expect } from 'chai'
import { DAY, HOUR, MINUTE, PASSES, REFUSED, requests, SystemBed, tokens } from './system-bed.ts'
import { closeTestBeds, START_MS } from './test-bed.ts'

describe('What operators of Discourse find again', () => {
  afterEach(closeTestBeds)

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
