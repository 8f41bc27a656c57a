import { MemoryPlanSource, type MemoryPlanSourceOptions, type Plan, type Subject } from '@tallygate/core'
import { expect } from 'chai'
import { complaint } from './complaint.ts'

const [FREE, PRO]: [Plan, Plan] = [
  { name: 'free', limits: [{ name: 'day', unit: 'requests', quota: 5, window: { kind: 'fixed', every: 'day' } }] },
  { name: 'pro', limits: [] },
]

describe('MemoryPlanSource', () => {
  const names = (source: MemoryPlanSource, plans?: readonly string[]): string[] =>
    source.plansOf(subject(plans)).plans.map(({ name }) => name)

  it('gives a subject the plans of its key, else the defaults, else none', () => {
    const source = new MemoryPlanSource({ plans: [FREE, PRO], defaults: ['free'] })
    expect(names(source)).to.deep.equal(['free'])
    expect(names(source, ['pro', 'free'])).to.deep.equal(['pro', 'free'])
    expect(names(source, [])).to.deep.equal([])
    expect(names(new MemoryPlanSource({ plans: [FREE] }))).to.deep.equal([])
    expect(names(new MemoryPlanSource())).to.deep.equal([])
  })

  it('gives the same object for the same names, so that what is worked out for it can be kept', () => {
    const source = new MemoryPlanSource({ plans: [FREE, PRO], combine: 'any' })
    const set = source.plansOf(subject(['free', 'pro']))
    expect(source.plansOf(subject(['free', 'pro']))).to.equal(set)
    expect(source.plansOf(subject(['pro', 'free']))).to.not.equal(set)
    expect(set.combine).to.equal('any')
  })

  it('counts a plan once that is named twice', () => {
    const source = new MemoryPlanSource({ plans: [FREE], defaults: ['free', 'free'] })
    expect(names(source)).to.deep.equal(['free'])
    expect(names(source, ['free', 'free'])).to.deep.equal(['free'])
  })

  it('says which plans there are when a subject names another', () => {
    const source = new MemoryPlanSource({ plans: [FREE, PRO] })
    source.plansOf(subject(['free', 'pro']))
    for (const name of ['gold', '', 'free pro', 'constructor'])
      expect(complaint(() => source.plansOf(subject([name])))).to.equal(
        `ERR_QUOTA_CONFIG: there is no plan named ${JSON.stringify(name)}: use one of free, pro`,
      )
    expect(complaint(() => new MemoryPlanSource().plansOf(subject(['gold'])))).to.include('use one of none')
  })

  it('lists all its plans, for checking them at start', () => {
    expect(new MemoryPlanSource({ plans: [FREE, PRO] }).plans.map(({ name }) => name)).to.deep.equal(['free', 'pro'])
  })

  const bad: readonly { options: unknown; says: string }[] = [
    { options: { plans: [FREE, PRO, FREE] }, says: 'two plans have the name free: rename one' },
    { options: { plans: [FREE], defaults: ['fre'] }, says: 'there is no plan named "fre": use one of free' },
    { options: { plans: [FREE], combine: 'each' }, says: 'combine is "each": use all, any' },
    { options: { plans: [{ name: 'pro', limits: [{}] }] }, says: 'plans.pro.limits[0].name is undefined: use 1' },
  ]
  for (const { options, says } of bad) {
    it(`says when it is made: ${says} …`, () => {
      const said = complaint(() => new MemoryPlanSource(options as MemoryPlanSourceOptions))
      expect(said.slice(0, 18 + says.length)).to.equal(`ERR_QUOTA_CONFIG: ${says}`)
    })
  }
})

function subject(plans?: readonly string[]): Subject {
  return { id: 'alice', tenant: 'default', standing: 'registered', dimensions: {}, plans }
}
