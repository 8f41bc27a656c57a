import type { Decision } from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { AdmissionBed, admitted, boundTo, boundToPlans, DAY, MIDNIGHT, NOON, TOKENS } from './admission-bed.ts'

const HOUR = 3_600_000

describe('Admission', () => {
  let bed: AdmissionBed
  beforeEach(() => {
    bed = new AdmissionBed()
  })

  describe('admit', () => {
    it('reserves under every limit, and says where each stands', async () => {
      const bound = boundTo([DAY, TOKENS])
      const decision = admitted(await bed.admit(bound, { tokens: 30 }))
      const common = { tripped: false, startMs: MIDNIGHT - 24 * HOUR, resetAtMs: MIDNIGHT, roomAtMs: NOON }
      expect(decision.statuses).to.deep.equal([
        { ...common, used: 1, quota: 10, remaining: 9, bound: bound[0] },
        { ...common, used: 30, quota: 100, remaining: 70, bound: bound[1] },
      ])
      expect(decision).to.deep.include({ counted: true, tripped: [], atMs: NOON })
      expect(decision.reservation).to.include({ owner: 'tenant=acme,key=alice', admittedAtMs: NOON })
    })

    it('passes a call that no limit is for, and reserves nothing', async () => {
      const decision = admitted(await bed.admit([]))
      expect(decision).to.deep.include({ reservation: undefined, statuses: [], counted: true, atMs: NOON })
      expect(await bed.admission.read([])).to.deep.equal({ nowMs: NOON, statuses: [] })
    })

    it('grants a repeat again, and counts it once', async () => {
      const bound = boundTo([DAY])
      for (let repeat = 0; repeat < 3; repeat += 1) admitted(await bed.admit(bound, {}, 'same'))
      expect(await bed.used(bound)).to.deep.equal([1])
    })

    it('changes no counter when any limit refuses, and names that limit', async () => {
      const bound = boundTo([DAY, TOKENS, { ...TOKENS, name: 'small', quota: 20 }])
      await bed.reserve(bound, { tokens: 10 })
      const before = await bed.used(bound)
      const { reason, binding, retryAtMs, statuses } = await bed.refuse(bound, { tokens: 11 })
      expect(binding!.bound.limit.name).to.equal('small')
      expect({ reason, retryAtMs, remaining: binding!.remaining }).to.deep.equal({
        reason: 'no-room',
        retryAtMs: MIDNIGHT,
        remaining: 10,
      })
      expect(statuses.map(({ tripped }) => tripped)).to.deep.equal([false, false, true])
      expect(await bed.used(bound)).to.deep.equal(before)
    })

    it('gives a call under way only what fits, whatever trips the limit, and takes it back when it expires', async () => {
      for (const trip of ['fits', 'reached', 'exceeded'] as const) {
        const bound = boundTo([{ ...TOKENS, name: trip, trip }])
        const more = (id: string, tokens: number): Promise<Decision> =>
          bed.admission.admit({ id, bound, amounts: { requests: 0, tokens }, context: '', isFurther: true })
        await bed.reserve(bound, { tokens: 40 })
        expect((await more(`${trip}-too-much`, 61)).admitted).to.equal(false)
        expect((await more(`${trip}-enough`, 60)).admitted).to.equal(true)
        expect(await bed.used(bound)).to.deep.equal([100])
        bed.clock.advance(61_000)
        await bed.store.sweep(10)
        expect(await bed.used(bound), 'the call itself keeps what it held').to.deep.equal([40])
      }
    })

    it('grants exactly the quota to 500 calls at once', async () => {
      const bound = boundTo([{ ...DAY, quota: 123 }])
      const decisions = await Promise.all(Array.from({ length: 500 }, () => bed.admit(bound)))
      expect(decisions.filter((decision) => decision.admitted)).to.have.length(123)
      expect(await bed.used(bound)).to.deep.equal([123])
    })

    const trips = [
      { trip: 'fits', tokens: 40, passes: 2, used: 80 },
      { trip: 'reached', tokens: 40, passes: 3, used: 120 },
      { trip: 'reached', tokens: 50, passes: 2, used: 100 },
      { trip: 'exceeded', tokens: 50, passes: 3, used: 150 },
      { trip: 'fits', tokens: 0, passes: 5, used: 0 },
    ] as const
    for (const { trip, tokens, passes, used } of trips) {
      it(`${trip}: of 100 tokens, ${passes} of 5 calls of ${tokens} pass`, async () => {
        const bound = boundTo([{ ...TOKENS, trip }])
        const decisions = []
        for (let call = 0; call < 5; call += 1) decisions.push(await bed.admit(bound, { tokens }))
        expect(decisions.filter((decision) => decision.admitted)).to.have.length(passes)
        expect(await bed.used(bound)).to.deep.equal([used])
      })
    }

    it('passes what only flags or shadows, and tells that it tripped', async () => {
      const bound = boundTo([
        { ...DAY, quota: 0, onTrip: 'flag' },
        { ...TOKENS, quota: 0, mode: 'shadow' },
      ])
      const decision = admitted(await bed.admit(bound, { tokens: 5 }))
      expect(decision.tripped.map(({ bound: { limit } }) => limit.name)).to.deep.equal(['day', 'tokens'])
      expect(decision.statuses.map(({ used, remaining }) => [used, remaining])).to.deep.equal([
        [1, 0],
        [5, 0],
      ])
    })

    it('counts without a limit where the quota is null', async () => {
      const bound = boundTo([{ ...TOKENS, quota: null }])
      const { statuses } = admitted(await bed.admit(bound, { tokens: 5_000 }))
      expect(statuses[0]).to.include({ used: 5_000, quota: null, remaining: null })
    })
  })

  describe('a refusal', () => {
    const hour = { ...DAY, name: 'hour', quota: 1, window: { kind: 'fixed', every: 'hour' } } as const
    const once = { ...DAY, name: 'once', quota: 1, window: { kind: 'lifetime' } } as const

    it('names the limit whose room returns last', async () => {
      const bound = boundTo([{ ...DAY, quota: 1 }, hour])
      await bed.reserve(bound)
      const { binding, retryAtMs } = await bed.refuse(bound)
      expect([binding!.bound.limit.name, retryAtMs]).to.deep.equal(['day', MIDNIGHT])
    })

    it('has no time where room never returns by itself', async () => {
      const bound = boundTo([hour, once])
      await bed.reserve(bound)
      const { reason, binding, retryAtMs } = await bed.refuse(bound)
      expect({ reason, name: binding!.bound.limit.name, retryAtMs }).to.deep.equal({
        reason: 'no-room',
        name: 'once',
        retryAtMs: null,
      })
    })

    it('says that a call never fits, also beside limits that are used up for good', async () => {
      const bound = boundTo([once, TOKENS, { ...once, name: 'twice' }])
      await bed.reserve(bound)
      const { reason, binding, retryAtMs } = await bed.refuse(bound, { tokens: 101 })
      expect({ reason, name: binding!.bound.limit.name, retryAtMs }).to.deep.equal({
        reason: 'never-fits',
        name: 'tokens',
        retryAtMs: null,
      })
    })

    it('of a quota of 0 is no matter of size', async () => {
      const { reason, retryAtMs } = await bed.refuse(boundTo([{ ...TOKENS, quota: 0 }]), { tokens: 1 })
      expect({ reason, retryAtMs }).to.deep.equal({ reason: 'no-room', retryAtMs: null })
    })

    it('is not for limits that only flag, however long they are full', async () => {
      const bound = boundTo([{ ...once, name: 'flagged', onTrip: 'flag' }, hour])
      await bed.reserve(bound)
      const { binding, retryAtMs } = await bed.refuse(bound)
      expect([binding!.bound.limit.name, retryAtMs]).to.deep.equal(['hour', NOON + HOUR])
    })

    for (const trip of ['reached', 'exceeded'] as const) {
      it(`is none for a call that is too large, where the limit trips on ${trip}`, async () => {
        admitted(await bed.admit(boundTo([{ ...TOKENS, trip }]), { tokens: 101 }))
      })
    }

    it('of a sliding window ends when enough has left it', async () => {
      const bound = boundTo([{ ...TOKENS, window: { kind: 'sliding', durationMs: 60_000 } }])
      await bed.reserve(bound, { tokens: 60 })
      bed.clock.advance(30_000)
      await bed.reserve(bound, { tokens: 40 })
      expect(await bed.refuse(bound, { tokens: 60 })).to.include({ retryAtMs: NOON + 66_000 })
      expect(await bed.refuse(bound, { tokens: 61 })).to.include({ retryAtMs: NOON + 96_000 })
      bed.clock.set(NOON + 66_000)
      admitted(await bed.admit(bound, { tokens: 60 }))
    })

    it('holds at the time that it names, and not a millisecond before', async () => {
      const bound = boundTo([{ ...DAY, quota: 1 }])
      await bed.reserve(bound)
      bed.clock.set(MIDNIGHT - 1)
      const { retryAtMs } = await bed.refuse(bound)
      bed.clock.set(retryAtMs!)
      admitted(await bed.admit(bound))
    })
  })

  describe('several plans', () => {
    const plans = [
      { name: 'small', limits: [{ ...DAY, quota: 1 }, TOKENS] },
      { name: 'large', limits: [{ ...DAY, quota: 3, window: { kind: 'fixed', every: 'month' } as const }] },
    ]

    it('all must have room', async () => {
      const bound = boundToPlans('all', plans)
      await bed.reserve(bound)
      const { binding } = await bed.refuse(bound)
      expect(binding!.bound.plan.name).to.equal('small')
    })

    it('any with room is enough; all are charged', async () => {
      const bound = boundToPlans('any', plans)
      for (let call = 0; call < 3; call += 1) await bed.reserve(bound, { tokens: 10 })
      expect(await bed.used(bound)).to.deep.equal([3, 30, 3])
      const { binding, retryAtMs } = await bed.refuse(bound, { tokens: 10 })
      expect([binding!.bound.plan.name, retryAtMs]).to.deep.equal(['small', MIDNIGHT])
    })

    it('a full alternative is not in the way of a call while another has room', async () => {
      const hour = { ...DAY, quota: 1, window: { kind: 'fixed', every: 'hour' } } as const
      const must = boundTo([hour], { name: 'must' })
      const spent = { name: 'spent', limits: [{ ...DAY, quota: 0, window: { kind: 'lifetime' } as const }] }
      await bed.reserve(must)
      const one = await bed.refuse([...must, ...boundToPlans('any', [spent, { name: 'roomy', limits: [DAY] }])])
      expect([one.binding!.bound.plan.name, one.retryAtMs]).to.deep.equal(['must', NOON + HOUR])
      const both = await bed.refuse([...must, ...boundToPlans('any', [spent, { ...spent, name: 'spent-too' }])])
      expect(both.retryAtMs).to.equal(null)
    })

    it('a call that fits one alternative some day is not told that it never fits', async () => {
      const tiny = { name: 'tiny', limits: [{ ...TOKENS, quota: 5 }] }
      const bound = boundToPlans('any', [tiny, { name: 'wide', limits: [TOKENS] }])
      await bed.reserve(bound, { tokens: 95 })
      expect(await bed.refuse(bound, { tokens: 10 })).to.include({ reason: 'no-room', retryAtMs: MIDNIGHT })
      expect(await bed.refuse(bound, { tokens: 101 })).to.include({ reason: 'never-fits', retryAtMs: null })
    })
  })

  it('never grants more than the quota, whatever reserves, settles and releases meet', async () => {
    const slot = fc.nat(11)
    const step = fc.oneof(
      fc.record({ kind: fc.constant('admit' as const), slot, tokens: fc.nat(60) }),
      fc.record({ kind: fc.constant('settle' as const), slot, share: fc.nat(100) }),
      fc.record({ kind: fc.constant('release' as const), slot }),
    )
    const batches = fc.array(fc.array(step, { maxLength: 8 }), { maxLength: 12 })
    const property = fc.asyncProperty(batches, async (batches) => {
      const { admission, clock } = new AdmissionBed()
      const bound = boundTo([{ ...DAY, quota: 6 }, TOKENS])
      const open = new Map<number, Awaited<ReturnType<AdmissionBed['reserve']>>>()
      const spent = { requests: 0, tokens: 0 }
      let calls = 0
      const run = async (step: (typeof batches)[number][number]): Promise<void> => {
        const reservation = open.get(step.slot)
        if (step.kind === 'admit') {
          if (reservation !== undefined) return
          const request = { id: `${(calls += 1)}`, bound, amounts: { tokens: step.tokens }, context: '' }
          const decision = await admission.admit(request)
          if (decision.admitted && !open.has(step.slot)) open.set(step.slot, decision.reservation!)
          else if (decision.admitted) await admission.release(decision.reservation!)
          return
        }
        if (reservation === undefined) return
        open.delete(step.slot)
        if (step.kind === 'release') return admission.release(reservation)
        const tokens = Math.floor(((reservation.amounts.tokens ?? 0) * step.share) / 100)
        spent.requests += 1
        spent.tokens += tokens
        await admission.settle(reservation, { requests: 1, tokens }, clock.now())
      }
      for (const batch of batches) {
        await Promise.all(batch.map(run))
        const held = [...open.values()].reduce((sum, { amounts }) => sum + (amounts.tokens ?? 0), 0)
        const { statuses } = await admission.read(bound)
        expect(statuses.map((status) => status.used)).to.deep.equal([spent.requests + open.size, spent.tokens + held])
        for (const status of statuses) expect(status.used).to.be.at.most(status.quota!)
      }
    })
    await fc.assert(property, { numRuns: runs(300) })
  })

  it('never grants more than the quota in any span of a sliding window', async () => {
    const calls = fc.array(fc.record({ afterMs: fc.nat(20_000), tokens: fc.integer({ min: 1, max: 60 }) }), {
      maxLength: 60,
    })
    const property = fc.asyncProperty(calls, fc.integer({ min: 1, max: 12 }), async (calls, buckets) => {
      const slid = new AdmissionBed()
      const bound = boundTo([{ ...TOKENS, window: { kind: 'sliding', durationMs: 60_000, buckets } }])
      const granted: { atMs: number; tokens: number }[] = []
      for (const { afterMs, tokens } of calls) {
        slid.clock.advance(afterMs)
        const atMs = slid.clock.now()
        if ((await slid.admit(bound, { tokens })).admitted) granted.push({ atMs, tokens })
        const inSpan = granted.filter((each) => each.atMs > atMs - 60_000)
        expect(inSpan.reduce((sum, each) => sum + each.tokens, 0)).to.be.at.most(100)
      }
    })
    await fc.assert(property, { numRuns: runs(200) })
  })
})
