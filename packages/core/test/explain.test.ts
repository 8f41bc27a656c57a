import {
  bindLimits,
  BY_DEFAULT,
  BY_LIMITER,
  CompiledPlan,
  explain,
  type Amounts,
  type CallFacts,
  type Explanation,
  type Plan,
  type PlanSet,
} from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { AdmissionBed, DAY, NOON, TOKENS } from './admission-bed.ts'

const ALICE = { tenant: 'default', key: 'alice' }
const OWNED_BY = ['tenant', 'key']

function setOf(combine: 'all' | 'any', plans: readonly Plan[], origin = BY_DEFAULT): PlanSet {
  return { plans: plans.map((plan) => new CompiledPlan(plan)), combine, origins: plans.map(() => origin) }
}

/** Explains a call of alice's, on counters that are the bed's. */
function ask(
  bed: AdmissionBed,
  sets: readonly PlanSet[],
  amounts: Amounts = {},
  facts: CallFacts = {},
): Promise<Explanation> {
  const conditions = { topology: 'redis' } as const
  return explain(bed.admission, { sets, dimensions: ALICE, facts, amounts, ownedBy: OWNED_BY, conditions })
}
const binding = ({ limits }: Explanation): string[] =>
  limits.filter(({ isBinding }) => isBinding).map(({ plan, limit }) => `${plan.name}/${limit.name}`)

describe('explain', () => {
  it('tells which limits are for a call, from where, where they stand, and which one binds', async () => {
    const bed = new AdmissionBed()
    const set = setOf('all', [
      { name: 'pro', limits: [DAY, TOKENS, { ...DAY, name: 'gpt', when: { model: ['gpt*'] } }] },
    ])
    const limiter = setOf('all', [{ name: 'limiter', limits: [{ ...DAY, name: 'minute', quota: 3 }] }], BY_LIMITER)
    await bed.reserve(bindLimits(set, ALICE, { model: 'gpt-4o' }, OWNED_BY), { tokens: 30 })

    const told = await ask(bed, [limiter, set], { tokens: 50 }, { model: 'claude' })
    expect(told).to.include({ atMs: NOON, admitted: true, reason: undefined, retryAtMs: null })
    expect(
      told.limits.map(({ limit, origin, status, amount }) => [limit.name, origin?.by, status?.used, amount]),
    ).to.deep.equal([
      ['minute', 'limiter', 0, 1],
      ['day', 'default', 1, 1],
      ['tokens', 'default', 30, 50],
      ['gpt', 'default', undefined, 0],
    ])
    expect(told.limits[3]!.because).to.equal('it is for calls whose model is gpt*, and this is claude')
    expect(binding(told)).to.deep.equal(['pro/tokens'])
    expect((await ask(bed, [set])).limits[2]!.because).to.equal(
      'it is for calls whose model is gpt*, and none is known',
    )
  })

  it('counts nothing, and begins no window', async () => {
    const bed = new AdmissionBed()
    const set = setOf('all', [
      { name: 'pro', limits: [DAY, { ...TOKENS, window: { kind: 'first-use', durationMs: 1_000, then: 'end' } }] },
    ])
    for (let times = 0; times < 3; times += 1) await ask(bed, [set], { tokens: 50 })
    bed.clock.advance(500)
    const { statuses } = await bed.admission.read(bindLimits(set, ALICE, {}, OWNED_BY))
    expect(statuses.map(({ used, startMs }) => [used, startMs])).to.deep.equal([
      [0, Date.UTC(2026, 0, 15)],
      [0, NOON + 500],
    ])
  })

  it('says why a call would be refused, and when there would be room', async () => {
    const bed = new AdmissionBed()
    const set = setOf('all', [{ name: 'pro', limits: [DAY, TOKENS] }])
    await bed.reserve(bindLimits(set, ALICE, {}, OWNED_BY), { tokens: 60 })
    const full = await ask(bed, [set], { tokens: 50 })
    expect(full).to.include({ admitted: false, reason: 'no-room', retryAtMs: Date.UTC(2026, 0, 16) })
    expect(binding(full)).to.deep.equal(['pro/tokens'])
    const large = await ask(bed, [set], { tokens: 101 })
    expect(large).to.include({ admitted: false, reason: 'never-fits' })
  })

  it('states the overshoot: a limit on concurrent calls of the same callers bounds it', async () => {
    const running = { ...DAY, name: 'running', quota: 4, window: { kind: 'concurrent' } } as const
    const overshootWith = async (...limits: Plan['limits']): Promise<number | null> => {
      const set = setOf('all', [{ name: 'pro', limits: [TOKENS, ...limits] }])
      return (await ask(new AdmissionBed(), [set], { tokens: 20 })).limits[0]!.overshoot.units
    }
    expect(await overshootWith()).to.equal(null)
    expect(await overshootWith(running)).to.equal(80)
    expect(await overshootWith({ ...running, trip: 'exceeded' })).to.equal(100)
    expect(await overshootWith({ ...running, per: ['user'] })).to.equal(null)
    expect(await overshootWith({ ...running, mode: 'shadow' })).to.equal(null)
    expect(await overshootWith({ ...running, quota: null })).to.equal(null)
  })

  it('says of any sequence of calls what the next decision says', async () => {
    const limit = fc.record({
      unit: fc.constantFrom('requests', 'tokens'),
      quota: fc.option(fc.nat(40), { nil: null }),
      trip: fc.constantFrom('fits', 'reached', 'exceeded'),
      onTrip: fc.constantFrom('refuse', 'refuse', 'flag'),
      mode: fc.constantFrom('enforce', 'enforce', 'shadow'),
    })
    const plans = fc.array(fc.array(limit, { maxLength: 2 }), { minLength: 1, maxLength: 3 })
    const calls = fc.array(fc.nat(30), { minLength: 1, maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(plans, calls, fc.constantFrom('all', 'any'), async (all, tokens, combine) => {
        const bed = new AdmissionBed()
        const set = setOf(
          combine,
          all.map((limits, at) => ({
            name: `p${at}`,
            limits: limits.map((each, index) => ({ ...each, name: `l${index}`, window: { kind: 'lifetime' } })),
          })),
        )
        for (const amount of tokens) {
          const told = await ask(bed, [set], { tokens: amount })
          const decision = await bed.admit(bindLimits(set, ALICE, {}, OWNED_BY), { tokens: amount })
          expect(told.admitted).to.equal(decision.admitted)
          if (decision.admitted) continue
          expect(told.reason).to.equal(decision.reason)
          expect(told.retryAtMs).to.equal(decision.retryAtMs)
          const { plan, limit: by } = decision.binding!.bound
          expect(binding(told)).to.deep.equal([`${plan.name}/${by.name}`])
        }
      }),
      { numRuns: runs(200) },
    )
  })
})
