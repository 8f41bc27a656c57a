import type { Charge, SeededCounter } from '@tallygate/core'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import {
  charge,
  concurrent,
  firstUse,
  lifetime,
  MINUTE,
  sliding,
  START,
  type ConformanceBed,
} from './conformance-bed.ts'
import type { TestChargeOptions } from './test-charge.ts'

const HOUR = 60 * MINUTE
/** An hour that began before the store did. */
const WINDOW = {
  kind: 'fixed',
  startMs: START - HOUR / 2,
  endMs: START + HOUR / 2,
  nextEndMs: START + HOUR * 1.5,
} as const

/** Counters that the store can't vouch for: it is empty, and their windows are older than it is. */
export function describeSeeding(bed: ConformanceBed): void {
  const rebuilt = (overrides: TestChargeOptions = {}): Charge =>
    charge({ window: WINDOW, isRebuilt: true, ...overrides })
  const fenceOf = async (...charges: Charge[]): Promise<string> => (await bed.store.read(charges)).fence

  describe('unknown counters', () => {
    const kinds: readonly [string, Charge][] = [
      ['fixed', rebuilt()],
      ['sliding', sliding({ isRebuilt: true })],
      ['first-use', firstUse('restart', { isRebuilt: true })],
      ['lifetime', lifetime({ isRebuilt: true })],
    ]
    for (const [kind, each] of kinds) {
      it(`of a ${kind} window are told, and charge nothing`, async () => {
        const known = charge({ counter: 'known' })
        const reply = await bed.reserve('r1', known, each)
        expect(reply)
          .to.include({ outcome: 'unknown', nowMs: START })
          .and.deep.include({ unknown: [1] })
        expect(reply).to.have.property('fence').that.is.a('string').and.is.not.equal('')
        expect([await bed.used(known), await bed.used(each)]).to.deep.equal([0, 0])
        expect(await bed.store.holdState({ id: 'r1', owner: 'o' })).to.equal(undefined)
      })
    }

    it('are none where nothing is rebuilt, and where calls are held while they run', async () => {
      const running = concurrent({ counter: 'running', isRebuilt: true })
      expect(await bed.outcome('r1', charge({ window: WINDOW }), running)).to.equal('granted')
    })

    it('are listed by a read, at 0', async () => {
      const { statuses, unknown, fence } = await bed.store.read([charge({ counter: 'known' }), rebuilt()])
      expect(unknown).to.deep.equal([1])
      expect(statuses[1]).to.include({ used: 0 })
      expect(fence).to.not.equal('')
    })

    it('are left alone by a settlement, which charges the others', async () => {
      const known = charge({ counter: 'known' })
      const charges = [known, rebuilt()].map((each) => ({ charge: each, actual: 3 }))
      const settle = { id: 'r1', owner: 'o', charges, atMs: START }
      expect(await bed.store.settle(settle)).to.equal('late')
      expect(await bed.store.settle(settle)).to.equal('closed')
      expect([await bed.used(known), await bed.used(rebuilt())]).to.deep.equal([3, 0])
      expect(await bed.outcome('r2', rebuilt())).to.equal('unknown')
    })

    it('are not in a hold that is made again', async () => {
      const known = charge({ counter: 'known', amount: 2 })
      await bed.extend('r1', known, rebuilt({ amount: 2 }))
      const state = await bed.store.holdState({ id: 'r1', owner: 'o' })
      expect(state)
        .to.have.property('held')
        .that.deep.equals([{ owner: 'o', partition: 'tenant=t,key=k', counter: 'known', amount: 2 }])
    })

    it('are not adjusted', async () => {
      expect(await bed.adjust('a1', 'refund', rebuilt(), 3)).to.equal(false)
      expect(await bed.outcome('r1', rebuilt())).to.equal('unknown')
    })

    it('stay unknown while a settlement that was left out may be in their window', async () => {
      const each = sliding({ isRebuilt: true })
      await bed.settle('r1', each, 3)
      bed.clock.advance(MINUTE)
      expect(await bed.outcome('r2', each)).to.equal('unknown')
    })

    it('stay unknown while an adjustment that was left out may be in their window', async () => {
      const each = sliding({ isRebuilt: true })
      expect(await bed.adjust('a1', 'reset', each)).to.equal(false)
      bed.clock.advance(MINUTE)
      expect(await bed.outcome('r1', each)).to.equal('unknown')
    })
  })

  describe('seed', () => {
    const seeded = (each: Charge, says: Partial<SeededCounter>): SeededCounter => {
      return { charge: each, startMs: 0, endMs: null, used: 0, quota: 10, toppedUp: 0, ...says }
    }
    const fixed = (used: number, says: Partial<SeededCounter> = {}): SeededCounter =>
      seeded(rebuilt(), { startMs: WINDOW.startMs, endMs: WINDOW.endMs, used, ...says })
    const given = async (counter: SeededCounter): Promise<void> => {
      expect(await bed.seed({ counters: [counter], fence: await fenceOf(counter.charge) })).to.equal(true)
    }

    it('lets a reservation count on top of what the ledger says', async () => {
      await given(fixed(7))
      expect(await bed.reserved('r1', rebuilt({ amount: 3 }))).to.include({ used: 10, startMs: WINDOW.startMs })
      expect(await bed.outcome('r2', rebuilt())).to.equal('refused')
    })

    it('tells the quota that the bucket began with, and what was topped up', async () => {
      const onChange = { quota: 'next-window', duration: 'now' } as const
      await given(fixed(0, { quota: 6, toppedUp: 2 }))
      expect(await bed.status(rebuilt({ quota: 99, onChange }))).to.include({ quota: 8 })
    })

    it('tells the steps of a sliding window', async () => {
      const each = sliding({ isRebuilt: true })
      const latest = START / 6_000
      const steps = [
        [latest - 11, 50],
        [latest - 10, 4],
        [latest, 3],
      ] as const
      await given(seeded(each, { used: 7, steps }))
      expect(await bed.status(each)).to.include({ used: 7, resetAtMs: START + 6_000 })
      bed.clock.advance(6_000)
      expect(await bed.used(each)).to.equal(3)
    })

    it('tells when a first-use window began', async () => {
      const each = firstUse('restart', { isRebuilt: true })
      await given(seeded(each, { startMs: START - 20_000, endMs: START + 40_000, used: 4 }))
      const status = { used: 4, startMs: START - 20_000, resetAtMs: START + 40_000 }
      expect(await bed.status(each)).to.include(status)
    })

    it('tells that a first-use window has not begun, and what waits for it', async () => {
      const each = firstUse('end', { isRebuilt: true })
      await given(seeded(each, { startMs: null, toppedUp: 5 }))
      bed.clock.advance(1_000)
      expect(await bed.reserved('r1', each)).to.include({ used: 1, quota: 15, startMs: START + 1_000 })
    })

    it('tells that a window has ended for good', async () => {
      const each = firstUse('end', { isRebuilt: true })
      await given(seeded(each, { startMs: START - 2 * MINUTE, endMs: START - MINUTE, used: 1 }))
      expect(await bed.reserved('r1', each)).to.include({ used: 1, tripped: true, roomAtMs: null })
    })

    it('tells what a lifetime quota has left', async () => {
      const each = lifetime({ isRebuilt: true })
      await given(seeded(each, { used: 12, toppedUp: 5 }))
      expect(await bed.reserved('r1', { ...each, amount: 3 })).to.include({ used: 15, quota: 15 })
    })

    it('changes no counter that is known', async () => {
      const fence = await fenceOf(rebuilt(), rebuilt({ counter: 'other' }))
      expect(await bed.seed({ counters: [fixed(7)], fence })).to.equal(true)
      await bed.reserve('r1', rebuilt())
      expect(await bed.seed({ counters: [fixed(2)], fence, closed: ['r2'] })).to.equal(false)
      expect(await bed.used(rebuilt())).to.equal(8)
      // Read by who came too late; not among the units.
      expect(await bed.settle('r2', rebuilt(), 5)).to.equal('late')
    })

    for (const what of ['settled', 'adjusted'] as const) {
      it(`is void where something was ${what} on the counters since`, async () => {
        const fence = await fenceOf(rebuilt())
        if (what === 'settled') await bed.settle('meanwhile', rebuilt(), 2)
        else await bed.adjust('meanwhile', 'refund', rebuilt(), 2)
        expect(await bed.seed({ counters: [fixed(7)], fence })).to.equal(false)
        expect(await bed.outcome('r1', rebuilt())).to.equal('unknown')
        await given(fixed(9))
        expect(await bed.reserved('r1', rebuilt())).to.include({ used: 10 })
      })
    }

    it('closes ids that are among the units', async () => {
      await bed.seed({ counters: [fixed(7)], fence: await fenceOf(rebuilt()), closed: ['r1', 'a1'] })
      expect(await bed.settle('r1', rebuilt(), 5)).to.equal('closed')
      expect(await bed.adjust('a1', 'reset', rebuilt())).to.equal(false)
      expect(await bed.used(rebuilt())).to.equal(7)
    })

    it('closes ids that follow it, without counters', async () => {
      const fence = await fenceOf(rebuilt())
      expect(await bed.seed({ counters: [fixed(7)], fence, closed: ['r2'] })).to.equal(true)
      expect(await bed.seed({ counters: [], fence, closed: ['r1'] })).to.equal(true)
      for (const id of ['r1', 'r2']) expect(await bed.settle(id, rebuilt(), 5)).to.equal('closed')
      expect(await bed.used(rebuilt())).to.equal(7)
    })

    it('knows settlements up to an instant to be among the units', async () => {
      await bed.seed({ counters: [fixed(7)], fence: await fenceOf(rebuilt()), countedUntilMs: START - 1 })
      await bed.settle('before', rebuilt(), 5, START - 1)
      expect(await bed.used(rebuilt())).to.equal(7)
      expect(await bed.settle('after', rebuilt(), 2, START)).to.equal('late')
      expect(await bed.used(rebuilt())).to.equal(9)
    })
  })
}
