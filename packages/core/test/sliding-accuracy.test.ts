import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import { ARRIVALS, LOADS, QUOTA, slidingAccuracy } from './sliding-accuracy.ts'

/** A million arrivals in all. */
const COUNT = Math.ceil(1_000_000 / (ARRIVALS.length * LOADS.length * 2))

describe('a sliding window', function () {
  this.timeout(runs(60_000))
  for (const buckets of [10, 60]) {
    for (const arrivals of ARRIVALS) {
      it(`of ${buckets} steps admits no more than an exact log, and refuses 1/${buckets} of the window longer: ${arrivals}`, async () => {
        for (const load of LOADS) {
          const trial = { arrivals, load, buckets, count: runs(COUNT), seed: Math.floor(Math.random() * 2 ** 31) }
          const { most, refused, tooMany, longestShare } = await slidingAccuracy(trial)
          const told = JSON.stringify(trial)
          expect(most, told).to.be.at.most(QUOTA)
          expect(longestShare, told).to.be.below(1 / buckets)
          if (load < 1) continue
          expect(most, `${told}: the quota was not used up`).to.be.at.least(QUOTA - 9)
          expect(refused, `${told}: nothing was refused`).to.be.above(0)
          expect(refused, told).to.be.at.least(tooMany)
        }
      })
    }
  }
})
