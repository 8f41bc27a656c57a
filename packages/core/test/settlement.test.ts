import { Admission, MemoryCounterStore, QuotaError, type CounterStore, type Limit } from '@tallygate/core'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import { AdmissionBed, admitted, boundTo, boundToPlans, DAY, MIDNIGHT, NOON, refused, TOKENS } from './admission-bed.ts'
import { rejection } from './complaint.ts'

describe('Admission, after the decision', () => {
  let bed: AdmissionBed
  beforeEach(() => {
    bed = new AdmissionBed()
  })

  for (const { actual, left } of [
    { actual: { requests: 1, tokens: 12 }, left: [1, 12] },
    { actual: { requests: 1, tokens: 0 }, left: [1, 0] },
    { actual: { requests: 1, tokens: 150 }, left: [1, 150] },
    { actual: { requests: 0, tokens: 5 }, left: [0, 5] },
    { actual: { requests: 1 }, left: [1, 30] },
    { actual: {}, left: [1, 30] },
  ]) {
    it(`settles 30 tokens by ${JSON.stringify(actual)}, once`, async () => {
      const bound = boundTo([DAY, TOKENS])
      const reservation = await bed.reserve(bound, { tokens: 30 })
      expect(await bed.admission.settle(reservation, actual, NOON)).to.equal('settled')
      expect(await bed.admission.settle(reservation, { tokens: 99 }, NOON)).to.equal('closed')
      expect(await bed.used(bound)).to.deep.equal(left)
    })
  }

  it('refuses the call after one that used more than was left', async () => {
    const bound = boundTo([TOKENS])
    await bed.admission.settle(await bed.reserve(bound, { tokens: 1 }), { tokens: 140 }, NOON)
    expect(await bed.refuse(bound, { tokens: 1 })).to.include({ reason: 'no-room', retryAtMs: MIDNIGHT })
  })

  it('gives back all that a released call held, once', async () => {
    const bound = boundTo([DAY, TOKENS])
    const reservation = await bed.reserve(bound, { tokens: 30 })
    await bed.reserve(bound, { tokens: 5 })
    for (let repeat = 0; repeat < 2; repeat += 1) await bed.admission.release(reservation)
    expect(await bed.used(bound)).to.deep.equal([1, 5])
    expect(await bed.admission.settle(reservation, { tokens: 30 }, NOON)).to.equal('closed')
    expect(await bed.used(bound)).to.deep.equal([1, 5])
  })

  it('refuses the id of a call that was settled: each attempt has its own', async () => {
    const bound = boundTo([DAY])
    const { reservation } = admitted(await bed.admit(bound, {}, 'used'))
    await bed.admission.settle(reservation!, {}, NOON)
    expect(await rejection(bed.admit(bound, {}, 'used'))).to.match(/^ERR_QUOTA_CONFIG: reservation used was settled/)
  })

  it('charges an excess to the day that it became known on, and leaves the day before as it was', async () => {
    const bound = boundTo([TOKENS])
    const long = await bed.reserve(bound, { tokens: 30 })
    const short = await bed.reserve(bound, { tokens: 30 })
    bed.clock.set(MIDNIGHT + 5)
    const atMs = bed.admission.settlementTime(long)
    expect(atMs).to.equal(MIDNIGHT + 5)
    await bed.admission.settle(long, { tokens: 50 }, atMs)
    await bed.admission.settle(short, { tokens: 1 }, atMs)
    expect(await bed.used(bound)).to.deep.equal([20])
  })

  it('charges an excess that becomes known days later to that day', async () => {
    const bound = boundTo([TOKENS])
    const reservation = await bed.reserve(bound, { tokens: 30 })
    bed.clock.advance(3 * 86_400_000)
    await bed.reserve(bound, { tokens: 5 })
    await bed.admission.settle(reservation, { tokens: 50 }, bed.admission.settlementTime(reservation))
    expect(await bed.used(bound)).to.deep.equal([25])
  })

  it('settles at a whole millisecond that has come', async () => {
    const reservation = await bed.reserve(boundTo([DAY]))
    bed.clock.advance(2.7)
    expect(bed.admission.settlementTime(reservation)).to.equal(NOON + 2)
  })

  it('keeps a call that runs long, and loses one that nobody extends', async () => {
    const bound = boundTo([{ ...DAY, window: { kind: 'concurrent' }, quota: 2 }])
    const [kept] = [await bed.reserve(bound), await bed.reserve(bound)]
    bed.clock.advance(40_000)
    await bed.admission.extend(kept)
    bed.clock.advance(40_000)
    await bed.store.sweep(10)
    expect(await bed.used(bound)).to.deep.equal([1])
    expect(await bed.admission.settle(kept, {}, bed.clock.now())).to.equal('settled')
    expect(await bed.used(bound)).to.deep.equal([0])
  })

  it('reads where limits stand without counting', async () => {
    const bound = boundTo([DAY])
    await bed.reserve(bound)
    for (let reads = 0; reads < 3; reads += 1) {
      const { nowMs, statuses } = await bed.admission.read(bound)
      expect(nowMs).to.equal(NOON)
      expect(statuses[0]).to.deep.include({ used: 1, remaining: 9, tripped: false, bound: bound[0] })
    }
  })
})

describe("Admission and the store's clock", () => {
  for (const { skew, byMs } of [
    { skew: 'a day behind', byMs: 86_400_000 },
    { skew: 'a year ahead', byMs: -365 * 86_400_000 },
    { skew: 'as good as right', byMs: 3 },
  ]) {
    it(`goes by it, also on a node that is ${skew}`, async () => {
      const clocks = { node: new SettableClock(NOON), store: new SettableClock(NOON + byMs) }
      const store = new MemoryCounterStore({ clock: clocks.store.now })
      const admission = new Admission({ store, clock: clocks.node.now })
      const bound = boundTo([{ ...DAY, quota: 1 }])
      const { reservation, statuses } = admitted(await admission.admit({ id: '1', bound, amounts: {}, context: '' }))
      const midnight = Math.ceil((NOON + byMs) / 86_400_000) * 86_400_000
      expect(statuses[0]).to.include({ used: 1, resetAtMs: midnight })
      expect(admission.nowMs()).to.equal(NOON + byMs)
      for (const clock of Object.values(clocks)) clock.advance(1_000)
      expect(admission.settlementTime(reservation!)).to.equal(NOON + byMs + 1_000)
      const second = refused(await admission.admit({ id: '2', bound, amounts: {}, context: '' }))
      expect(second.retryAtMs).to.equal(midnight)
    })
  }

  it('settles at no time before admission, when the clock of the node is set back', async () => {
    const bed = new AdmissionBed()
    const reservation = await bed.reserve(boundTo([DAY]))
    bed.clock.set(NOON - 5_000)
    expect(bed.admission.settlementTime(reservation)).to.equal(NOON)
  })

  it('gives up on a store whose time can not be met', async () => {
    let tries = 0
    const bed = new AdmissionBed(
      storeWith({ reserve: async () => ({ outcome: 'stale', nowMs: NOON + 86_400_000 * (tries += 1) }) }),
    )
    expect(await rejection(bed.admit(boundTo([DAY])))).to.match(/^ERR_QUOTA_STALE: .*check its clock/)
    expect(tries).to.equal(3)
  })
})

describe('Admission without its store', () => {
  const away = new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'the store is away')
  const lax: Limit = { ...TOKENS, onUnavailable: 'admit' }
  let bed: AdmissionBed
  beforeEach(() => {
    bed = new AdmissionBed(storeWith({ reserve: () => Promise.reject(away) }))
  })

  it('refuses where one limit refuses then, and says what may be held and must be given back', async () => {
    const { reservation, ...decision } = refused(await bed.admit(boundTo([lax, DAY]), {}, 'lost'))
    expect(decision).to.deep.include({
      admitted: false,
      reason: 'unavailable',
      binding: undefined,
      statuses: [],
      retryAtMs: null,
      atMs: NOON,
    })
    expect(reservation).to.include({ id: 'lost', owner: 'tenant=acme,key=alice' })
  })

  it('has nothing to give back where the store was not asked', async () => {
    const unasked = new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'not asked', { mayHaveRun: false })
    const other = new AdmissionBed(storeWith({ reserve: () => Promise.reject(unasked) }))
    expect(refused(await other.admit(boundTo([DAY]))).reservation).to.equal(undefined)
  })

  for (const { what, bound } of [
    { what: 'all limits admit then', bound: boundTo([lax]) },
    { what: 'those that would refuse are in shadow', bound: boundTo([lax, { ...DAY, mode: 'shadow' }]) },
    {
      what: 'that is so in all plans',
      bound: boundToPlans('all', [
        { name: 'a', limits: [lax] },
        { name: 'b', limits: [] },
      ]),
    },
  ]) {
    it(`admits where ${what}, and can settle later`, async () => {
      const decision = admitted(await bed.admit(bound, { tokens: 5 }))
      expect(decision).to.deep.include({ counted: false, statuses: [], tripped: [] })
      expect(decision.reservation).to.deep.include({ amounts: { tokens: 5 }, admittedAtMs: NOON })
      const store = new MemoryCounterStore({ clock: bed.clock.now })
      const back = new Admission({ store, clock: bed.clock.now })
      expect(await back.settle(decision.reservation!, { tokens: 7 }, NOON)).to.equal('late')
      expect((await back.read(bound)).statuses[0]).to.include({ used: 7 })
    })
  }

  it('does as the request says, before what the limits say', async () => {
    const request = { id: '1', amounts: {}, context: '' }
    const { admission } = bed
    refused(await admission.admit({ ...request, bound: boundTo([lax]), onUnavailable: 'refuse' }))
    admitted(await admission.admit({ ...request, bound: boundTo([DAY]), onUnavailable: 'admit' }))
  })

  it('passes on errors of another kind', async () => {
    const broken = new AdmissionBed(storeWith({ reserve: () => Promise.reject(new TypeError('a bug')) }))
    let caught: unknown
    await broken.admit(boundTo([lax])).catch((error: unknown) => (caught = error))
    expect(caught).to.be.instanceOf(TypeError)
  })
})

/** Counters in memory, but for some of their methods. */
function storeWith(methods: Partial<CounterStore>): CounterStore {
  const memory = new MemoryCounterStore({ clock: () => NOON })
  return {
    capabilities: memory.capabilities,
    rebuildsFromMs: memory.rebuildsFromMs,
    reserve: (request) => memory.reserve(request),
    extend: (request) => memory.extend(request),
    settle: (request) => memory.settle(request),
    release: (request) => memory.release(request),
    adjust: (request) => memory.adjust(request),
    seed: (request) => memory.seed(request),
    holdState: (request) => memory.holdState(request),
    read: (charges) => memory.read(charges),
    sweep: (most) => memory.sweep(most),
    acknowledge: (holds) => memory.acknowledge(holds),
    close: () => memory.close(),
    ...methods,
  }
}
