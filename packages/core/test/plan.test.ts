import { runs } from '@tallygate/testkit'
import {
  bindLimits,
  chargesOf,
  chargeWindow,
  CompiledPlan,
  NO_PLANS,
  type CallFacts,
  type Dimensions,
  type Limit,
  type Plan,
} from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { complaint } from './complaint.ts'

const NOON = Date.UTC(2026, 0, 15, 12)
const HOUR = 3_600_000
const DAY: Limit = { name: 'day', unit: 'requests', quota: 10, window: { kind: 'fixed', every: 'day' } }
const ALICE = { tenant: 'acme', key: 'alice' }

describe('CompiledPlan', () => {
  it('names its state by a digest of its limits, unless it has a version', () => {
    const one = new CompiledPlan({ name: 'pro', limits: [DAY] })
    expect(one.version).to.match(/^[0-9a-f]{16}$/)
    expect(new CompiledPlan({ name: 'other', limits: [{ ...DAY, trip: 'fits' }] }).version).to.equal(one.version)
    expect(new CompiledPlan({ name: 'other', limits: [{ ...DAY, onStream: 'finish' }] }).version).to.equal(one.version)
    for (const change of [{ quota: 11 }, { unit: 'tokens' }, { name: 'daily' }] as const)
      expect(new CompiledPlan({ name: 'pro', limits: [{ ...DAY, ...change }] }).version).to.not.equal(one.version)
    expect(new CompiledPlan({ name: 'pro', version: 'v2', limits: [DAY] }).version).to.equal('v2')
  })

  it('knows its units, and what its limits depend on', () => {
    const { units, dependsOn } = new CompiledPlan({
      name: 'pro',
      limits: [DAY, { ...DAY, name: 'of-model', unit: 'tokens', per: ['model'], when: { route: ['/v1/*'] } }],
    })
    expect([...units]).to.deep.equal(['requests', 'tokens'])
    expect(dependsOn).to.deep.equal({ model: true, service: false, route: true })
  })

  it('keeps its labels', () => {
    expect(new CompiledPlan({ name: 'pro', limits: [] }).labels).to.deep.equal({})
    expect(new CompiledPlan({ name: 'pro', limits: [], labels: { tier: '2' } }).labels).to.deep.equal({ tier: '2' })
  })

  const tightest: readonly { limits: readonly [Limit['unit'], number | null][]; is: number | null }[] = [
    { limits: [], is: null },
    { limits: [['requests', 5]], is: null },
    { limits: [['input-tokens', 5]], is: null },
    { limits: [['tokens', null]], is: null },
    {
      limits: [
        ['tokens', 70],
        ['output-tokens', 50],
        ['tokens', null],
      ],
      is: 50,
    },
  ]
  for (const { limits, is } of tightest) {
    it(`has ${is} as its tightest quota on tokens, of ${JSON.stringify(limits)}`, () => {
      const named = limits.map(([unit, quota], index) => ({ ...DAY, name: `l${index}`, unit, quota }))
      expect(new CompiledPlan({ name: 'pro', limits: named }).tightestTokenQuota).to.equal(is)
    })
  }

  it('says what it needs of a counter store', () => {
    const windows = [{ kind: 'lifetime' }, { kind: 'concurrent' }, { kind: 'sliding', durationMs: 1_000 }] as const
    const limits = windows.map((window) => ({ ...DAY, name: window.kind, window }))
    expect([...new CompiledPlan({ name: 'pro', limits }).needs]).to.deep.equal(['lifetime', 'concurrent', 'sliding'])
    const needsOf = (...ofPlan: readonly Limit[]): readonly string[] => [
      ...new CompiledPlan({ name: 'pro', limits: ofPlan }).needs,
    ]
    expect(needsOf(DAY)).to.deep.equal(['calendar'])
    expect(needsOf({ ...DAY, window: { kind: 'fixed', durationMs: 1_000 } })).to.deep.equal([])
    const later = { onChange: { quota: 'next-window' } } as const
    expect(needsOf({ ...DAY, ...later })).to.deep.equal(['calendar', 'next-window'])
    expect(needsOf({ ...DAY, ...later, window: { kind: 'lifetime' } })).to.deep.equal(['lifetime'])
  })

  const bad: readonly { plan: unknown; says: string }[] = [
    { plan: { name: 'my plan', limits: [] }, says: 'plans.my plan.name is "my plan": use 1 to 64' },
    { plan: { name: 'pro', limits: [], labels: { price: 10 } }, says: 'plans.pro.labels.price is 10: use a text' },
    { plan: { name: 'pro', limits: [], labels: 'gold' }, says: 'plans.pro.labels is "gold": use an object' },
    { plan: { limits: [] }, says: 'plans.undefined.name is undefined: use 1 to 64' },
    { plan: { name: 'pro' }, says: 'plans.pro.limits is undefined: use a list of limits' },
    { plan: { name: 'pro', limits: DAY }, says: 'plans.pro.limits is {"name":"day"' },
    { plan: { name: 'pro', limits: [DAY, DAY] }, says: 'plans.pro.limits has two limits named "day": rename one' },
    { plan: { name: 'pro', limits: [DAY, { ...DAY, unit: 'x' }] }, says: 'plans.pro.limits[1].unit is "x": use' },
    { plan: { name: 'pro', limits: [], onExpiry: 'drop' }, says: 'plans.pro.onExpiry is "drop": use keep, release' },
    { plan: { name: 'pro', limits: [], limit: 5 }, says: 'plans.pro.limit is 5: there is no such member' },
  ]
  for (const { plan, says } of bad) {
    it(`says: ${says} …`, () => {
      expect(complaint(() => new CompiledPlan(plan as Plan))).to.satisfy((said: string) =>
        said.startsWith(`ERR_QUOTA_CONFIG: ${says}`),
      )
    })
  }
})

describe('CompiledLimit', () => {
  const [day] = new CompiledPlan({
    name: 'pro',
    limits: [{ ...DAY, window: { kind: 'fixed', every: 'day', zone: 'Europe/Berlin' } }],
  }).limits

  it('gives the window of any instant, in any order', () => {
    for (const byHours of [0, 48, -48, 10, 11, 0, 12]) {
      const atMs = NOON + byHours * HOUR
      expect(day!.windowAt(atMs)).to.deep.equal(chargeWindow(day!.definition.window, atMs))
    }
  })

  it('says how long the window of an instant is, if it has a length', () => {
    const length = (window: Limit['window'], atMs = NOON): number | null =>
      new CompiledPlan({ name: 'pro', limits: [{ ...DAY, window }] }).limits[0]!.durationAt(atMs)
    expect(length({ kind: 'fixed', durationMs: 5_000 })).to.equal(5_000)
    expect(length({ kind: 'sliding', durationMs: 5_000 })).to.equal(5_000)
    expect(length({ kind: 'fixed', every: 'month' }, Date.UTC(2026, 1, 5))).to.equal(28 * 24 * HOUR)
    expect(day!.durationAt(Date.parse('2026-03-29T12:00:00Z'))).to.equal(23 * HOUR)
    expect(length({ kind: 'lifetime' })).to.equal(null)
  })
})

describe('chargeWindow', () => {
  it('has the edges of the current and of the next bucket', () => {
    const berlin = chargeWindow({ kind: 'fixed', every: 'day', zone: 'Europe/Berlin' }, Date.UTC(2026, 2, 28, 12))
    const startMs = Date.UTC(2026, 2, 27, 23)
    expect(berlin).to.deep.equal({
      kind: 'fixed',
      startMs,
      endMs: startMs + 24 * HOUR,
      nextEndMs: startMs + 47 * HOUR,
    })
    expect(chargeWindow({ kind: 'fixed', durationMs: 1_000 }, 1_999)).to.deep.equal({
      kind: 'fixed',
      startMs: 1_000,
      endMs: 2_000,
      nextEndMs: 3_000,
    })
    expect(chargeWindow({ kind: 'fixed', durationMs: 1_000 }, -1)).to.include({ startMs: -1_000, endMs: 0 })
  })

  it('slides in steps that together are no shorter than the window', () => {
    expect(chargeWindow({ kind: 'sliding', durationMs: 60_000 }, NOON)).to.include({ bucketMs: 6_000, buckets: 10 })
    expect(chargeWindow({ kind: 'sliding', durationMs: 100, buckets: 3 }, NOON)).to.include({ bucketMs: 34 })
  })
})

describe('bindLimits', () => {
  const bound = (
    limits: readonly Limit[],
    dimensions: Dimensions,
    facts: CallFacts | 'any' = {},
    ownedBy = ['tenant', 'key'],
  ): string[] => {
    const plans = { plans: [new CompiledPlan({ name: 'pro', limits })], combine: 'all' } as const
    return bindLimits(plans, dimensions, facts, ownedBy).map(({ counter: { key } }) => key)
  }

  it('gives each limit the counter of its own dimensions, always with the tenant', () => {
    const limits = [DAY, { ...DAY, name: 'of-user', per: ['user'] }, { ...DAY, name: 'of-all', per: [] }]
    expect(bound(limits, { ...ALICE, user: '7' })).to.deep.equal([
      'tenant=acme,key=alice tenant=acme,key=alice pro/day',
      'tenant=acme,user=7 tenant=acme,user=7 pro/of-user',
      'tenant=acme tenant=acme pro/of-all',
    ])
  })

  it('gives callers without a dimension one counter together', () => {
    const limits = [{ ...DAY, per: ['user', 'constructor'] }]
    const [shared] = bound(limits, ALICE)
    expect(shared).to.include('tenant=acme,constructor=,user= ')
    expect(bound(limits, { tenant: 'acme', key: 'bob' })).to.deep.equal([shared])
  })

  it('counts models as one, however they are spelt, and whatever the subject says', () => {
    const limits = [{ ...DAY, per: ['model'] }]
    const [counter] = bound(limits, ALICE, { model: 'gpt-4o' })
    expect(counter).to.include('model=gpt-4o')
    expect(bound(limits, ALICE, { model: ' GPT-4O' })).to.deep.equal([counter])
    expect(bound(limits, { ...ALICE, model: 'other' }, { model: 'gpt-4o' })).to.deep.equal([counter])
  })

  it('counts services apart, and calls of none together', () => {
    const limits = [{ ...DAY, per: ['service'] }]
    const counters = [{ service: 'mail' }, { service: 'chat' }, {}, { service: undefined }].map(
      (facts) => bound(limits, ALICE, facts)[0]!.split(' ')[1],
    )
    const none = 'tenant=acme,service='
    expect(counters).to.deep.equal([`${none}mail`, `${none}chat`, none, none])
  })

  it('leaves out limits that are not for the call', () => {
    const limits = [{ ...DAY, when: { model: ['gpt-*'] } }]
    expect(bound(limits, ALICE, { model: 'gpt-4o' })).to.have.length(1)
    expect(bound(limits, ALICE, { model: 'claude' })).to.have.length(0)
    expect(bound(limits, ALICE, {})).to.have.length(0)
  })

  it('of no call in particular: leaves out limits in whose counters a fact takes part', () => {
    const limits = [
      { ...DAY, when: { model: ['gpt-*'] } },
      { ...DAY, name: 'of-model', per: ['model'] },
    ]
    expect(bound(limits, ALICE, 'any')).to.have.length(1)
  })

  it('lets a slot be owned by fewer dimensions than the counter has', () => {
    const limits = [{ ...DAY, per: ['key', 'model'] }]
    expect(bound(limits, ALICE, { model: 'm' }, ['tenant'])[0]).to.match(/^tenant=acme tenant=acme,key=alice,model=m /)
    expect(bound(limits, ALICE, { model: 'm' }, ['tenant', 'user'])[0]).to.match(/^tenant=acme,key=alice,model=m /)
  })

  it('numbers plans as alternatives where any of them is enough', () => {
    const plans = ['free', 'pro'].map((name) => new CompiledPlan({ name, limits: [DAY, { ...DAY, name: 'other' }] }))
    const numbers = (combine: 'all' | 'any'): number[] =>
      bindLimits({ plans, combine }, ALICE, {}, ['tenant']).map(({ alternative }) => alternative)
    expect(numbers('all')).to.deep.equal([0, 0, 0, 0])
    expect(numbers('any')).to.deep.equal([1, 1, 2, 2])
    expect(bindLimits(NO_PLANS, ALICE, {}, ['tenant'])).to.deep.equal([])
  })

  it('never lets different values share a counter, nor a value reach into another', () => {
    const value = fc.oneof(
      fc.string({ unit: fc.constantFrom('a', 'b', '=', ',', ' ', '%2C', '/') }),
      fc.string({ unit: 'binary' }),
    )
    const subject = fc.record({ tenant: value, key: value, user: value })
    const limits = [{ ...DAY, per: ['key', 'user'] }]
    const property = fc.property(subject, subject, (one, other) => {
      const [left] = bound(limits, one)
      const [right] = bound(limits, other)
      expect(left!.split(' ')).to.have.length(3)
      const isSame = one.tenant === other.tenant && one.key === other.key && one.user === other.user
      expect(left === right).to.equal(isSame)
    })
    fc.assert(property, { numRuns: runs(500) })
    expect(bound(limits, { tenant: '\ud800', key: 'k', user: 'u' })).to.have.length(1)
  })
})

describe('chargesOf', () => {
  const charges = (limit: Partial<Limit>, amounts = {}, plan: Partial<Plan> = {}): Record<string, unknown> => {
    const plans = [new CompiledPlan({ name: 'pro', limits: [{ ...DAY, ...limit }], ...plan })]
    return { ...chargesOf(bindLimits({ plans, combine: 'all' }, ALICE, {}, ['tenant']), amounts, NOON)[0] }
  }

  it('charges one request, the amount of a unit, and 0 where there is none', () => {
    expect(charges({}, { requests: 7 })).to.include({ amount: 1 })
    expect(charges({ unit: 'tokens' }, { tokens: 7, cost: 3 })).to.include({ amount: 7 })
    expect(charges({ unit: 'cost' }, { tokens: 7 })).to.include({ amount: 0 })
    expect(charges({ unit: 'tokens', window: { kind: 'concurrent' } }, { tokens: 7 })).to.include({ amount: 1 })
  })

  it('takes quota, trip, effect and expiry from limit and plan', () => {
    expect(charges({})).to.include({ quota: 10, trip: 'fits', effect: 'refuse', onExpiry: 'keep', alternative: 0 })
    expect(charges({ quota: null, trip: 'exceeded' })).to.include({ quota: null, trip: 'exceeded' })
    expect(charges({ onTrip: 'flag' })).to.include({ effect: 'flag' })
    expect(charges({ onTrip: 'flag', mode: 'shadow' })).to.include({ effect: 'shadow' })
    expect(charges({}, {}, { onExpiry: 'release' })).to.include({ onExpiry: 'release' })
  })
})
