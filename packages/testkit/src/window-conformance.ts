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

/** Each kind of window that the store has. */
export function describeWindows(bed: ConformanceBed): void {
  describeFixed(bed)
  if (bed.has('sliding')) describeSliding(bed)
  if (bed.has('first-use')) describeFirstUse(bed)
  if (bed.has('lifetime')) describeLifetime(bed)
  if (bed.has('concurrent')) describeConcurrent(bed)
}

function describeFixed(bed: ConformanceBed): void {
  describe('fixed windows', () => {
    it('pick the bucket that the store is in, of the two that are sent', async () => {
      const sent = charge({ amount: 10 })
      await bed.reserve('r1', sent)
      bed.clock.advance(MINUTE)
      expect(await bed.outcome('r2', sent)).to.equal('granted')
      expect(await bed.status(sent)).to.include({ used: 10, resetAtMs: START + 2 * MINUTE })
    })

    for (const { when, byMs } of [
      { when: 'after the second bucket', byMs: 2 * MINUTE },
      { when: 'before the first', byMs: -1 },
    ]) {
      it(`answer stale ${when}, and count nothing`, async () => {
        bed.clock.advance(byMs)
        const reply = await bed.reserve('r1', charge({ window: minuteAt(START) }))
        expect(reply).to.deep.equal({ outcome: 'stale', nowMs: START + byMs })
        expect(await bed.used(charge({ window: minuteAt(bed.clock.now()) }))).to.equal(0)
      })
    }

    it('say when there is room: at the end, or never for too much', async () => {
      await bed.reserve('r1', charge({ amount: 9 }))
      expect(await bed.reserved('r2', charge({ amount: 2 }))).to.include({
        tripped: true,
        roomAtMs: START + MINUTE,
      })
      expect(await bed.reserved('r3', charge({ amount: 11 }))).to.include({ tripped: true, roomAtMs: null })
    })

    if (bed.has('next-window')) {
      it('keep the quota they began with where a change waits for the next window', async () => {
        const onChange = { quota: 'next-window', duration: 'now' } as const
        await bed.reserve('r1', charge({ quota: 2, onChange }))
        const raised = charge({ quota: 5, amount: 2, onChange })
        expect(await bed.outcome('r2', raised)).to.equal('refused')
        bed.clock.advance(MINUTE)
        expect(await bed.outcome('r3', { ...raised, window: minuteAt(bed.clock.now()) })).to.equal('granted')
      })
    }

    it('take a changed quota at once otherwise', async () => {
      await bed.reserve('r1', charge({ quota: 2, amount: 2 }))
      expect(await bed.outcome('r2', charge({ quota: 3 }))).to.equal('granted')
      expect(await bed.outcome('r3', charge({ quota: 2 }))).to.equal('refused')
    })

    if (bed.has('next-window')) {
      it('last as long as they began where a changed duration waits for the next window', async () => {
        const onChange = { quota: 'now', duration: 'next-window' } as const
        await bed.reserve('r1', charge({ amount: 10, onChange }))
        const hour = {
          kind: 'fixed',
          startMs: START,
          endMs: START + 60 * MINUTE,
          nextEndMs: START + 120 * MINUTE,
        } as const
        expect(await bed.status(charge({ window: hour, onChange }))).to.include({
          resetAtMs: START + MINUTE,
        })
        bed.clock.advance(MINUTE)
        const half = {
          kind: 'fixed',
          startMs: START - MINUTE,
          endMs: START + 60 * MINUTE,
          nextEndMs: START + 120 * MINUTE,
        } as const
        expect(await bed.outcome('r2', charge({ window: half, onChange }))).to.equal('granted')
      })
    }

    it('go on where only their end changes, and begin anew where their start does', async () => {
      await bed.reserve('r1', charge({ amount: 4 }))
      const longer = { kind: 'fixed', startMs: START, endMs: START + 90_000, nextEndMs: START + 180_000 } as const
      expect(await bed.status(charge({ window: longer }))).to.include({ used: 4, resetAtMs: START + 90_000 })
      const other = { ...longer, startMs: START - 30_000 } as const
      expect(await bed.status(charge({ window: other }))).to.include({ used: 0, startMs: START - 30_000 })
    })

    if (bed.has('next-window')) {
      it('that are over stay so, though a longer one begins where they did', async () => {
        await bed.reserve('r1', charge({ amount: 4 }))
        bed.clock.advance(MINUTE)
        const longer = { kind: 'fixed', startMs: START, endMs: START + 90_000, nextEndMs: START + 180_000 } as const
        expect(await bed.reserved('r2', charge({ window: longer, amount: 3 }))).to.include({ used: 3 })
      })
    }
  })
}

function describeSliding(bed: ConformanceBed): void {
  describe('sliding windows', () => {
    it('count the oldest bucket whole, and let it go a bucket later', async () => {
      await bed.reserve('r1', sliding({ amount: 10 }))
      bed.clock.advance(MINUTE + 5_999)
      expect(await bed.outcome('r2', sliding())).to.equal('refused')
      bed.clock.advance(1)
      expect(await bed.outcome('r3', sliding())).to.equal('granted')
    })

    it('say when enough of what was used will have left', async () => {
      await bed.reserve('r1', sliding({ amount: 4 }))
      bed.clock.advance(12_000)
      await bed.reserve('r2', sliding({ amount: 6 }))
      const [first, second] = [START + 66_000, START + 78_000]
      expect(await bed.reserved('r3', sliding({ amount: 4 }))).to.include({
        roomAtMs: first,
        resetAtMs: first,
      })
      expect(await bed.reserved('r4', sliding({ amount: 5 }))).to.include({ roomAtMs: second })
    })

    it('give a surplus back to the bucket it was reserved in', async () => {
      await bed.reserve('r1', sliding({ amount: 8 }))
      bed.clock.advance(18_000)
      await bed.reserve('r2', sliding({ amount: 2 }))
      await bed.settle('r1', sliding({ amount: 8 }), 3)
      expect(await bed.used(sliding())).to.equal(5)
      bed.clock.advance(48_000)
      expect(await bed.used(sliding())).to.equal(2)
    })

    it('charge an excess to the bucket of settlement', async () => {
      await bed.reserve('r1', sliding({ amount: 1 }))
      bed.clock.advance(18_000)
      await bed.settle('r1', sliding({ amount: 1 }), 5)
      bed.clock.advance(48_000)
      expect(await bed.used(sliding())).to.equal(4)
    })

    it('begin anew with another number of buckets', async () => {
      await bed.reserve('r1', sliding({ amount: 10 }))
      const finer = sliding({ window: { kind: 'sliding', bucketMs: 1_000, buckets: 60 } })
      expect(await bed.outcome('r2', finer)).to.equal('granted')
    })
  })
}

function describeFirstUse(bed: ConformanceBed): void {
  describe('first-use windows', () => {
    it('start at the first use, and start again at the next use after their end', async () => {
      bed.clock.advance(7)
      await bed.reserve('r1', firstUse('restart', { amount: 10 }))
      expect(await bed.status(firstUse('restart'))).to.include({
        used: 10,
        resetAtMs: START + 7 + MINUTE,
      })
      bed.clock.advance(MINUTE - 1)
      expect(await bed.outcome('r2', firstUse('restart'))).to.equal('refused')
      bed.clock.advance(1)
      expect(await bed.outcome('r3', firstUse('restart'))).to.equal('granted')
      expect(await bed.used(firstUse('restart'))).to.equal(1)
    })

    it('that end once never have room again', async () => {
      await bed.reserve('r1', firstUse('end'))
      for (let minutes = 0; minutes < 3; minutes += 1) {
        bed.clock.advance(MINUTE)
        expect(await bed.reserved(`r2-${minutes}`, firstUse('end'))).to.include({
          tripped: true,
          roomAtMs: null,
        })
      }
    })

    it('are not begun by a look, a refusal, or nothing', async () => {
      await bed.reserve('r1', firstUse('restart', { quota: 0 }))
      bed.clock.advance(5_000)
      const now = START + 5_000
      expect(await bed.status(firstUse('restart'))).to.include({ used: 0, startMs: now, resetAtMs: now + MINUTE })
    })

    it('that ended keep what was used, and say no more when they end', async () => {
      await bed.reserve('r1', firstUse('end', { amount: 3 }))
      bed.clock.advance(10 * MINUTE)
      expect(await bed.status(firstUse('end'))).to.include({ used: 3, startMs: START, resetAtMs: null, tripped: true })
    })

    for (const { change, endMs } of [
      { change: 'now', endMs: START + 2 * MINUTE },
      { change: 'next-window', endMs: START + MINUTE },
    ] as const) {
      if (change === 'next-window' && !bed.has('next-window')) continue
      it(`end at ${endMs - START} ms after a minute became two, ${change}`, async () => {
        const onChange = { quota: 'now', duration: change } as const
        await bed.reserve('r1', firstUse('restart', { amount: 4, onChange }))
        const longer = { kind: 'first-use', durationMs: 2 * MINUTE, then: 'restart' } as const
        expect(await bed.reserved('r2', charge({ window: longer, onChange }))).to.include({ used: 5, resetAtMs: endMs })
        bed.clock.advance(MINUTE)
        const left = change === 'now' ? 5 : 0
        expect(await bed.used(charge({ window: longer, onChange }))).to.equal(left)
      })
    }

    it('that are over stay so, though a longer one would reach further', async () => {
      const lasting = (durationMs: number, amount: number): Charge =>
        charge({ window: { kind: 'first-use', durationMs, then: 'restart' }, amount })
      await bed.reserve('attempt-1', lasting(10_000, 4))
      bed.clock.advance(15_000)
      const anew = { used: 3, startMs: START + 15_000 }
      expect(await bed.reserved('attempt-2', lasting(MINUTE, 3))).to.include(anew)
    })

    if (bed.has('next-window')) {
      it('keep the quota they began with where a change waits for the next window', async () => {
        const onChange = { quota: 'next-window', duration: 'now' } as const
        await bed.reserve('r1', firstUse('restart', { quota: 2, onChange }))
        expect(await bed.status(firstUse('restart', { quota: 9, onChange }))).to.include({ quota: 2 })
        bed.clock.advance(MINUTE)
        expect(await bed.status(firstUse('restart', { quota: 9, onChange }))).to.include({ quota: 9, used: 0 })
      })
    }
  })
}

function describeLifetime(bed: ConformanceBed): void {
  describe('lifetime quotas', () => {
    it('never come back', async () => {
      await bed.reserve('r1', lifetime({ amount: 10 }))
      bed.clock.advance(1_000 * 366 * 24 * 60 * MINUTE)
      expect(await bed.reserved('r2', lifetime())).to.include({ used: 10, tripped: true, roomAtMs: null })
    })
  })
}

function describeConcurrent(bed: ConformanceBed): void {
  describe('concurrency', () => {
    it('comes back when a call ends, whatever it used', async () => {
      await bed.reserve('r1', concurrent())
      await bed.reserve('r2', concurrent())
      expect(await bed.outcome('r3', concurrent())).to.equal('refused')
      await bed.settle('r1', concurrent(), 1)
      await bed.release('r2')
      expect(await bed.used(concurrent())).to.equal(0)
    })

    it('has no bucket, and room soon', async () => {
      for (const id of ['r1', 'r2']) await bed.reserve(id, concurrent())
      const refused = await bed.reserved('r3', concurrent())
      expect(refused).to.include({ used: 2, startMs: null, resetAtMs: null, roomAtMs: START + 1_000 })
    })
  })
}
