import { CompiledPlan, MemoryKeyRegistry, type Plan } from '@tallygate/core'
import { createQuota } from '@tallygate/flow'
import { expect } from 'chai'
import { QuotaBed, REQUESTS, subject, TOKENS } from './quota-bed.ts'

const PLANS: readonly Plan[] = [
  { name: 'free', limits: [REQUESTS] },
  { name: 'pro', limits: [TOKENS, { ...REQUESTS, name: 'gpt', when: { model: ['gpt*'] } }], labels: { price: '10' } },
]

describe('Quota.explain', () => {
  it('tells from where a caller has its limits: a limiter, an assignment, an override, the default', async () => {
    const { quota } = new QuotaBed({
      plans: PLANS,
      defaultPlans: ['free'],
      assignments: [{ for: { user: 'alice' }, plans: ['pro'] }],
      overrides: [{ for: { user: 'alice' }, limit: 'pro/tokens', quota: 77 }],
    })
    quota.alsoLimits(new CompiledPlan({ name: 'limiter', limits: [{ ...REQUESTS, name: 'all' }] }))
    const origins = async (who = subject()): Promise<unknown[]> =>
      (await quota.explain(who)).limits.map(({ limit, origin }) => [
        limit.name,
        origin,
        limit.definition.quota,
        limit.override?.for,
      ])
    expect(await origins()).to.deep.equal([
      ['all', { by: 'limiter' }, 10, undefined],
      ['requests', { by: 'default' }, 10, undefined],
    ])
    const alice = { by: 'user', value: 'alice' }
    expect(await origins(subject('k1', { user: 'alice' }))).to.deep.equal([
      ['all', { by: 'limiter' }, 10, undefined],
      ['tokens', alice, 77, { user: 'alice' }],
      ['gpt', alice, 10, undefined],
    ])
    const [registry] = (await quota.explain(subject('k1', { plans: ['pro'] }))).limits.slice(1)
    expect(registry!.origin).to.deep.equal({ by: 'registry' })
  })

  it('says of a call what its decision says, and counts nothing', async () => {
    const bed = new QuotaBed({ plans: PLANS, defaultPlans: ['pro'] })
    await bed.call({ status: 200, outcome: 'complete', tokens: 960 })
    const told = await bed.quota.explain(subject(), { model: 'gpt-4o' }, { tokens: 50 })
    expect(told).to.include({ admitted: false, reason: 'no-room' })
    expect(told.limits.find(({ isBinding }) => isBinding)?.limit.name).to.equal('tokens')
    expect(told.limits[0]!.plan.labels).to.deep.equal({ price: '10' })
    expect((await bed.quota.explain(subject(), {}, { tokens: 40 })).admitted).to.equal(true)
    expect(await bed.used()).to.include({ 'pro/tokens': 960 })
    expect(await bed.begin(subject(), { maxTokens: 50 })).to.equal(429)
  })

  it('applies a limit on a service to whom the host says it is for', async () => {
    const { quota } = new QuotaBed({
      plans: [{ name: 'p', limits: [{ ...REQUESTS, when: { service: ['mail'] } }] }],
      defaultPlans: ['p'],
    })
    const mail = subject()
    expect((await quota.explain(mail)).limits[0]!.because).to.include('whose service is mail')
    const told = await quota.explain({ ...mail, dimensions: { ...mail.dimensions, service: 'mail' } })
    expect(told.limits[0]!.because).to.equal(undefined)
  })

  it('states the overshoot of where it counts', async () => {
    const plans = [{ name: 'p', limits: [REQUESTS] }]
    const own = createQuota({ pepper: 'x'.repeat(32), plans, defaultPlans: ['p'], nodes: 3 })
    expect((await own.explain(subject())).limits[0]!.overshoot.units).to.equal(20)
    await own.close()
    const shared = new QuotaBed({ plans, defaultPlans: ['p'], nodes: 3, topology: 'cluster' })
    const { units, failures } = (await shared.quota.explain(subject())).limits[0]!.overshoot
    expect(units).to.equal(0)
    expect(failures.map(({ cause }) => cause)).to.deep.equal(['counters-lost', 'failover'])
  })

  it('knows the groups of a key that was handed out', async () => {
    const registry = new MemoryKeyRegistry([{ id: 'k1', fingerprint: 'f', groups: ['staff'] }])
    const { quota } = new QuotaBed({
      plans: PLANS,
      registry,
      assignments: [{ for: { group: 'staff' }, plans: ['pro'] }],
    })
    const told = await quota.explain(await quota.subjectOf('k1'))
    expect(told.limits[0]!.origin).to.deep.equal({ by: 'group', value: 'staff' })
  })
})
