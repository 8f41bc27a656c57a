import { expect } from 'chai'
import {
  HOUR,
  LIFETIME_WINDOW,
  MINUTE,
  MemoryStoreBed,
  SLIDING,
  START,
  charge,
  firstUse,
  minuteAt,
} from './memory-store-bed.ts'

describe('MemoryCounterStore.adjust', () => {
  let bed: MemoryStoreBed
  beforeEach(() => {
    bed = new MemoryStoreBed()
  })

  it('resets a counter, once for each id', async () => {
    await bed.reserve('r1', charge({ amount: 7 }))
    expect([await bed.adjust('a1', charge({}), 'reset'), await bed.used(charge({}))]).to.deep.equal([true, 0])
    await bed.reserve('r2', charge({ amount: 2 }))
    expect([await bed.adjust('a1', charge({}), 'reset'), await bed.used(charge({}))]).to.deep.equal([false, 2])
  })

  it('gives no surplus back twice where a counter was reset under a hold', async () => {
    await bed.reserve('r1', charge({ amount: 7 }))
    await bed.adjust('a1', charge({}), 'reset')
    await bed.reserve('r2', charge({ amount: 2 }))
    await bed.settle('r1', charge({ amount: 7 }), 6)
    expect(await bed.used(charge({}))).to.equal(1)
    await bed.store.release({ id: 'r2', owner: 'o' })
    expect(await bed.used(charge({}))).to.equal(0)
  })

  for (const { window, left } of [
    { window: minuteAt(START), left: 6 },
    { window: SLIDING, left: 6 },
    { window: firstUse('restart'), left: 6 },
    { window: LIFETIME_WINDOW, left: 6 },
  ]) {
    it(`gives back units of a ${window.kind} window, down to 0`, async () => {
      const mine = charge({ window, amount: 4 })
      await bed.reserve('r1', mine)
      bed.clock.advance(18_000)
      await bed.reserve('r2', mine)
      expect([await bed.adjust('a1', mine, 'refund', 2), await bed.used(mine)]).to.deep.equal([true, left])
      await bed.adjust('a2', mine, 'refund', 99)
      expect(await bed.used(mine)).to.equal(0)
    })
  }

  it('takes a refund of a sliding window from the newest step, as far as it is in the window', async () => {
    const mine = charge({ window: SLIDING, amount: 4 })
    await bed.reserve('r1', mine)
    bed.clock.advance(60_000)
    await bed.reserve('r2', mine)
    await bed.adjust('a1', mine, 'refund', 3)
    expect(await bed.used(mine)).to.equal(5)
    bed.clock.advance(6_000)
    expect(await bed.used(mine)).to.equal(1)
    await bed.adjust('a2', mine, 'refund', 3)
    expect(await bed.used(mine)).to.equal(0)
  })

  for (const window of [minuteAt(START), firstUse('restart'), firstUse('end'), LIFETIME_WINDOW]) {
    it(`tops up the quota of a ${JSON.stringify(window)} window, used or not`, async () => {
      const mine = charge({ window, quota: 3, amount: 5 })
      expect(await bed.adjust('a1', mine, 'top-up', 2)).to.equal(true)
      expect(await bed.status(mine)).to.include({ used: 0, quota: 5 })
      expect(await bed.reserve('r1', mine)).to.equal('granted')
      await bed.adjust('a2', mine, 'top-up', 1)
      expect(await bed.status(mine)).to.include({ used: 5, quota: 6 })
    })
  }

  it('keeps a top-up before the first use for as long as it takes, and for that window alone', async () => {
    const mine = charge({ window: firstUse('restart'), quota: 3, amount: 5 })
    await bed.adjust('a1', mine, 'top-up', 2)
    bed.clock.advance(9 * HOUR)
    expect(await bed.reserve('r1', mine)).to.equal('granted')
    expect(await bed.status(mine)).to.include({ startMs: START + 9 * HOUR, quota: 5 })
    bed.clock.advance(MINUTE)
    expect(await bed.status(mine)).to.include({ used: 0, quota: 3 })
  })

  it('ends a top-up with its bucket, but for lifetime', async () => {
    const mine = charge({})
    await bed.adjust('a1', mine, 'top-up', 5)
    await bed.adjust('a2', charge({ window: LIFETIME_WINDOW, counter: 'life' }), 'top-up', 5)
    bed.clock.advance(MINUTE)
    expect(await bed.status(charge({ window: minuteAt(bed.clock.now()) }))).to.include({ quota: 10 })
    expect(await bed.status(charge({ window: LIFETIME_WINDOW, counter: 'life' }))).to.include({ quota: 15 })
  })

  it('leaves the current bucket alone where it tops up one that is over', async () => {
    const later = charge({ window: minuteAt(START + MINUTE), amount: 4 })
    bed.clock.advance(MINUTE)
    await bed.reserve('r1', later)
    expect(await bed.adjust('a1', charge({}), 'top-up', 5, START)).to.equal(true)
    expect(await bed.status(later)).to.include({ used: 4, quota: 10 })
  })

  it('lets a first-use window begin anew after a reset, with what was topped up', async () => {
    for (const then of ['restart', 'end'] as const) {
      const mine = charge({ counter: then, window: firstUse(then), amount: 4 })
      await bed.reserve(`r1-${then}`, mine)
      await bed.adjust(`a1-${then}`, mine, 'top-up', 5)
      bed.clock.advance(MINUTE / 2)
      await bed.adjust(`a2-${then}`, mine, 'reset')
      expect(await bed.status(mine)).to.include({ used: 0, quota: 15 })
      bed.clock.advance(MINUTE / 4)
      await bed.reserve(`r2-${then}`, mine)
      expect(await bed.status(mine)).to.include({ startMs: bed.clock.now(), used: 4, quota: 15 })
    }
  })

  it('lets one that has ended for good begin again by a reset', async () => {
    const mine = charge({ window: firstUse('end') })
    await bed.reserve('r1', mine)
    bed.clock.advance(MINUTE)
    expect(await bed.reserve('r2', mine)).to.equal('refused')
    await bed.adjust('a1', mine, 'reset')
    expect(await bed.reserve('r3', mine)).to.equal('granted')
  })

  it('brings no top-up of a window back that is over, by resetting it', async () => {
    const mine = charge({ window: firstUse('restart') })
    await bed.reserve('r1', mine)
    await bed.adjust('a1', mine, 'top-up', 5)
    bed.clock.advance(MINUTE)
    await bed.adjust('a2', mine, 'reset')
    expect(await bed.status(mine)).to.include({ quota: 10 })
  })

  for (const window of [SLIDING, { kind: 'concurrent' } as const]) {
    it(`says of a ${window.kind} window that it can't be topped up`, () => {
      expect(() =>
        bed.store.adjust({ id: 'a', charge: charge({ window }), adjustment: 'top-up', amount: 1, atMs: START }),
      ).to.throw(`plan/limit is a ${window.kind} window, which can't be topped up`)
    })
  }
})
