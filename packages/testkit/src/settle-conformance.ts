import { expect } from 'chai'
import { describe, it } from 'mocha'
import { charge, LIFETIME, MINUTE, minuteAt, START, type ConformanceBed } from './conformance-bed.ts'

/** How reservations end. */
export function describeSettling(bed: ConformanceBed): void {
  describe('settle', () => {
    for (const { actual, left } of [
      { actual: 0, left: 0 },
      { actual: 2, left: 2 },
      { actual: 5, left: 5 },
      { actual: 15, left: 15 },
    ]) {
      it(`replaces 5 reserved units by ${actual} actual ones, once`, async () => {
        const held = charge({ amount: 5 })
        await bed.reserve('r1', held)
        expect(await bed.settle('r1', held, actual)).to.equal('settled')
        expect(await bed.settle('r1', held, actual)).to.equal('closed')
        expect(await bed.used(held)).to.equal(left)
      })
    }

    it('charges an unknown id in full, once', async () => {
      expect(await bed.settle('never-seen', charge(), 3)).to.equal('late')
      expect(await bed.settle('never-seen', charge(), 3)).to.equal('closed')
      expect(await bed.used(charge())).to.equal(3)
    })

    it('gives nothing back to a bucket that is over, and charges an excess to the current one', async () => {
      const first = charge({ amount: 5 })
      await bed.reserve('surplus', first)
      await bed.reserve('excess', charge({ amount: 2 }))
      bed.clock.advance(MINUTE)
      const second = charge({ window: minuteAt(bed.clock.now()) })
      await bed.settle('surplus', second, 1)
      await bed.settle('excess', second, 6)
      expect(await bed.used(second)).to.equal(4)
    })

    it('settles by the instant it is given, also when that is long ago', async () => {
      await bed.reserve('r1', charge({ amount: 5 }))
      const atMs = bed.clock.now()
      bed.clock.advance(MINUTE)
      const later = charge({ window: minuteAt(bed.clock.now()) })
      await bed.reserve('r2', later)
      await bed.settle('r1', charge({ amount: 5 }), 9, atMs)
      expect(await bed.used(later)).to.equal(1)
    })

    it('charges what was not reserved, and leaves alone what is not settled', async () => {
      const [held, further] = [charge({ amount: 5 }), charge({ counter: 'further' })]
      await bed.reserve('r1', held)
      expect(await bed.settle('r1', further, 2)).to.equal('settled')
      expect([await bed.used(held), await bed.used(further)]).to.deep.equal([5, 2])
    })

    it('exceeds a quota by what was used, and the next call is refused', async () => {
      await bed.reserve('r1', charge({ amount: 5 }))
      await bed.settle('r1', charge({ amount: 5 }), 25)
      expect(await bed.used(charge())).to.equal(25)
      expect(await bed.outcome('r2', charge())).to.equal('refused')
    })

    it('charges an id in full that comes before its reservation, which is then closed', async () => {
      await bed.settle('r1', charge(), 3)
      expect(await bed.outcome('r1', charge({ amount: 4 }))).to.equal('closed')
      expect(await bed.used(charge())).to.equal(3)
    })

    it('finds closed what was released', async () => {
      await bed.reserve('r1', charge({ amount: 5 }))
      await bed.release('r1')
      expect(await bed.settle('r1', charge({ amount: 5 }), 5)).to.equal('closed')
      expect(await bed.used(charge())).to.equal(0)
    })

    it('charges an excess of a bucket that is over to none', async () => {
      await bed.reserve('r1', charge())
      const atMs = bed.clock.now()
      bed.clock.advance(MINUTE)
      const later = charge({ window: minuteAt(bed.clock.now()) })
      await bed.reserve('r2', later)
      for (const id of ['r1', 'unheard']) await bed.settle(id, charge(), 6, atMs)
      expect(await bed.used(later)).to.equal(1)
    })
  })

  describe('release', () => {
    it('gives back all that is held, once', async () => {
      await bed.reserve('r1', charge({ amount: 4 }), charge({ counter: 'b', amount: 5 }))
      await bed.reserve('r2', charge({ amount: 1 }))
      for (let repeat = 0; repeat < 2; repeat += 1) await bed.release('r1')
      expect([await bed.used(charge()), await bed.used(charge({ counter: 'b' }))]).to.deep.equal([1, 0])
    })

    it('closes an id that is still on its way', async () => {
      await bed.release('r1')
      expect(await bed.outcome('r1', charge())).to.equal('closed')
      expect(await bed.used(charge())).to.equal(0)
    })

    it('leaves alone what was settled', async () => {
      await bed.reserve('r1', charge({ amount: 4 }))
      await bed.settle('r1', charge({ amount: 4 }), 3)
      await bed.release('r1')
      expect(await bed.used(charge())).to.equal(3)
    })

    it('gives nothing back to a bucket that is over', async () => {
      await bed.reserve('r1', charge({ amount: 4 }))
      bed.clock.advance(MINUTE)
      const later = charge({ window: minuteAt(bed.clock.now()), amount: 5 })
      await bed.reserve('r2', later)
      await bed.release('r1')
      expect(await bed.used(later)).to.equal(5)
    })
  })

  describe('holdState', () => {
    const state = async (id: string): Promise<unknown> => bed.store.holdState({ id, owner: 'o' })

    it('knows nothing of an id that never came, or was refused', async () => {
      await bed.reserve('refused', charge({ quota: 0 }))
      expect([await state('never'), await state('refused')]).to.deep.equal([undefined, undefined])
    })

    it('tells what is held, and until when', async () => {
      await bed.reserve('r1', charge({ amount: 4 }), charge({ counter: 'b', amount: 5 }))
      const of = { owner: 'o', partition: 'tenant=t,key=k' }
      const held = [
        { ...of, counter: 'plan/limit', amount: 4 },
        { ...of, counter: 'b', amount: 5 },
      ]
      expect(await state('r1')).to.deep.equal({ state: 'reserved', expiresAtMs: START + LIFETIME, held })
    })

    it('tells what was settled from what was released', async () => {
      for (const id of ['r1', 'r2']) await bed.reserve(id, charge())
      await bed.settle('r1', charge(), 1)
      await bed.release('r2')
      await bed.settle('late', charge(), 1)
      await bed.release('early')
      const states = await Promise.all(['r1', 'r2', 'late', 'early'].map(state))
      const [settled, released] = [{ state: 'settled' }, { state: 'released' }]
      expect(states).to.deep.equal([settled, released, settled, released])
    })
  })
}
