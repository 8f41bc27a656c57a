import { expect } from 'chai'
import { describe, it } from 'mocha'
import { charge, LIFETIME, MINUTE, minuteAt, START, type ConformanceBed } from './conformance-bed.ts'

/** What becomes of holds whose lifetime runs out. */
export function describeExpiry(bed: ConformanceBed): void {
  describe('holds', () => {
    it('that expire keep their amount or give it back, as the charge says', async () => {
      await bed.reserve('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 4, onExpiry: 'release' }))
      bed.clock.advance(LIFETIME)
      await bed.reserve('r2', charge({ counter: 'c' }))
      expect([await bed.used(charge()), await bed.used(charge({ counter: 'b' }))]).to.deep.equal([3, 0])
    })

    if (bed.has('concurrent')) {
      it('of concurrency are always given back', async () => {
        const running = charge({ window: { kind: 'concurrent' }, quota: 1 })
        await bed.reserve('r1', running)
        bed.clock.advance(LIFETIME)
        expect(await bed.outcome('r2', running)).to.equal('granted')
      })
    }

    it('that expire are listed with their context until they are acknowledged', async () => {
      await bed.reserve('r1', charge())
      bed.clock.advance(LIFETIME)
      await bed.reserve('r2', charge())
      const held = { owner: 'o', partition: 'tenant=t,key=k', counter: 'plan/limit', amount: 1 }
      const atMs = { admittedAtMs: START, expiredAtMs: START + LIFETIME }
      const expired = { id: 'r1', owner: 'o', context: 'context of r1', ...atMs, kept: [held] }
      bed.clock.advance(10 * MINUTE)
      await bed.reserve('r3', charge({ window: minuteAt(bed.clock.now()) }))
      const listed = await bed.store.sweep(10)
      expect(listed).to.deep.include(expired)
      await bed.store.acknowledge([expired])
      expect((await bed.store.sweep(10)).map(({ id }) => id)).to.not.include('r1')
    })

    it('live on when they are extended', async () => {
      const held = charge({ amount: 3, onExpiry: 'release' })
      await bed.reserve('r1', held)
      for (let beats = 0; beats < 3; beats += 1) {
        bed.clock.advance(LIFETIME - 10_000)
        const charges = [{ ...held, window: minuteAt(bed.clock.now()) }]
        await bed.extend('r1', ...charges)
      }
      expect(await bed.settle('r1', { ...held, window: minuteAt(bed.clock.now()) }, 3)).to.equal('settled')
    })

    it('are made again by an extension when the store has lost them', async () => {
      const held = charge({ amount: 3 })
      await bed.extend('lost', held)
      expect(await bed.used(held)).to.equal(3)
      expect(await bed.settle('lost', held, 1)).to.equal('settled')
      expect(await bed.used(held)).to.equal(1)
    })

    it('are charged the difference when they are settled after they expired', async () => {
      const [kept, given] = [charge({ amount: 3 }), charge({ counter: 'b', amount: 3, onExpiry: 'release' })]
      await bed.reserve('r1', kept, given)
      bed.clock.advance(LIFETIME)
      await bed.reserve('r2', charge({ counter: 'c' }))
      const charges = [kept, given].map((each) => ({ charge: each, actual: 4 }))
      expect(await bed.store.settle({ id: 'r1', owner: 'o', charges, atMs: bed.clock.now() })).to.equal('late')
      expect([await bed.used(kept), await bed.used(given)]).to.deep.equal([4, 4])
    })

    it('that expired are told with what they keep, and with what they gave back as 0', async () => {
      await bed.reserve('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 4, onExpiry: 'release' }))
      bed.clock.advance(LIFETIME)
      await bed.reserve('r2', charge({ counter: 'c' }))
      const of = { owner: 'o', partition: 'tenant=t,key=k' }
      const kept = { ...of, counter: 'plan/limit', amount: 3 }
      const state = await bed.store.holdState({ id: 'r1', owner: 'o' })
      expect(state).to.deep.equal({ state: 'expired', held: [kept] })
      bed.clock.advance(10 * MINUTE)
      const listed = (await bed.store.sweep(10)).find(({ id }) => id === 'r1')
      expect(listed).to.deep.include({ kept: [kept, { ...of, counter: 'b', amount: 0 }] })
    })

    it('that expired are closed to another reservation', async () => {
      await bed.reserve('r1', charge({ amount: 3 }))
      bed.clock.advance(LIFETIME)
      expect(await bed.outcome('r1', charge({ amount: 3 }))).to.equal('closed')
      expect(await bed.used(charge())).to.equal(3)
    })

    it('that expired give back what they kept when they are released', async () => {
      await bed.reserve('r1', charge({ amount: 3 }))
      bed.clock.advance(LIFETIME)
      await bed.release('r1')
      expect(await bed.used(charge())).to.equal(0)
    })

    it('that expired are taken up by an extension, which keeps what they kept', async () => {
      await bed.reserve('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 4, onExpiry: 'release' }))
      bed.clock.advance(LIFETIME)
      await bed.extend('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 4, onExpiry: 'release' }))
      expect([await bed.used(charge()), await bed.used(charge({ counter: 'b' }))]).to.deep.equal([3, 4])
      expect(await bed.settle('r1', charge({ amount: 3 }), 3)).to.equal('settled')
    })

    it('that were settled are not taken up again', async () => {
      await bed.reserve('r1', charge({ amount: 3 }))
      await bed.settle('r1', charge({ amount: 3 }), 2)
      await bed.extend('r1', charge({ amount: 3 }))
      expect(await bed.used(charge())).to.equal(2)
    })

    it('that are due are looked at as they are by a read', async () => {
      await bed.reserve('r1', charge({ amount: 3, onExpiry: 'release' }))
      bed.clock.advance(LIFETIME)
      expect(await bed.used(charge())).to.equal(3)
    })
  })
}
