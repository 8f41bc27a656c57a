import { MAX_UNITS } from '@tallygate/core'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { charge, MINUTE, START, type ConformanceBed } from './conformance-bed.ts'

/** Decisions: what is granted, what trips, and that a refusal changes nothing. */
export function describeReserving(bed: ConformanceBed): void {
  describe('reserve', () => {
    it('adds charges that fit, and says where they stand', async () => {
      expect(await bed.reserve('r1', charge({ amount: 3 }))).to.deep.equal({
        outcome: 'granted',
        nowMs: START,
        statuses: [{ used: 3, quota: 10, startMs: START, tripped: false, resetAtMs: START + MINUTE, roomAtMs: START }],
      })
      expect(await bed.outcome('r2', charge({ amount: 7 }))).to.equal('granted')
      expect(await bed.used(charge())).to.equal(10)
    })

    it('changes no counter when one of several charges has no room', async () => {
      const roomy = charge({ counter: 'roomy', quota: 100 })
      const full = charge({ counter: 'full', quota: 0 })
      const other = charge({ counter: 'other', partition: 'tenant=t,user=u' })
      expect(await bed.outcome('r1', roomy, full, other)).to.equal('refused')
      for (const each of [roomy, full, other]) expect(await bed.used(each)).to.equal(0)
    })

    it('grants a repeat again and adds nothing', async () => {
      await bed.reserve('r1', charge({ amount: 4 }))
      expect(await bed.outcome('r1', charge({ amount: 4 }))).to.equal('granted')
      expect(await bed.used(charge())).to.equal(4)
    })

    for (const end of ['settled', 'released'] as const) {
      it(`finds an id closed that was ${end}`, async () => {
        await bed.reserve('r1', charge({ amount: 4 }))
        if (end === 'settled') await bed.settle('r1', charge({ amount: 4 }), 2)
        else await bed.release('r1')
        expect(await bed.outcome('r1', charge({ amount: 4 }))).to.equal('closed')
        expect(await bed.used(charge())).to.equal(end === 'settled' ? 2 : 0)
      })
    }

    it('never exceeds a quota under parallel calls, and uses it up', async () => {
      const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => bed.reserve(`r${i}`, charge())))
      expect(replies.filter(({ outcome }) => outcome === 'granted')).to.have.length(10)
      expect(await bed.used(charge())).to.equal(10)
    })

    it('counts without a limit where the quota is null', async () => {
      const limitless = charge({ quota: null, amount: 1_000_000_007 })
      expect(await bed.outcome('r1', limitless)).to.equal('granted')
      expect(await bed.used(limitless)).to.equal(1_000_000_007)
    })

    it('counts up to the largest amount, exactly', async () => {
      const large = charge({ quota: MAX_UNITS, amount: MAX_UNITS - 1 })
      await bed.reserve('r1', large)
      expect(await bed.outcome('r2', { ...large, amount: 2 })).to.equal('refused')
      expect(await bed.outcome('r3', { ...large, amount: 1 })).to.equal('granted')
      expect(await bed.used(large)).to.equal(MAX_UNITS)
    })

    it('keeps partitions and names apart', async () => {
      await bed.reserve('r1', charge({ amount: 10 }))
      expect(await bed.outcome('r2', charge({ counter: 'other' }))).to.equal('granted')
      expect(await bed.outcome('r3', charge({ partition: 'tenant=t,key=other' }))).to.equal('granted')
      expect(await bed.outcome('r4', charge())).to.equal('refused')
    })

    it('tells of a refusal where each counter stands, in the order of the charges', async () => {
      await bed.reserve('r1', charge({ amount: 4 }))
      const full = charge({ counter: 'full', quota: 1, amount: 2 })
      const reply = await bed.reserve('r2', full, charge({ amount: 2 }))
      const edges = { startMs: START, resetAtMs: START + MINUTE }
      expect(reply).to.deep.equal({
        outcome: 'refused',
        nowMs: START,
        statuses: [
          { used: 0, quota: 1, tripped: true, roomAtMs: null, ...edges },
          { used: 4, quota: 10, tripped: false, roomAtMs: START, ...edges },
        ],
      })
    })

    it('grants an amount of 0 where nothing more fits', async () => {
      await bed.reserve('r1', charge({ amount: 10 }))
      expect(await bed.outcome('r2', charge({ amount: 0 }))).to.equal('granted')
    })
  })

  describe('trips', () => {
    const cases = [
      { trip: 'fits', used: 9, amount: 1, outcome: 'granted' },
      { trip: 'fits', used: 9, amount: 2, outcome: 'refused' },
      { trip: 'fits', used: 10, amount: 0, outcome: 'granted' },
      { trip: 'reached', used: 9, amount: 500, outcome: 'granted' },
      { trip: 'reached', used: 10, amount: 1, outcome: 'refused' },
      { trip: 'exceeded', used: 10, amount: 500, outcome: 'granted' },
      { trip: 'exceeded', used: 11, amount: 0, outcome: 'refused' },
    ] as const
    for (const { trip, used: before, amount, outcome } of cases) {
      it(`${trip}: ${before} of 10 used, ${amount} more is ${outcome}`, async () => {
        await bed.reserve('r1', charge({ quota: null, amount: before }))
        expect(await bed.outcome('r2', charge({ trip, amount }))).to.equal(outcome)
      })
    }

    for (const effect of ['flag', 'shadow'] as const) {
      it(`a charge that only ${effect}s trips, passes and goes on counting`, async () => {
        const soft = charge({ quota: 1, amount: 2, effect })
        expect(await bed.reserved('r1', soft)).to.include({ used: 2, tripped: true })
        expect(await bed.outcome('r2', soft)).to.equal('granted')
        expect(await bed.used(soft)).to.equal(4)
      })
    }
  })

  if (bed.has('alternatives')) describeAlternatives(bed)

  describe('read', () => {
    it('changes nothing, however often', async () => {
      for (let reads = 0; reads < 5; reads += 1) expect(await bed.used(charge({ amount: 5 }))).to.equal(0)
      expect(await bed.outcome('r1', charge({ amount: 10 }))).to.equal('granted')
    })

    it('looks at the amount, for whether it trips and when it has room', async () => {
      await bed.reserve('r1', charge({ amount: 8 }))
      const statuses = await Promise.all([2, 3, 11].map((amount) => bed.status(charge({ amount }))))
      expect(statuses.map(({ tripped, roomAtMs }) => [tripped, roomAtMs])).to.deep.equal([
        [false, START],
        [true, START + MINUTE],
        [true, null],
      ])
    })

    it('knows of nothing unknown where no counter is rebuilt', async () => {
      expect(await bed.store.read([charge()]))
        .to.include({ nowMs: START, fence: '' })
        .and.deep.include({ unknown: [] })
    })
  })
}

function describeAlternatives(bed: ConformanceBed): void {
  describe('alternatives', () => {
    it('an alternative with room is enough, and all are charged', async () => {
      const [a, b] = [
        charge({ counter: 'a', quota: 1, alternative: 1 }),
        charge({ counter: 'b', quota: 2, alternative: 2 }),
      ]
      const outcomes = [await bed.reserve('r1', a, b), await bed.reserve('r2', a, b), await bed.reserve('r3', a, b)]
      expect(outcomes.map(({ outcome }) => outcome)).to.deep.equal(['granted', 'granted', 'refused'])
      expect([await bed.used(a), await bed.used(b)]).to.deep.equal([2, 2])
    })

    it('an alternative does not help a charge that must have room', async () => {
      const must = charge({ counter: 'must', quota: 0 })
      expect(await bed.outcome('r1', must, charge({ counter: 'a', alternative: 1 }))).to.equal('refused')
    })

    it('of which one stands for several charges has room where all of these have', async () => {
      const [a, b] = [charge({ counter: 'a', alternative: 1 }), charge({ counter: 'b', quota: 0, alternative: 1 })]
      const c = charge({ counter: 'c', quota: 1, alternative: 2 })
      expect([await bed.outcome('r1', a, b, c), await bed.outcome('r2', a, b, c)]).to.deep.equal(['granted', 'refused'])
      expect([await bed.used(a), await bed.used(b), await bed.used(c)]).to.deep.equal([1, 1, 1])
    })

    it('that only flags has room for all', async () => {
      const [a, b] = [
        charge({ counter: 'a', quota: 0, alternative: 1 }),
        charge({ counter: 'b', quota: 0, alternative: 2, effect: 'flag' }),
      ]
      expect(await bed.outcome('r1', a, b)).to.equal('granted')
    })
  })
}
