import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { SlotMap } from '../src/slot-map.ts'

describe('SlotMap', () => {
  it('does what a Map does, whatever is set and deleted', () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd', '__proto__')
    const step = fc.oneof(
      fc.record({ set: key, value: fc.option(fc.nat(), { nil: undefined }) }),
      fc.record({ delete: key }),
    )
    const property = fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const slots = new SlotMap<number | undefined>()
      const map = new Map<string, number | undefined>()
      for (const step of steps) {
        if ('delete' in step) {
          slots.delete(step.delete)
          map.delete(step.delete)
        } else {
          slots.set(step.set, step.value)
          map.set(step.set, step.value)
        }
        expect([...slots]).to.deep.equal([...map])
        expect(slots.size).to.equal(map.size)
        const [first] = map
        expect(slots.first()).to.deep.equal(first && { key: first[0], value: first[1] })
        for (const name of ['a', '__proto__', 'constructor']) {
          expect(slots.has(name)).to.equal(map.has(name))
          expect(slots.get(name)).to.equal(map.get(name))
        }
      }
    })
    fc.assert(property, { numRuns: runs(300) })
  })

  it('lets what it passes be deleted while it is walked', () => {
    const slots = new SlotMap<number>()
    for (const [index, key] of ['a', 'b', 'c'].entries()) slots.set(key, index)
    const seen: string[] = []
    for (const [key] of slots) {
      seen.push(key)
      slots.delete(key)
    }
    expect([seen, slots.size]).to.deep.equal([['a', 'b', 'c'], 0])
  })
})
