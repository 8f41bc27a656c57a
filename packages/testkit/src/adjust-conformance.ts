import type { Charge } from '@tallygate/core'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import {
  charge,
  concurrent,
  firstUse,
  lifetime,
  MINUTE,
  minuteAt,
  sliding,
  START,
  type ConformanceBed,
} from './conformance-bed.ts'

/** Changes of counters that are no calls. */
export function describeAdjusting(bed: ConformanceBed): void {
  describeReset(bed)
  describeRefund(bed)
  if (bed.has('top-up')) describeTopUp(bed)
}

/** One of each kind that the store has. */
function kindsOf(bed: ConformanceBed): readonly [kind: string, charge: Charge][] {
  const kinds = [
    ['fixed', charge()],
    ['sliding', sliding()],
    ['first-use', firstUse('restart')],
    ['lifetime', lifetime()],
    ['concurrent', concurrent({ quota: 10 })],
  ] as const
  return kinds.flatMap(([kind, each]) => (kind === 'fixed' || bed.has(kind) ? [[kind, each] as [string, Charge]] : []))
}

function describeReset(bed: ConformanceBed): void {
  describe('reset', () => {
    for (const [kind, each] of kindsOf(bed)) {
      it(`leaves nothing used of a ${kind} counter, once`, async () => {
        await bed.reserve('r1', { ...each, amount: 10 })
        expect(await bed.adjust('a1', 'reset', each)).to.equal(true)
        expect(await bed.used(each)).to.equal(0)
        await bed.reserve('r2', { ...each, amount: 4 })
        expect(await bed.adjust('a1', 'reset', each)).to.equal(false)
        expect(await bed.used(each)).to.equal(4)
      })
    }

    it('gives nothing back twice: what was reserved before is gone', async () => {
      await bed.reserve('r1', charge({ amount: 5 }))
      await bed.adjust('a1', 'reset', charge())
      await bed.release('r1')
      expect(await bed.used(charge())).to.equal(0)
    })

    it('of a counter that was never used does nothing', async () => {
      expect(await bed.adjust('a1', 'reset', charge())).to.equal(true)
      expect(await bed.used(charge())).to.equal(0)
    })

    if (!bed.has('first-use')) return
    it('ends a first-use window for good that only a shorter duration takes for over', async () => {
      const long = firstUse('restart', { window: { kind: 'first-use', durationMs: 2 * MINUTE, then: 'restart' } })
      await bed.reserve('r1', long)
      bed.clock.advance(MINUTE)
      await bed.adjust('a1', 'reset', firstUse('restart'))
      expect(await bed.reserved('r2', long)).to.include({ used: 1, startMs: START + MINUTE })
    })

    for (const then of ['restart', 'end'] as const) {
      it(`lets a first-use window (${then}) begin at its next use`, async () => {
        await bed.reserve('r1', firstUse(then))
        await bed.adjust('a1', 'reset', firstUse(then))
        bed.clock.advance(5_000)
        const begun = { used: 1, startMs: START + 5_000, resetAtMs: START + 5_000 + MINUTE }
        expect(await bed.reserved('r2', firstUse(then))).to.include(begun)
      })
    }

    it('lets a window that ended for good begin again', async () => {
      await bed.reserve('r1', firstUse('end'))
      bed.clock.advance(2 * MINUTE)
      await bed.adjust('a1', 'reset', firstUse('end'))
      expect(await bed.outcome('r2', firstUse('end'))).to.equal('granted')
    })
  })
}

function describeRefund(bed: ConformanceBed): void {
  describe('refund', () => {
    for (const [kind, each] of kindsOf(bed)) {
      it(`gives back units of a ${kind} counter, down to 0, once`, async () => {
        await bed.reserve('r1', { ...each, amount: 5 })
        expect(await bed.adjust('a1', 'refund', each, 3)).to.equal(true)
        expect(await bed.adjust('a1', 'refund', each, 3)).to.equal(false)
        expect(await bed.used(each)).to.equal(2)
        await bed.adjust('a2', 'refund', each, 3)
        expect(await bed.used(each)).to.equal(0)
      })
    }

    it('gives nothing back to a bucket that is over', async () => {
      await bed.reserve('r1', charge({ amount: 5 }))
      bed.clock.advance(MINUTE)
      const later = charge({ window: minuteAt(bed.clock.now()), amount: 4 })
      await bed.adjust('a1', 'refund', later, 3)
      await bed.reserve('r2', later)
      expect(await bed.used(later)).to.equal(4)
    })

    if (!bed.has('sliding')) return
    it('leaves what was used of a window of another kind', async () => {
      await bed.reserve('r1', sliding({ amount: 4 }))
      await bed.adjust('a1', 'refund', charge(), 3)
      expect(await bed.used(sliding())).to.equal(4)
    })

    it('takes the units of the newest steps back, so that those that leave first stay', async () => {
      await bed.reserve('r1', sliding({ amount: 4 }))
      bed.clock.advance(12_000)
      await bed.reserve('r2', sliding({ amount: 3 }))
      bed.clock.advance(6_000)
      await bed.adjust('a1', 'refund', sliding(), 5)
      expect(await bed.status(sliding())).to.include({ used: 2, resetAtMs: START + 66_000 })
      bed.clock.set(START + 66_000)
      expect(await bed.used(sliding())).to.equal(0)
    })
  })
}

function describeTopUp(bed: ConformanceBed): void {
  describe('top-up', () => {
    it('raises the quota of the bucket that is current, once, and not of the next', async () => {
      await bed.reserve('r1', charge({ amount: 10 }))
      expect(await bed.adjust('a1', 'top-up', charge(), 5)).to.equal(true)
      expect(await bed.adjust('a1', 'top-up', charge(), 5)).to.equal(false)
      expect(await bed.reserved('r2', charge({ amount: 5 }))).to.include({ used: 15, quota: 15 })
      bed.clock.advance(MINUTE)
      expect(await bed.status(charge({ window: minuteAt(bed.clock.now()) }))).to.include({ used: 0, quota: 10 })
    })

    it('counts in a bucket that nobody has used yet', async () => {
      await bed.adjust('a1', 'top-up', charge(), 5)
      await bed.adjust('a2', 'top-up', charge(), 2)
      expect(await bed.reserved('r1', charge({ amount: 17 }))).to.include({ used: 17, quota: 17 })
    })

    it('leaves a counter without a limit without one', async () => {
      await bed.adjust('a1', 'top-up', charge({ quota: null }), 5)
      expect(await bed.status(charge({ quota: null }))).to.include({ quota: null })
    })

    it('stays where the quota changes, and where the counter is reset', async () => {
      await bed.adjust('a1', 'top-up', charge(), 5)
      await bed.adjust('a2', 'reset', charge())
      expect(await bed.status(charge({ quota: 20 }))).to.include({ quota: 25 })
    })

    if (bed.has('lifetime')) {
      it('raises a lifetime quota for good', async () => {
        await bed.reserve('r1', lifetime({ amount: 10 }))
        await bed.adjust('a1', 'top-up', lifetime(), 5)
        bed.clock.advance(1_000 * 24 * 60 * MINUTE)
        expect(await bed.reserved('r2', lifetime({ amount: 5 }))).to.include({ used: 15, quota: 15 })
        expect(await bed.outcome('r3', lifetime())).to.equal('refused')
      })
    }

    if (bed.has('first-use')) {
      it('waits for a first-use window to begin, and goes with it', async () => {
        await bed.adjust('a1', 'top-up', firstUse('restart'), 5)
        bed.clock.advance(1_000)
        expect(await bed.reserved('r1', firstUse('restart'))).to.include({ quota: 15, startMs: START + 1_000 })
        bed.clock.advance(MINUTE)
        expect(await bed.status(firstUse('restart'))).to.include({ quota: 10, used: 0 })
      })

      it('of a window that is over does not come back with a reset', async () => {
        await bed.reserve('r1', firstUse('restart'))
        await bed.adjust('a1', 'top-up', firstUse('restart'), 5)
        bed.clock.advance(MINUTE)
        await bed.adjust('a2', 'reset', firstUse('restart'))
        expect(await bed.reserved('r2', firstUse('restart'))).to.include({ quota: 10, used: 1 })
      })
    }

    for (const kind of ['sliding', 'concurrent'] as const) {
      if (!bed.has(kind)) continue
      it(`is refused for a ${kind} window, which has no bucket to hold it`, async () => {
        const each = kind === 'sliding' ? sliding() : concurrent()
        const failure = await bed.adjust('a1', 'top-up', each, 5).catch((error: unknown) => error)
        expect(failure).to.have.property('code', 'ERR_QUOTA_CONFIG')
        expect(String(failure)).to.include('plan/limit')
      })
    }
  })
}
