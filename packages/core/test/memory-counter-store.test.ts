import { MemoryCounterStore } from '@tallygate/core'
import { describeCounterStore } from '@tallygate/testkit'
import { expect } from 'chai'
import {
  LIFETIME,
  LIFETIME_WINDOW,
  MINUTE,
  MemoryStoreBed,
  SLIDING,
  START,
  charge,
  firstUse,
  hourAt,
  minuteAt,
} from './memory-store-bed.ts'

describeCounterStore('MemoryCounterStore', async (clock) => new MemoryCounterStore({ clock: clock.now }))

describe('MemoryCounterStore', () => {
  let bed: MemoryStoreBed
  beforeEach(() => {
    bed = new MemoryStoreBed()
  })

  it('answers at once: nobody waits for what is there', () => {
    const request = { id: 'r', owner: 'o', charges: [charge({})], lifetimeMs: LIFETIME, context: '' }
    expect(bed.store.reserve(request)).to.include({ outcome: 'granted' })
    expect(bed.store.holdState(request)).to.include({ state: 'reserved' })
    expect(bed.store.extend(request)).to.equal(undefined)
    expect(bed.store.settle({ ...request, charges: [], atMs: START })).to.equal('settled')
    expect(bed.store.sweep(1)).to.deep.equal([])
  })

  describe('holdState', () => {
    const state = async (): Promise<string | undefined> => (await bed.store.holdState({ id: 'r1', owner: 'o' }))?.state

    it('follows a reservation through its life', async () => {
      expect(await state()).to.equal(undefined)
      await bed.reserve('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 2, onExpiry: 'release' }))
      expect(await state()).to.equal('reserved')
      bed.clock.advance(LIFETIME)
      await bed.reserve('r2', charge({ counter: 'c' }))
      expect(await state()).to.equal('expired')
      const held = [{ owner: 'o', partition: 'tenant=t,key=k', counter: 'plan/limit', amount: 3 }]
      expect(await bed.store.holdState({ id: 'r1', owner: 'o' })).to.deep.equal({ state: 'expired', held })
      await bed.settle('r1', charge({ amount: 3 }), 1)
      expect(await state()).to.equal('settled')
    })

    for (const onExpiry of ['keep', 'release'] as const) {
      it(`says released of one that was released, also after it expired and was to ${onExpiry}`, async () => {
        await bed.reserve('r1', charge({ amount: 3, onExpiry }))
        bed.clock.advance(LIFETIME)
        await bed.reserve('r2', charge({ counter: 'c' }))
        await bed.store.release({ id: 'r1', owner: 'o' })
        expect([await state(), await bed.used(charge({}))]).to.deep.equal(['released', 0])
        expect(await bed.store.sweep(9)).to.deep.equal([])
      })
    }

    it('has forgotten a closed id a while after its time, in which a repeat charges nothing', async () => {
      await bed.reserve('r1', charge({ amount: 3 }))
      await bed.settle('r1', charge({ amount: 3 }), 3)
      bed.clock.advance(MINUTE - 1)
      expect(await bed.settle('r1', charge({ amount: 3 }), 3)).to.equal('closed')
      bed.clock.advance(1)
      await bed.store.sweep(9)
      expect(await state()).to.equal(undefined)
    })
  })

  describe('holds', () => {
    it('of any lifetime are swept by the next decisions, the shorter ones first', async () => {
      const mine = charge({ onExpiry: 'release', window: LIFETIME_WINDOW })
      const lives = [9 * MINUTE, MINUTE, 3 * MINUTE]
      for (const [index, lifetimeMs] of lives.entries())
        await bed.store.reserve({ id: `r${index}`, owner: 'o', charges: [mine], lifetimeMs, context: '' })
      for (const { atMinutes, left } of [
        { atMinutes: 1, left: 2 },
        { atMinutes: 3, left: 1 },
        { atMinutes: 9, left: 0 },
      ]) {
        bed.clock.set(START + atMinutes * MINUTE)
        await bed.store.release({ id: 'nobody', owner: 'o' })
        expect(await bed.used(mine)).to.equal(left)
      }
    })

    it('expire at most eight with one call, and as many as asked with a sweep', async () => {
      const mine = charge({ onExpiry: 'release', window: LIFETIME_WINDOW, quota: null })
      for (let index = 0; index < 30; index += 1) await bed.reserve(`r${index}`, mine)
      bed.clock.advance(LIFETIME)
      await bed.store.release({ id: 'nobody', owner: 'o' })
      expect(await bed.used(mine)).to.equal(22)
      expect(await bed.store.sweep(12)).to.have.length(12)
      expect(await bed.used(mine)).to.equal(10)
      expect(await bed.store.sweep(99)).to.have.length(30)
    })
  })

  describe('memory', () => {
    const reserveMany = async (calls: number, of: string, window = minuteAt(bed.clock.now())): Promise<void> => {
      for (let call = 0; call < calls; call += 1) {
        const mine = charge({ partition: `tenant=t,key=${of}-${call}`, window })
        await bed.reserve(`${of}-${call}`, mine, {
          ...mine,
          counter: { ...mine.counter, name: 'plan/b', key: `${mine.counter.key}b` },
        })
        await bed.store.release({ id: `${of}-${call}`, owner: 'o' })
      }
    }

    it('of idle counters is given back by the calls of others, and used again', async () => {
      await reserveMany(2_000, 'idle')
      expect(bed.store.size).to.include({ counters: 4_000, slots: 4_000, partitions: 2_000, holds: 0 })
      bed.clock.advance(MINUTE)
      await reserveMany(2_000, 'busy')
      expect(bed.store.size.slots, 'no slot was made for them').to.be.below(4_100)
      bed.clock.advance(MINUTE)
      const long = charge({ partition: 'tenant=t', window: hourAt(START) })
      for (let call = 0; call < 1_100; call += 1) await bed.reserve(`last-${call}`, { ...long, quota: null })
      expect(bed.store.size).to.include({ counters: 1, partitions: 1 })
    })

    it('of idle counters is given back by sweeps alone', async () => {
      for (const window of [SLIDING, firstUse('restart'), minuteAt(START)]) {
        await reserveMany(5_000, window.kind, window)
      }
      expect(bed.store.size).to.include({ counters: 30_000 })
      bed.clock.advance(2 * MINUTE)
      for (let sweeps = 0; sweeps < 2; sweeps += 1) await bed.store.sweep(1)
      expect(bed.store.size).to.include({ counters: 0, partitions: 0, slots: 30_000 })
    })

    it('of counters that say something is not given back', async () => {
      const windows = [firstUse('end'), LIFETIME_WINDOW, { kind: 'concurrent' } as const, hourAt(START)]
      const kept = windows.map((window) => charge({ counter: window.kind, partition: window.kind, window }))
      await bed.reserve('r1', ...kept)
      bed.clock.advance(LIFETIME / 2)
      for (let sweeps = 0; sweeps < 3; sweeps += 1) await bed.store.sweep(9)
      expect(bed.store.size).to.include({ counters: 4 })
      await bed.settle('r1', kept[2]!, 1)
      await bed.store.sweep(9)
      await bed.store.sweep(9)
      expect(bed.store.size, 'nothing runs any more').to.include({ counters: 3 })
    })

    it('a counter that comes again after its slot was given to another counts by itself', async () => {
      const [mine, other] = [
        charge({ partition: 'mine' }),
        charge({ partition: 'other', window: minuteAt(START + MINUTE) }),
      ]
      await bed.reserve('r1', mine)
      bed.clock.advance(MINUTE)
      for (let sweeps = 0; sweeps < 2; sweeps += 1) await bed.store.sweep(1)
      await bed.reserve('r2', other)
      expect(bed.store.size).to.include({ counters: 1, slots: 1 })
      expect(await bed.used({ ...mine, window: other.window })).to.equal(0)
      expect(await bed.used(other)).to.equal(1)
    })

    it('a counter that two stores know counts in each by itself, also where it can not be written on', async () => {
      for (const mine of [charge({}), { ...charge({}), counter: Object.freeze(charge({}).counter) }]) {
        const second = new MemoryCounterStore({ clock: bed.clock.now })
        await second.reserve({ id: 'x', owner: 'o', charges: [{ ...mine, amount: 5 }], lifetimeMs: 1, context: '' })
        bed.store = new MemoryCounterStore({ clock: bed.clock.now })
        await bed.reserve('r1', mine)
        await bed.reserve('r2', mine)
        expect([await bed.used(mine), (await second.read([mine])).statuses[0]!.used]).to.deep.equal([2, 5])
      }
    })

    it('one partition under two owners is two', async () => {
      const [mine, theirs] = [charge({}), charge({ owner: 'o2' })]
      await bed.reserve('r1', { ...mine, amount: 3 }, { ...theirs, amount: 4 })
      expect([await bed.used(mine), await bed.used(theirs)]).to.deep.equal([3, 4])
      expect(bed.store.size).to.include({ partitions: 2 })
      bed.clock.advance(MINUTE)
      for (let sweeps = 0; sweeps < 3; sweeps += 1) await bed.store.sweep(1)
      expect(bed.store.size).to.include({ partitions: 0 })
    })
  })
})
