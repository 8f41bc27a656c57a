import { MemoryCounterStore, type Charge, type ChargeWindow, type CounterStatus } from '@tallygate/core'
import { describeCounterStore, SettableClock, testCharge, type TestChargeOptions } from '@tallygate/testkit'
import { expect } from 'chai'

describeCounterStore('MemoryCounterStore', async (clock) => new MemoryCounterStore({ clock: clock.now }))

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const LIFETIME = 30_000
/** The clock starts here, on an hour. */
const START = Date.UTC(2026, 0, 15, 12)

const SLIDING = { kind: 'sliding', bucketMs: 6_000, buckets: 10 } as const
const LIFETIME_WINDOW = { kind: 'lifetime' } as const
const firstUse = (then: 'restart' | 'end'): ChargeWindow => ({ kind: 'first-use', durationMs: MINUTE, then })

describe('MemoryCounterStore', () => {
  let clock: SettableClock
  let store: MemoryCounterStore
  beforeEach(() => {
    clock = new SettableClock(START)
    store = new MemoryCounterStore({ clock: clock.now })
  })

  const reserve = async (id: string, ...charges: Charge[]): Promise<string> => {
    const reply = await store.reserve({ id, owner: 'o', charges, lifetimeMs: LIFETIME, context: '' })
    return reply.outcome
  }
  const settle = async (id: string, charge: Charge, actual: number, atMs = clock.now()): Promise<string> =>
    store.settle({ id, owner: 'o', charges: [{ charge, actual }], atMs })
  const status = async (charge: Charge): Promise<CounterStatus> => (await store.read([charge])).statuses[0]!
  const used = async (charge: Charge): Promise<number> => (await status(charge)).used
  const adjust = async (
    id: string,
    charge: Charge,
    adjustment: 'reset' | 'top-up' | 'refund',
    amount = 0,
    atMs = clock.now(),
  ): Promise<boolean> => store.adjust({ id, charge, adjustment, amount, atMs })

  it('answers at once: nobody waits for what is there', () => {
    const request = { id: 'r', owner: 'o', charges: [charge({})], lifetimeMs: LIFETIME, context: '' }
    expect(store.reserve(request)).to.include({ outcome: 'granted' })
    expect(store.holdState(request)).to.include({ state: 'reserved' })
    expect(store.extend(request)).to.equal(undefined)
    expect(store.settle({ ...request, charges: [], atMs: START })).to.equal('settled')
    expect(store.sweep(1)).to.deep.equal([])
  })

  describe('adjust', () => {
    it('resets a counter, once for each id', async () => {
      await reserve('r1', charge({ amount: 7 }))
      expect([await adjust('a1', charge({}), 'reset'), await used(charge({}))]).to.deep.equal([true, 0])
      await reserve('r2', charge({ amount: 2 }))
      expect([await adjust('a1', charge({}), 'reset'), await used(charge({}))]).to.deep.equal([false, 2])
    })

    it('gives no surplus back twice where a counter was reset under a hold', async () => {
      await reserve('r1', charge({ amount: 7 }))
      await adjust('a1', charge({}), 'reset')
      await reserve('r2', charge({ amount: 2 }))
      await settle('r1', charge({ amount: 7 }), 6)
      expect(await used(charge({}))).to.equal(1)
      await store.release({ id: 'r2', owner: 'o' })
      expect(await used(charge({}))).to.equal(0)
    })

    for (const { window, left } of [
      { window: minuteAt(START), left: 6 },
      { window: SLIDING, left: 6 },
      { window: firstUse('restart'), left: 6 },
      { window: LIFETIME_WINDOW, left: 6 },
    ]) {
      it(`gives back units of a ${window.kind} window, down to 0`, async () => {
        const mine = charge({ window, amount: 4 })
        await reserve('r1', mine)
        clock.advance(18_000)
        await reserve('r2', mine)
        expect([await adjust('a1', mine, 'refund', 2), await used(mine)]).to.deep.equal([true, left])
        await adjust('a2', mine, 'refund', 99)
        expect(await used(mine)).to.equal(0)
      })
    }

    it('takes a refund of a sliding window from the newest step, as far as it is in the window', async () => {
      const mine = charge({ window: SLIDING, amount: 4 })
      await reserve('r1', mine)
      clock.advance(60_000)
      await reserve('r2', mine)
      await adjust('a1', mine, 'refund', 3)
      expect(await used(mine)).to.equal(5)
      clock.advance(6_000)
      expect(await used(mine)).to.equal(1)
      await adjust('a2', mine, 'refund', 3)
      expect(await used(mine)).to.equal(0)
    })

    for (const window of [minuteAt(START), firstUse('restart'), firstUse('end'), LIFETIME_WINDOW]) {
      it(`tops up the quota of a ${JSON.stringify(window)} window, used or not`, async () => {
        const mine = charge({ window, quota: 3, amount: 5 })
        expect(await adjust('a1', mine, 'top-up', 2)).to.equal(true)
        expect(await status(mine)).to.include({ used: 0, quota: 5 })
        expect(await reserve('r1', mine)).to.equal('granted')
        await adjust('a2', mine, 'top-up', 1)
        expect(await status(mine)).to.include({ used: 5, quota: 6 })
      })
    }

    it('keeps a top-up before the first use for as long as it takes, and for that window alone', async () => {
      const mine = charge({ window: firstUse('restart'), quota: 3, amount: 5 })
      await adjust('a1', mine, 'top-up', 2)
      clock.advance(9 * HOUR)
      expect(await reserve('r1', mine)).to.equal('granted')
      expect(await status(mine)).to.include({ startMs: START + 9 * HOUR, quota: 5 })
      clock.advance(MINUTE)
      expect(await status(mine)).to.include({ used: 0, quota: 3 })
    })

    it('ends a top-up with its bucket, but for lifetime', async () => {
      const mine = charge({})
      await adjust('a1', mine, 'top-up', 5)
      await adjust('a2', charge({ window: LIFETIME_WINDOW, counter: 'life' }), 'top-up', 5)
      clock.advance(MINUTE)
      expect(await status(charge({ window: minuteAt(clock.now()) }))).to.include({ quota: 10 })
      expect(await status(charge({ window: LIFETIME_WINDOW, counter: 'life' }))).to.include({ quota: 15 })
    })

    it('leaves the current bucket alone where it tops up one that is over', async () => {
      const later = charge({ window: minuteAt(START + MINUTE), amount: 4 })
      clock.advance(MINUTE)
      await reserve('r1', later)
      expect(await adjust('a1', charge({}), 'top-up', 5, START)).to.equal(true)
      expect(await status(later)).to.include({ used: 4, quota: 10 })
    })

    it('lets a first-use window begin anew after a reset, with what was topped up', async () => {
      for (const then of ['restart', 'end'] as const) {
        const mine = charge({ counter: then, window: firstUse(then), amount: 4 })
        await reserve(`r1-${then}`, mine)
        await adjust(`a1-${then}`, mine, 'top-up', 5)
        clock.advance(MINUTE / 2)
        await adjust(`a2-${then}`, mine, 'reset')
        expect(await status(mine)).to.include({ used: 0, quota: 15 })
        clock.advance(MINUTE / 4)
        await reserve(`r2-${then}`, mine)
        expect(await status(mine)).to.include({ startMs: clock.now(), used: 4, quota: 15 })
      }
    })

    it('lets one that has ended for good begin again by a reset', async () => {
      const mine = charge({ window: firstUse('end') })
      await reserve('r1', mine)
      clock.advance(MINUTE)
      expect(await reserve('r2', mine)).to.equal('refused')
      await adjust('a1', mine, 'reset')
      expect(await reserve('r3', mine)).to.equal('granted')
    })

    it('brings no top-up of a window back that is over, by resetting it', async () => {
      const mine = charge({ window: firstUse('restart') })
      await reserve('r1', mine)
      await adjust('a1', mine, 'top-up', 5)
      clock.advance(MINUTE)
      await adjust('a2', mine, 'reset')
      expect(await status(mine)).to.include({ quota: 10 })
    })

    for (const window of [SLIDING, { kind: 'concurrent' } as const]) {
      it(`says of a ${window.kind} window that it can't be topped up`, () => {
        expect(() =>
          store.adjust({ id: 'a', charge: charge({ window }), adjustment: 'top-up', amount: 1, atMs: START }),
        ).to.throw(`plan/limit is a ${window.kind} window, which can't be topped up`)
      })
    }
  })

  describe('counters that are rebuilt', () => {
    const LOST: readonly ChargeWindow[] = [hourAt(START - HOUR / 2), SLIDING, firstUse('restart'), LIFETIME_WINDOW]
    for (const window of LOST) {
      it(`are unknown where a ${window.kind} window is older than the store, and nothing is charged`, async () => {
        const [mine, other] = [charge({ window, isRebuilt: true }), charge({ counter: 'other' })]
        const request = { id: 'r1', owner: 'o', charges: [other, mine], lifetimeMs: LIFETIME, context: '' }
        const reply = await store.reserve(request)
        expect(reply)
          .to.include({ outcome: 'unknown', nowMs: START })
          .and.deep.include({ unknown: [1] })
        expect(await used(other)).to.equal(0)
        expect(store.holdState(request)).to.equal(undefined)
        expect((await store.read([other, mine])).unknown).to.deep.equal([1])
      })
    }

    it('are known where the store has seen all of their window', async () => {
      clock.advance(-1)
      store = new MemoryCounterStore({ clock: clock.now })
      clock.advance(1)
      const minute = charge({ isRebuilt: true })
      const running = charge({ window: { kind: 'concurrent' }, counter: 'running', isRebuilt: true })
      const sliding = charge({ window: SLIDING, counter: 'sliding', isRebuilt: true })
      expect((await store.read([minute, running, sliding])).unknown).to.deep.equal([2])
      clock.advance(9 * 6_000)
      expect((await store.read([sliding])).unknown).to.deep.equal([0])
      clock.advance(6_000)
      expect((await store.read([sliding])).unknown).to.deep.equal([])
    })

    it('stand at what the ledger says after they were seeded, and count on from there', async () => {
      const hour = charge({ counter: 'hour', window: hourAt(START - HOUR / 2), isRebuilt: true, amount: 2 })
      const life = charge({ counter: 'life', window: LIFETIME_WINDOW, isRebuilt: true, amount: 2 })
      const first = charge({ counter: 'first', window: firstUse('end'), isRebuilt: true, amount: 2 })
      const fresh = charge({ counter: 'fresh', window: firstUse('restart'), isRebuilt: true, amount: 2 })
      const { fence } = await store.read([hour, life, first, fresh])
      const common = { quota: 10, toppedUp: 0 }
      const seeded = await store.seed({
        owner: 'o',
        counters: [
          { ...common, charge: hour, startMs: START - HOUR / 2, endMs: START + HOUR / 2, used: 5 },
          { ...common, charge: life, startMs: 0, endMs: null, used: 6, toppedUp: 3 },
          { ...common, charge: first, startMs: START - 1_000, endMs: START + 59_000, used: 7 },
          { ...common, charge: fresh, startMs: null, endMs: null, used: 0 },
        ],
        fence,
        closed: [],
        countedUntilMs: START,
      })
      expect(seeded).to.equal(true)
      expect(await reserve('r1', hour, life, first, fresh)).to.equal('granted')
      const { statuses } = await store.read([hour, life, first, fresh])
      expect(statuses.map(({ used, quota, startMs }) => [used, quota, startMs])).to.deep.equal([
        [7, 10, START - HOUR / 2],
        [8, 13, null],
        [9, 10, START - 1_000],
        [2, 10, START],
      ])
    })

    it('are seeded step by step where they slide, but for steps that left the window', async () => {
      const mine = charge({ window: SLIDING, isRebuilt: true })
      const step = START / 6_000
      await seed(mine, {
        used: 13,
        steps: [
          [step - 11, 99],
          [step - 10, 1],
          [step - 1, 4],
          [step, 8],
          [step, 1],
        ],
      })
      expect(await used(mine)).to.equal(14)
      clock.advance(6_000)
      expect(await used(mine)).to.equal(13)
      clock.advance(9 * 6_000)
      expect(await used(mine)).to.equal(9)
    })

    it('keep what the store knows already', async () => {
      const mine = charge({ window: LIFETIME_WINDOW, isRebuilt: true, amount: 3 })
      await seed(mine, { used: 0 })
      await reserve('r1', mine)
      await seed(mine, { used: 9 })
      expect(await used(mine)).to.equal(3)
    })

    it('begin at their next use where a first-use window ended while the ledger was read', async () => {
      const mine = charge({ window: firstUse('restart'), isRebuilt: true })
      await seed(mine, { startMs: START - MINUTE, endMs: START, used: 9, toppedUp: 5 })
      expect(await reserve('r1', mine)).to.equal('granted')
      expect(await status(mine)).to.include({ used: 1, quota: 10, startMs: START })
    })

    it('are asked for again where something was settled or adjusted on them since the ledger was read', async () => {
      const mine = charge({ window: LIFETIME_WINDOW, isRebuilt: true })
      const before = await store.read([mine])
      expect(await settle('s1', mine, 4)).to.equal('late')
      expect(await seed(mine, { used: 0 }, before.fence)).to.equal(false)
      const between = await store.read([mine])
      expect(await adjust('a1', mine, 'top-up', 4)).to.equal(false)
      expect(await seed(mine, { used: 4 }, between.fence)).to.equal(false)
      expect(await used(mine)).to.equal(0)
      expect(await seed(mine, { used: 4, toppedUp: 4 })).to.equal(true)
      expect(await status(mine)).to.include({ used: 4, quota: 14 })
    })

    it('are not vouched for by age alone once a settlement on a sliding one was left to the ledger', async () => {
      const mine = charge({ window: SLIDING, isRebuilt: true })
      clock.advance(30_000)
      await settle('s1', mine, 9)
      clock.advance(40_000)
      expect((await store.read([mine])).unknown, 'the step of the settlement is still in the window').to.deep.equal([0])
      clock.advance(26_000)
      expect((await store.read([mine])).unknown).to.deep.equal([])
    })

    it('are known until their window is over, however much was cleared away meanwhile', async () => {
      const mine = charge({ window: firstUse('restart'), isRebuilt: true })
      await seed(mine, { startMs: null, endMs: null, used: 0 })
      await reserve('r1', mine)
      for (let calls = 0; calls < 20; calls += 1)
        await reserve(`other-${calls}`, charge({ counter: 'other', quota: null }))
      clock.advance(MINUTE - 1)
      expect((await store.read([mine])).unknown).to.deep.equal([])
      clock.advance(1)
      expect((await store.read([mine])).unknown).to.deep.equal([0])
    })

    it('count no settlement twice that is among what they were seeded with', async () => {
      const mine = charge({ window: LIFETIME_WINDOW, isRebuilt: true, amount: 5 })
      await seed(mine, { used: 50 }, undefined, ['closed'], START)
      clock.advance(1)
      expect(await settle('closed', mine, 5, START + 1)).to.equal('closed')
      expect(await settle('before', mine, 5, START)).to.equal('late')
      expect(await used(mine)).to.equal(50)
      expect(await settle('after', mine, 5, START + 1)).to.equal('late')
      expect(await used(mine)).to.equal(55)
      expect(await reserve('held', { ...mine, quota: null })).to.equal('granted')
      expect(await settle('held', mine, 2, START)).to.equal('settled')
      expect(await used(mine)).to.equal(57)
    })

    it('are left out of a hold that is made again, and charged when it settles', async () => {
      const [mine, other] = [
        charge({ window: LIFETIME_WINDOW, isRebuilt: true, amount: 5 }),
        charge({ counter: 'other' }),
      ]
      const request = { id: 'r1', owner: 'o', charges: [mine, other], lifetimeMs: LIFETIME, context: '' }
      await store.extend(request)
      const held = [{ owner: 'o', partition: 'tenant=t,key=k', counter: 'other', amount: 1 }]
      expect(await store.holdState(request)).to.deep.equal({ state: 'reserved', expiresAtMs: START + LIFETIME, held })
      await seed(mine, { used: 50 }, undefined, [], START - 1)
      expect(await settle('r1', mine, 4)).to.equal('settled')
      expect(await used(mine)).to.equal(54)
    })

    const seed = async (
      charge: Charge,
      said: {
        used: number
        startMs?: number | null
        endMs?: number | null
        toppedUp?: number
        steps?: [number, number][]
      },
      fence?: string,
      closed: string[] = [],
      countedUntilMs = -Infinity,
    ): Promise<boolean> => {
      const counter = { charge, startMs: 0, endMs: null, quota: charge.quota, toppedUp: 0, ...said }
      const current = fence ?? ((await store.read([charge])).fence || '0')
      return store.seed({ owner: 'o', counters: [counter], fence: current, closed, countedUntilMs })
    }
  })

  describe('holdState', () => {
    const state = async (): Promise<string | undefined> => (await store.holdState({ id: 'r1', owner: 'o' }))?.state

    it('follows a reservation through its life', async () => {
      expect(await state()).to.equal(undefined)
      await reserve('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 2, onExpiry: 'release' }))
      expect(await state()).to.equal('reserved')
      clock.advance(LIFETIME)
      await reserve('r2', charge({ counter: 'c' }))
      expect(await state()).to.equal('expired')
      const held = [{ owner: 'o', partition: 'tenant=t,key=k', counter: 'plan/limit', amount: 3 }]
      expect(await store.holdState({ id: 'r1', owner: 'o' })).to.deep.equal({ state: 'expired', held })
      await settle('r1', charge({ amount: 3 }), 1)
      expect(await state()).to.equal('settled')
    })

    for (const onExpiry of ['keep', 'release'] as const) {
      it(`says released of one that was released, also after it expired and was to ${onExpiry}`, async () => {
        await reserve('r1', charge({ amount: 3, onExpiry }))
        clock.advance(LIFETIME)
        await reserve('r2', charge({ counter: 'c' }))
        await store.release({ id: 'r1', owner: 'o' })
        expect([await state(), await used(charge({}))]).to.deep.equal(['released', 0])
        expect(await store.sweep(9)).to.deep.equal([])
      })
    }

    it('has forgotten a closed id a while after its time, in which a repeat charges nothing', async () => {
      await reserve('r1', charge({ amount: 3 }))
      await settle('r1', charge({ amount: 3 }), 3)
      clock.advance(MINUTE - 1)
      expect(await settle('r1', charge({ amount: 3 }), 3)).to.equal('closed')
      clock.advance(1)
      await store.sweep(9)
      expect(await state()).to.equal(undefined)
    })
  })

  describe('holds', () => {
    it('of any lifetime are swept by the next decisions, the shorter ones first', async () => {
      const mine = charge({ onExpiry: 'release', window: LIFETIME_WINDOW })
      const lives = [9 * MINUTE, MINUTE, 3 * MINUTE]
      for (const [index, lifetimeMs] of lives.entries())
        await store.reserve({ id: `r${index}`, owner: 'o', charges: [mine], lifetimeMs, context: '' })
      for (const { atMinutes, left } of [
        { atMinutes: 1, left: 2 },
        { atMinutes: 3, left: 1 },
        { atMinutes: 9, left: 0 },
      ]) {
        clock.set(START + atMinutes * MINUTE)
        await store.release({ id: 'nobody', owner: 'o' })
        expect(await used(mine)).to.equal(left)
      }
    })

    it('expire at most eight with one call, and as many as asked with a sweep', async () => {
      const mine = charge({ onExpiry: 'release', window: LIFETIME_WINDOW, quota: null })
      for (let index = 0; index < 30; index += 1) await reserve(`r${index}`, mine)
      clock.advance(LIFETIME)
      await store.release({ id: 'nobody', owner: 'o' })
      expect(await used(mine)).to.equal(22)
      expect(await store.sweep(12)).to.have.length(12)
      expect(await used(mine)).to.equal(10)
      expect(await store.sweep(99)).to.have.length(30)
    })
  })

  describe('memory', () => {
    const reserveMany = async (calls: number, of: string, window = minuteAt(clock.now())): Promise<void> => {
      for (let call = 0; call < calls; call += 1) {
        const mine = charge({ partition: `tenant=t,key=${of}-${call}`, window })
        await reserve(`${of}-${call}`, mine, {
          ...mine,
          counter: { ...mine.counter, name: 'plan/b', key: `${mine.counter.key}b` },
        })
        await store.release({ id: `${of}-${call}`, owner: 'o' })
      }
    }

    it('of idle counters is given back by the calls of others, and used again', async () => {
      await reserveMany(2_000, 'idle')
      expect(store.size).to.include({ counters: 4_000, slots: 4_000, partitions: 2_000, holds: 0 })
      clock.advance(MINUTE)
      await reserveMany(2_000, 'busy')
      expect(store.size.slots, 'no slot was made for them').to.be.below(4_100)
      clock.advance(MINUTE)
      const long = charge({ partition: 'tenant=t', window: hourAt(START) })
      for (let call = 0; call < 1_100; call += 1) await reserve(`last-${call}`, { ...long, quota: null })
      expect(store.size).to.include({ counters: 1, partitions: 1 })
    })

    it('of idle counters is given back by sweeps alone', async () => {
      for (const window of [SLIDING, firstUse('restart'), minuteAt(START)]) {
        await reserveMany(5_000, window.kind, window)
      }
      expect(store.size).to.include({ counters: 30_000 })
      clock.advance(2 * MINUTE)
      for (let sweeps = 0; sweeps < 2; sweeps += 1) await store.sweep(1)
      expect(store.size).to.include({ counters: 0, partitions: 0, slots: 30_000 })
    })

    it('of counters that say something is not given back', async () => {
      const windows = [firstUse('end'), LIFETIME_WINDOW, { kind: 'concurrent' } as const, hourAt(START)]
      const kept = windows.map((window) => charge({ counter: window.kind, partition: window.kind, window }))
      await reserve('r1', ...kept)
      clock.advance(LIFETIME / 2)
      for (let sweeps = 0; sweeps < 3; sweeps += 1) await store.sweep(9)
      expect(store.size).to.include({ counters: 4 })
      await settle('r1', kept[2]!, 1)
      await store.sweep(9)
      await store.sweep(9)
      expect(store.size, 'nothing runs any more').to.include({ counters: 3 })
    })

    it('a counter that comes again after its slot was given to another counts by itself', async () => {
      const [mine, other] = [
        charge({ partition: 'mine' }),
        charge({ partition: 'other', window: minuteAt(START + MINUTE) }),
      ]
      await reserve('r1', mine)
      clock.advance(MINUTE)
      for (let sweeps = 0; sweeps < 2; sweeps += 1) await store.sweep(1)
      await reserve('r2', other)
      expect(store.size).to.include({ counters: 1, slots: 1 })
      expect(await used({ ...mine, window: other.window })).to.equal(0)
      expect(await used(other)).to.equal(1)
    })

    it('a counter that two stores know counts in each by itself, also where it can not be written on', async () => {
      for (const mine of [charge({}), { ...charge({}), counter: Object.freeze(charge({}).counter) }]) {
        const second = new MemoryCounterStore({ clock: clock.now })
        await second.reserve({ id: 'x', owner: 'o', charges: [{ ...mine, amount: 5 }], lifetimeMs: 1, context: '' })
        store = new MemoryCounterStore({ clock: clock.now })
        await reserve('r1', mine)
        await reserve('r2', mine)
        expect([await used(mine), (await second.read([mine])).statuses[0]!.used]).to.deep.equal([2, 5])
      }
    })

    it('one partition under two owners is two', async () => {
      const [mine, theirs] = [charge({}), charge({ owner: 'o2' })]
      await reserve('r1', { ...mine, amount: 3 }, { ...theirs, amount: 4 })
      expect([await used(mine), await used(theirs)]).to.deep.equal([3, 4])
      expect(store.size).to.include({ partitions: 2 })
      clock.advance(MINUTE)
      for (let sweeps = 0; sweeps < 3; sweeps += 1) await store.sweep(1)
      expect(store.size).to.include({ partitions: 0 })
    })
  })
})

function charge(overrides: TestChargeOptions): Charge {
  return testCharge({ window: minuteAt(START), ...overrides })
}

function minuteAt(atMs: number): ChargeWindow {
  const startMs = Math.floor(atMs / MINUTE) * MINUTE
  return { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
}

/** An hour that begins at this instant. */
function hourAt(startMs: number): ChargeWindow {
  return { kind: 'fixed', startMs, endMs: startMs + HOUR, nextEndMs: startMs + 2 * HOUR }
}
