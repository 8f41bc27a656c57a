import { MemoryKeyRegistry, type Plan } from '@tallygate/core'
import { createQuota, type CallerOptions, type QuotaOptions } from '@tallygate/flow'
import { fingerprint, pepperOf } from '@tallygate/identity'
import { expect } from 'chai'
import { QuotaBed, REQUESTS, subject } from './quota-bed.ts'

const OK = { status: 200, outcome: 'complete' } as const
const plan = (quota: number, name = 'p'): Plan => ({ name, limits: [{ ...REQUESTS, quota }] })

describe('Quota.swap', () => {
  it('replaces plans, assignments and overrides at once, and counters go on by their names', async () => {
    const bed = new QuotaBed({ plans: [plan(2)], defaultPlans: ['p'] })
    await bed.call(OK)
    await bed.call(OK)
    expect(await bed.begin()).to.equal(429)
    bed.quota.swap({ plans: [plan(3)], defaultPlans: ['p'] })
    await bed.call(OK)
    expect(await bed.begin()).to.equal(429)
    bed.quota.swap({
      plans: [plan(3), plan(9, 'q')],
      assignments: [{ for: { key: 'alice' }, plans: ['p'] }],
      overrides: [{ for: { key: 'alice' }, limit: 'p/requests', quota: 4 }],
    })
    await bed.call(OK)
    expect(await bed.begin()).to.equal(429)
    expect(await bed.used()).to.deep.equal({ 'p/requests': 4 })
  })

  it('takes what is not given for never said', async () => {
    const bed = new QuotaBed({ plans: [plan(0)], defaultPlans: ['p'] })
    expect(await bed.begin()).to.equal(429)
    bed.quota.swap({})
    expect(await bed.begin()).to.be.an('object')
  })

  it('leaves calls under way what they began under, also those that are not decided on yet', async () => {
    const bed = new QuotaBed({ plans: [plan(5)], defaultPlans: ['p'] })
    const under = await bed.begin()
    const undecided = bed.quota.begin({ method: 'POST', url: '/v1/chat/completions', headers: {} })
    undecided.identifyAs(subject('bob', { plans: ['p'] }))
    bed.quota.swap({ plans: [plan(0, 'q')], defaultPlans: ['q'] })
    await undecided.resolvePlans()
    expect(undecided.plans.plans.map(({ name }) => name)).to.deep.equal(['p'])
    undecided.release()
    if (typeof under === 'number') throw new Error(`refused with ${under}`)
    await under.finishUnmetered('complete', 200)
    await bed.quota.drain()
    const [entry] = await bed.entries()
    expect(entry!.plans.map(({ name }) => name)).to.deep.equal(['p'])
    expect(entry!.charges).to.deep.include({ ...entry!.charges[0], counter: 'p/requests', actual: 1 })
    expect(await bed.begin()).to.equal(429)
  })

  it('replaces the keys, whoever was known before', async () => {
    const pepper = pepperOf('a pepper for tests, long enough to be one')
    const registry = (secret: string): MemoryKeyRegistry =>
      new MemoryKeyRegistry([{ id: 'k', fingerprint: fingerprint(pepper, secret) }])
    const quota = createQuota({ pepper, registry: registry('the-first-secret-01') })
    const standing = async (secret: string): Promise<string> =>
      (await quota.identify({ headers: { authorization: `Bearer ${secret}` }, url: '/' })).outcome
    const both = async (): Promise<string[]> => [
      await standing('the-first-secret-01'),
      await standing('another-secret-0002'),
    ]
    expect(await both()).to.deep.equal(['identified', 'refused'])
    quota.swap({ registry: registry('another-secret-0002') })
    expect(await both()).to.deep.equal(['refused', 'identified'])
    quota.swap({ unregistered: 'pass' })
    expect(await both()).to.deep.equal(['identified', 'identified'])
    await quota.close()
  })

  const bad: readonly (readonly [mistake: string, options: CallerOptions, says: RegExp])[] = [
    ['a default plan that is not there', { plans: [plan(1)], defaultPlans: ['gold'] }, /gold/],
    [
      'a budget without prices',
      { plans: [{ name: 'p', limits: [{ ...REQUESTS, unit: 'cost' }] }] },
      /nobody knows prices/,
    ],
    [
      'an option that can not change',
      { slotOwner: ['tenant'] } as QuotaOptions,
      /swap\(\)\.slotOwner .* no such member/,
    ],
    ['a plan of any without several', { combine: 'some' as 'any' }, /combine is "some"/],
  ]
  for (const [mistake, options, says] of bad) {
    it(`refuses ${mistake}, and nothing has changed`, async () => {
      const bed = new QuotaBed({ plans: [plan(0)], defaultPlans: ['p'] })
      expect(() => bed.quota.swap(options)).to.throw(says)
      expect(await bed.begin()).to.equal(429)
    })
  }
})
