import { runs } from '@tallygate/testkit'
import { RecentCache } from '@tallygate/identity'
import { expect } from 'chai'
import fc from 'fast-check'

describe('RecentCache', () => {
  it('keeps as many entries as its size at least: those that were set or asked for last', () => {
    const step = fc.record({ key: fc.nat(9), isSet: fc.boolean() })
    const property = fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step), (size, steps) => {
      const cache = new RecentCache<number, string>(size)
      const touched: number[] = []
      const latest = new Map<number, string>()
      for (const [index, { key, isSet }] of steps.entries()) {
        const value = cache.get(key)
        if (touched.slice(-size).includes(key)) expect(value).to.equal(latest.get(key))
        expect([undefined, latest.get(key)]).to.include(value)
        if (isSet) {
          latest.set(key, `value ${index}`)
          cache.set(key, `value ${index}`)
        }
        if (!isSet && value === undefined) continue
        touched.splice(0, touched.length, ...touched.filter((each) => each !== key), key)
      }
    })
    fc.assert(property, { numRuns: runs(500) })
  })

  it('keeps no more than twice its size', () => {
    const cache = new RecentCache<number, string>(10)
    for (let key = 0; key < 10_000; key += 1) cache.set(key, 'value')
    expect(cache.get(9_999)).to.equal('value')
    expect(cache.get(9_979)).to.equal(undefined)
    const least = new RecentCache<string, number>(1)
    for (const [index, key] of ['a', 'b', 'c'].entries()) least.set(key, index)
    expect(['c', 'b', 'a'].map((key) => least.get(key))).to.deep.equal([2, 1, undefined])
  })
})
