import { expect } from 'chai'
import fc from 'fast-check'
import { RecentIds } from '../src/recent-ids.ts'

const FOR = 100

describe('RecentIds', () => {
  it('remembers an id for its time at least, and for less than twice as long where it is told the time', () => {
    const property = fc.property(fc.nat(1_000), fc.integer({ min: 1, max: 30 }), (addedAtMs, stepMs) => {
      const ids = new RecentIds(FOR)
      for (let nowMs = 0; nowMs <= addedAtMs; nowMs += stepMs) ids.tick(nowMs)
      ids.tick(addedAtMs)
      ids.add('a')
      let nowMs = addedAtMs
      while (ids.has('a')) ids.tick((nowMs += 1))
      expect(nowMs - addedAtMs).to.be.within(FOR, 2 * FOR)
    })
    fc.assert(property)
  })

  it('tells each id once when it forgets it', () => {
    const ids = new RecentIds(FOR)
    ids.tick(0)
    ids.add('a')
    const forgotten = [50, 100, 150, 200, 250, 300, 400].flatMap((atMs) => [...(ids.tick(atMs) ?? [])])
    expect(forgotten).to.deep.equal(['a'])
  })

  it('forgets at once what is deleted, of either generation', () => {
    const ids = new RecentIds(FOR)
    ids.tick(0)
    ids.add('old')
    ids.tick(FOR)
    ids.add('young')
    for (const id of ['old', 'young']) {
      expect(ids.has(id)).to.equal(true)
      ids.delete(id)
      expect(ids.has(id)).to.equal(false)
    }
    expect(ids.tick(2 * FOR)).to.equal(undefined)
  })
})
