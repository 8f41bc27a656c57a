import {
  completeLimit,
  overshootOf,
  type Amounts,
  type EstimateKind,
  type Limit,
  type Overshoot,
  type OvershootConditions,
  type Reservation,
  type Trip,
} from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { AdmissionBed, boundTo, DAY, TOKENS } from './admission-bed.ts'

const of = (limit: Limit, conditions: Partial<OvershootConditions> = {}): Overshoot =>
  overshootOf(completeLimit(limit, 'limit'), { topology: 'redis', ...conditions })
const FIVE = { callsAtOnce: 5, mostPerCall: 40 } as const

describe('overshootOf', () => {
  const rows: readonly { what: string; limit: Limit; when?: Partial<OvershootConditions>; is: number | null }[] = [
    { what: 'requests that fit', limit: DAY, is: 0 },
    { what: 'requests, reached', limit: { ...DAY, trip: 'reached' }, is: 0 },
    { what: 'requests, exceeded', limit: { ...DAY, trip: 'exceeded' }, is: 1 },
    { what: 'concurrent calls', limit: { ...TOKENS, window: { kind: 'concurrent' } }, is: 0 },
    { what: 'tokens that fit, below a bound', limit: TOKENS, when: { estimate: 'upper-bound' }, is: 0 },
    { what: 'input tokens, which bytes bound', limit: { ...TOKENS, unit: 'input-tokens' }, is: 0 },
    { what: 'tokens that fit, guessed', limit: TOKENS, when: FIVE, is: 200 },
    { what: 'tokens that fit, guessed, however many at once', limit: TOKENS, when: { mostPerCall: 40 }, is: null },
    { what: 'tokens that fit, guessed, however large', limit: TOKENS, when: { callsAtOnce: 5 }, is: null },
    {
      what: 'tokens, reached, below a bound',
      limit: { ...TOKENS, trip: 'reached' },
      when: { ...FIVE, estimate: 'upper-bound' },
      is: 39,
    },
    { what: 'tokens, reached, guessed', limit: { ...TOKENS, trip: 'reached' }, when: FIVE, is: 39 + 4 * 40 },
    { what: 'tokens, exceeded, guessed', limit: { ...TOKENS, trip: 'exceeded' }, when: FIVE, is: 40 + 4 * 40 },
    { what: 'seconds, of which only a guess is set aside', limit: { ...TOKENS, unit: 'seconds' }, when: FIVE, is: 200 },
    { what: 'nodes that count for themselves', limit: DAY, when: { topology: 'memory', nodes: 3 }, is: 20 },
    { what: 'nodes that share Redis', limit: DAY, when: { nodes: 3 }, is: 0 },
    { what: 'a cluster', limit: DAY, when: { topology: 'cluster', nodes: 3 }, is: 0 },
    { what: 'a shadow', limit: { ...DAY, mode: 'shadow' }, is: null },
    { what: 'a flag', limit: { ...DAY, onTrip: 'flag' }, is: null },
    { what: 'no quota', limit: { ...DAY, quota: null }, is: null },
    { what: 'one of several alternatives', limit: DAY, when: { isAlternative: true }, is: null },
  ]
  for (const { what, limit, when, is } of rows) {
    it(`${what}: ${is ?? 'not bounded'}`, () => {
      const { units, causes } = of(limit, when)
      expect(units).to.equal(is)
      expect(causes.length > 0, 'a reason in words').to.equal(is !== 0)
    })
  }

  it('is never exceeded, whatever calls use, and by calls under way that use all they can it is attained', async () => {
    const run = fc.record({
      trip: fc.constantFrom<Trip>('fits', 'reached', 'exceeded'),
      estimate: fc.constantFrom<EstimateKind>('upper-bound', 'guess', 'none'),
      quota: fc.integer({ min: 1, max: 60 }),
      callsAtOnce: fc.integer({ min: 1, max: 6 }),
      mostPerCall: fc.integer({ min: 1, max: 30 }),
      calls: fc.array(fc.record({ reserved: fc.nat(30), actual: fc.nat(30), ends: fc.nat(5) }), { maxLength: 40 }),
    })
    await fc.assert(
      fc.asyncProperty(run, async ({ calls, ...conditions }) => {
        const most = await mostUsed(conditions, calls)
        const { units } = of({ ...TOKENS, quota: conditions.quota, trip: conditions.trip }, conditions)
        expect(most).to.be.at.most(conditions.quota + units!)
      }),
      { numRuns: runs(200) },
    )
    for (const trip of ['fits', 'reached', 'exceeded'] as const) {
      const conditions = { trip, estimate: 'none', quota: 10, callsAtOnce: 4, mostPerCall: 30 } as const
      const calls = [{ reserved: 0, actual: 10 - (trip === 'reached' ? 1 : 0), ends: 0 }]
      for (let call = 0; call < 4; call += 1) calls.push({ reserved: 0, actual: 30, ends: 0 })
      const worst = (await mostUsed(conditions, calls)) - 10
      const { units } = of({ ...TOKENS, quota: 10, trip }, conditions)
      expect(worst, trip).to.equal(units! - (trip === 'reached' ? 1 : 0))
    }
  })

  const failures: readonly { what: string; limit: Limit; when?: Partial<OvershootConditions>; is: object }[] = [
    { what: 'in memory', limit: DAY, when: { topology: 'memory' }, is: { 'counters-lost': 10 } },
    { what: 'in Redis', limit: DAY, is: { 'counters-lost': 10, failover: 10 } },
    {
      what: 'rebuilt, with calls under way',
      limit: DAY,
      when: { isRebuilt: true, callsAtOnce: 5 },
      is: { 'counters-lost': 5, failover: 10 },
    },
    {
      what: 'admitting while the counters are away',
      limit: { ...DAY, onUnavailable: 'admit' },
      is: { 'counters-lost': 10, failover: 10, unavailable: null },
    },
    {
      what: 'admitting, beside a limit that refuses',
      limit: { ...DAY, onUnavailable: 'admit' },
      when: { whileUnavailable: 'refuse' },
      is: { 'counters-lost': 10, failover: 10 },
    },
    {
      what: 'admitting a quarter by itself, on three nodes',
      limit: { ...DAY, onUnavailable: { local: 0.25 } },
      when: { nodes: 3 },
      is: { 'counters-lost': 10, failover: 10, unavailable: 6 },
    },
    {
      what: 'giving back what a killed process held',
      limit: TOKENS,
      when: { ...FIVE, onExpiry: 'release' },
      is: { 'holder-killed': 200, 'counters-lost': 100, failover: 100 },
    },
    {
      what: 'concurrent',
      limit: { ...DAY, window: { kind: 'concurrent' } },
      is: { 'holder-killed': 10, 'counters-lost': 10, failover: 10 },
    },
    { what: 'a shadow', limit: { ...DAY, mode: 'shadow' }, is: {} },
  ]
  for (const { what, limit, when, is } of failures) {
    it(`when something fails, ${what}: ${JSON.stringify(is)}`, () => {
      const found = of(limit, when).failures
      expect(Object.fromEntries(found.map(({ cause, units }) => [cause, units]))).to.deep.equal(is)
    })
  }
})

interface Run {
  readonly trip: Trip
  readonly estimate: EstimateKind
  readonly quota: number
  readonly callsAtOnce: number
  readonly mostPerCall: number
}

/** The most that is counted at any time while these calls come, each as soon as there is a place for it. */
async function mostUsed(
  { trip, estimate, quota, callsAtOnce, mostPerCall }: Run,
  calls: readonly { readonly reserved: number; readonly actual: number; readonly ends: number }[],
): Promise<number> {
  const bed = new AdmissionBed()
  const bound = boundTo([{ ...TOKENS, quota, trip, window: { kind: 'lifetime' } }])
  const underWay: { reservation: Reservation; actual: Amounts; ends: number }[] = []
  let most = 0
  const end = async (index: number): Promise<void> => {
    const [{ reservation, actual }] = underWay.splice(index, 1) as [(typeof underWay)[number]]
    await bed.admission.settle(reservation, actual, bed.admission.settlementTime(reservation))
    most = Math.max(most, (await bed.used(bound))[0]!)
  }
  for (const call of calls) {
    if (underWay.length === callsAtOnce) await end(Math.min(call.ends, underWay.length - 1))
    const actual = Math.min(call.actual, mostPerCall)
    const guessed = Math.min(call.reserved, mostPerCall)
    const tokens = estimate === 'none' ? 0 : estimate === 'guess' ? guessed : Math.max(guessed, actual)
    const decision = await bed.admit(bound, { tokens })
    if (decision.admitted)
      underWay.push({ reservation: decision.reservation!, actual: { tokens: actual }, ends: call.ends })
    most = Math.max(most, (await bed.used(bound))[0]!)
  }
  while (underWay.length > 0) await end(0)
  return most
}
