import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { HoldTable, type Hold } from '../src/hold-table.ts'

describe('HoldTable', () => {
  it('finds all that is due, of any mixture of lifetimes, and nothing else', () => {
    const lifetime = fc.oneof(fc.constantFrom(10, 20), fc.integer({ min: 1, max: 60 }))
    const step = fc.record({ what: fc.constantFrom('open', 'open', 'extend', 'close', 'wait'), lifetime, of: fc.nat() })
    const property = fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const table = new HoldTable()
      const open: Hold[] = []
      let nowMs = 0
      for (const { what, lifetime, of } of steps) {
        const hold = open[of % open.length]
        if (what === 'open') open.push(table.open('o', '', [], nowMs, lifetime))
        else if (what === 'wait') nowMs += lifetime
        else if (hold !== undefined && what === 'extend') {
          table.extend(hold, nowMs, lifetime)
          expect(hold.expiresAtMs).to.equal(nowMs + lifetime)
        } else if (hold !== undefined) {
          table.close(hold)
          open.splice(open.indexOf(hold), 1)
        }
        if (what !== 'wait') continue
        const due = open.filter(({ expiresAtMs }) => expiresAtMs <= nowMs)
        const found: Hold[] = []
        for (let next = table.due(nowMs); next !== undefined; next = table.due(nowMs)) {
          found.push(next)
          table.close(next)
        }
        expect(found.map(({ index }) => index).sort(byNumber)).to.deep.equal(
          due.map(({ index }) => index).sort(byNumber),
        )
        for (const gone of found) open.splice(open.indexOf(gone), 1)
        expect(table.size).to.equal(open.length)
      }
    })
    fc.assert(property, { numRuns: runs(300) })
  })

  it('uses the records of closed holds again, and lets go of what they held', () => {
    const table = new HoldTable()
    const first = table.open('o', 'context', [], 0, 10)
    table.close(first)
    expect(first).to.include({ owner: '', context: '' })
    expect(table.open('o', '', [], 0, 10)).to.equal(first)
    expect(table.size).to.equal(1)
  })
})

function byNumber(one: number, other: number): number {
  return one - other
}
