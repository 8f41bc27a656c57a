import { type Limit } from '@tallygate/core'
import { expect } from 'chai'
import { DAY, MONTH, PASSES, REFUSED, requests, SystemBed } from './system-bed.ts'
import { closeTestBeds } from './test-bed.ts'

describe('What operators of Open-Xchange find again', () => {
  afterEach(closeTestBeds)

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
