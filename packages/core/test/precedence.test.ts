import {
  MemoryPlanSource,
  type Assignment,
  type MemoryPlanSourceOptions,
  type Override,
  type Plan,
  type PlanSet,
  type Subject,
} from '@tallygate/core'
import { runs, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { complaint } from './complaint.ts'

const plan = (name: string, quota: number): Plan => ({
  name,
  limits: [
    { name: 'day', unit: 'requests', quota, window: { kind: 'fixed', every: 'day' } },
    { name: 'tokens', unit: 'tokens', quota: quota * 100, window: { kind: 'fixed', every: 'day' } },
  ],
})
const PLANS = [plan('free', 1), plan('pro', 2), plan('staff', 3), plan('beta', 4)]

interface Caller {
  readonly user?: string
  readonly key?: string
  readonly groups?: readonly string[]
  readonly tenant?: string
  readonly plans?: readonly string[]
}

function subject({ user, key = 'k1', groups, tenant = 'default', plans }: Caller): Subject {
  const dimensions = { tenant, key, ...(user === undefined ? {} : { user }) }
  return { id: key, tenant, standing: 'registered', dimensions, plans, groups }
}
const source = (options: MemoryPlanSourceOptions): MemoryPlanSource =>
  new MemoryPlanSource({ plans: PLANS, defaults: ['free'], ...options })
/** Why a caller has which plans: `pro by user alice`. */
const why = ({ plans, origins }: PlanSet): string[] =>
  plans.map(({ name }, index) => {
    const origin = origins![index]!
    return `${name} by ${origin.by}${'value' in origin ? ` ${origin.value}` : ''}`
  })

describe('which plans a caller has', () => {
  const assignments: readonly Assignment[] = [
    { for: { group: 'staff' }, plans: ['staff'] },
    { for: { group: 'beta' }, plans: ['beta', 'staff'], combine: 'any' },
    { for: { key: 'k2' }, plans: ['pro'] },
    { for: { user: 'alice' }, plans: ['pro', 'beta'], combine: 'any' },
    { for: { user: 'free-for-all' }, plans: [] },
    { for: { user: 'alice', tenant: 'acme' }, plans: ['beta'] },
  ]
  const rows: readonly { caller: Caller; has: readonly string[]; combine?: 'any' }[] = [
    { caller: {}, has: ['free by default'] },
    { caller: { groups: ['others'] }, has: ['free by default'] },
    { caller: { groups: ['staff'] }, has: ['staff by group staff'] },
    { caller: { key: 'k2', groups: ['staff'] }, has: ['pro by key k2'] },
    { caller: { key: 'k2', plans: ['staff'] }, has: ['staff by registry'] },
    { caller: { plans: ['pro', 'free', 'pro'], groups: ['staff'] }, has: ['pro by registry', 'free by registry'] },
    { caller: { plans: [], groups: ['staff'] }, has: [] },
    {
      caller: { user: 'alice', key: 'k2', plans: ['free'] },
      has: ['pro by user alice', 'beta by user alice'],
      combine: 'any',
    },
    { caller: { user: 'free-for-all', plans: ['free'] }, has: [] },
    { caller: { user: 'alice', tenant: 'acme' }, has: ['beta by user alice'] },
    { caller: { user: 'alice', tenant: 'other' }, has: ['free by default'] },
    { caller: { groups: ['staff'], tenant: 'acme' }, has: ['free by default'] },
  ]
  for (const { caller, has, combine = 'all' } of rows) {
    it(`${JSON.stringify(caller)}: ${has.join(', ') || 'none'}`, () => {
      const set = source({ assignments }).plansOf(subject(caller))
      expect(why(set)).to.deep.equal(has)
      expect(set.combine).to.equal(combine)
    })
  }

  it('of several groups: the first that was given, or those of all, which all have room or any', () => {
    const caller = subject({ groups: ['beta', 'staff'] })
    const found = (severalGroups?: 'first' | 'all' | 'any'): [string, ...string[]] => {
      const set = source({ assignments, ...(severalGroups === undefined ? {} : { severalGroups }) }).plansOf(caller)
      return [set.combine, ...why(set)]
    }
    expect(found()).to.deep.equal(['all', 'staff by group staff'])
    expect(found('first')).to.deep.equal(found())
    expect(found('any')).to.deep.equal(['any', 'staff by group staff', 'beta by group beta'])
    expect(found('all')).to.deep.equal(['all', 'staff by group staff', 'beta by group beta'])
  })

  it('takes the dimension group for one of the groups', () => {
    const caller = { ...subject({}), dimensions: { tenant: 'default', key: 'k', group: 'staff' } }
    expect(why(source({ assignments }).plansOf(caller))).to.deep.equal(['staff by group staff'])
  })

  it('gives the same object again, so that what is worked out for it can be kept', () => {
    const from = source({ assignments, severalGroups: 'any' })
    for (const caller of [{ user: 'alice' }, { groups: ['beta', 'staff'] }, { plans: ['pro'] }, {}])
      expect(from.plansOf(subject(caller))).to.equal(from.plansOf(subject(caller)))
  })

  it('says whether any plan can be enough, so that stores that can not do this are refused', () => {
    expect(source({}).hasAlternatives).to.equal(false)
    expect(source({ assignments }).hasAlternatives).to.equal(true)
    expect(source({ severalGroups: 'any' }).hasAlternatives).to.equal(true)
  })

  const bad: readonly { assignment: unknown; says: string }[] = [
    { assignment: { for: {}, plans: [] }, says: 'for is {}: name exactly one of user, key, group' },
    { assignment: { for: { user: 'a', key: 'b' }, plans: [] }, says: 'name exactly one of user, key, group' },
    { assignment: { for: { plan: 'pro' }, plans: [] }, says: 'for.plan is "pro": there is no such member' },
    { assignment: { for: { user: '' }, plans: [] }, says: 'for.user is "": use a text that is not empty' },
    { assignment: { for: { user: 'a' } }, says: 'plans is undefined: use a list of plan names' },
    { assignment: { for: { user: 'a' }, plans: ['gold'] }, says: 'plans[0] is "gold": use one of free, pro, staff' },
    { assignment: { for: { user: 'a' }, plans: [], combine: 'some' }, says: 'combine is "some": use all, any' },
    { assignment: { for: { user: 'a' }, plan: 'pro', plans: [] }, says: 'plan is "pro": there is no such member' },
  ]
  for (const { assignment, says } of bad) {
    it(`says: ${says} …`, () => {
      const said = complaint(() => source({ assignments: [assignment as Assignment] }))
      expect(said).to.include('ERR_QUOTA_CONFIG: assignments[0]').and.to.include(says)
    })
  }
})

describe('which quota a limit has for a caller', () => {
  const limit = 'pro/day'
  const overrides: readonly Override[] = [
    { for: { plan: 'pro' }, limit, quota: 50 },
    { for: { group: 'beta' }, limit, quota: 40 },
    { for: { group: 'staff' }, limit, quota: 45 },
    { for: { key: 'k2' }, limit, quota: 30 },
    { for: { user: 'alice' }, limit, quota: 20 },
    { for: { user: 'alice' }, limit, quota: 21 },
    { for: { user: 'bob' }, limit, quota: null },
    { for: { user: 'carol' }, limit: 'staff/day', quota: 9 },
  ]
  const quotaOf = (set: PlanSet, name = limit): number | null | undefined =>
    set.plans
      .flatMap((each) => each.limits.map(({ name: own, definition }) => ({ definition, is: `${each.name}/${own}` })))
      .find(({ is }) => is === name)?.definition.quota
  const rows: readonly { caller: Caller; is: number | null }[] = [
    { caller: { user: 'alice', key: 'k2', groups: ['staff'] }, is: 20 },
    { caller: { user: 'bob', key: 'k2' }, is: null },
    { caller: { user: 'carol', key: 'k2', groups: ['staff'] }, is: 30 },
    { caller: { groups: ['staff'] }, is: 45 },
    { caller: { groups: ['staff', 'beta'] }, is: 40 },
    { caller: {}, is: 50 },
    { caller: { user: 'alice', tenant: 'acme' }, is: 50 },
  ]
  for (const { caller, is } of rows) {
    it(`${JSON.stringify(caller)}: ${is}`, () => {
      expect(quotaOf(source({ overrides }).plansOf(subject({ ...caller, plans: ['pro'] })))).to.equal(is)
    })
  }

  it('leaves other limits, other plans and the counter alone, and another version tells', () => {
    const from = source({ overrides })
    const mine = from.plansOf(subject({ user: 'alice', plans: ['pro', 'free'] }))
    const plain = source({}).plansOf(subject({ plans: ['pro', 'free'] }))
    expect([quotaOf(mine, 'pro/tokens'), quotaOf(mine, 'free/day')]).to.deep.equal([200, 1])
    expect(mine.plans[1]!.version).to.equal(plain.plans[1]!.version)
    expect(mine.plans[0]!.version).to.match(new RegExp(`^${plain.plans[0]!.version}\\+[0-9a-f]{16}$`))
    expect(mine.plans[0]!.name).to.equal('pro')
    expect(mine.plans[0]!.limits[0]!.override).to.equal(overrides[4])
    expect(mine.plans[0]!.limits[1]!.override).to.equal(undefined)
  })

  it('gives the same object for the same quotas, and one plan to all who have it so', () => {
    const from = source({ overrides })
    const [one, two] = [1, 2].map(() => from.plansOf(subject({ user: 'alice', plans: ['pro'] })))
    expect(one).to.equal(two)
    const other = from.plansOf(subject({ user: 'alice', plans: ['pro', 'free'] }))
    expect(other.plans[0]).to.equal(one!.plans[0])
    expect(from.plansOf(subject({ user: 'alice', plans: ['free'] })).plans[0]).to.equal(from.plans[0])
  })

  it('ends when its time is over, and the next one counts', () => {
    const clock = new SettableClock()
    const untilMs = clock.now() + 1_000
    const ending: readonly Override[] = [
      { for: { user: 'alice' }, limit, quota: 500, untilMs },
      { for: { plan: 'pro' }, limit, quota: 50, untilMs: untilMs + 1_000 },
    ]
    const from = source({ overrides: ending, clock: clock.now })
    const quotas: (number | null | undefined)[] = []
    for (const afterMs of [999, 1, 999, 1]) {
      clock.advance(afterMs)
      quotas.push(quotaOf(from.plansOf(subject({ user: 'alice', plans: ['pro'] }))))
    }
    expect(quotas).to.deep.equal([500, 50, 50, 2])
  })

  it('of a plan: in every tenant, or in one', () => {
    const everywhere = source({ overrides: [{ for: { plan: 'pro' }, limit, quota: 7 }] })
    const one = source({ overrides: [{ for: { plan: 'pro', tenant: 'acme' }, limit, quota: 7 }] })
    const caller = (tenant: string): Subject => subject({ tenant, plans: ['pro'] })
    expect([everywhere, one].map((from) => quotaOf(from.plansOf(caller('acme'))))).to.deep.equal([7, 7])
    expect([everywhere, one].map((from) => quotaOf(from.plansOf(caller('other'))))).to.deep.equal([7, 2])
  })

  it('is that of the first level that says anything, of all that could', () => {
    const level = fc.constantFrom('user', 'key', 'group', 'plan')
    const given = fc.record({ level, isMine: fc.boolean(), quota: fc.nat(1_000), isOver: fc.boolean() })
    const mine = { user: 'alice', key: 'k1', group: 'staff', plan: 'pro' }
    const others = { user: 'bob', key: 'k9', group: 'beta', plan: 'free' }
    fc.assert(
      fc.property(fc.array(given, { maxLength: 8 }), (list) => {
        const all = list.map(({ level: at, isMine, quota, isOver }): Override => ({
          for: { [at]: (isMine ? mine : others)[at] },
          limit,
          quota,
          ...(isOver ? { untilMs: 0 } : {}),
        }))
        const expected = ['user', 'key', 'group', 'plan']
          .flatMap((at) => list.filter((each) => each.level === at && each.isMine && !each.isOver))
          .map(({ quota }) => quota)[0]
        const caller = subject({ user: 'alice', groups: ['staff'], plans: ['pro'] })
        expect(quotaOf(source({ overrides: all }).plansOf(caller))).to.equal(expected ?? 2)
      }),
      { numRuns: runs(200) },
    )
  })

  const bad: readonly { override: unknown; says: string }[] = [
    { override: { for: {}, limit, quota: 1 }, says: 'for is {}: name exactly one of user, key, group, plan' },
    { override: { for: { plan: 'gold' }, limit, quota: 1 }, says: 'for.plan is "gold": use one of free, pro' },
    {
      override: { for: { user: 'a' }, limit: 'day', quota: 1 },
      says: 'limit is "day": use plan/limit, one of free/day',
    },
    { override: { for: { user: 'a' }, limit, quota: -1 }, says: 'quota is -1: use a whole number from 0' },
    { override: { for: { user: 'a' }, limit }, says: 'quota is undefined: use a whole number from 0' },
    {
      override: { for: { user: 'a' }, limit, quota: 1, untilMs: Number.NaN },
      says: 'untilMs is NaN: use milliseconds',
    },
    { override: { for: { user: 'a' }, limit, quota: 1, until: 'x' }, says: 'until is "x": there is no such member' },
  ]
  for (const { override, says } of bad) {
    it(`says: ${says} …`, () => {
      const said = complaint(() => source({ overrides: [override as Override] }))
      expect(said).to.include('ERR_QUOTA_CONFIG: overrides[0]').and.to.include(says)
    })
  }
})
