import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { IdTable } from '../src/id-table.ts'

const FOR = 100
const NOBODY = { delete: (): void => {} }

describe('IdTable', () => {
  it('does what a Map does, whatever is added, opened, closed and forgotten', () => {
    const long = fc.tuple(fc.constantFrom(40, 43, 44, 45, 127), fc.constantFrom('', 'x', 'y', 'ä', '🙂', '\ud800'))
    const id = fc.oneof(
      fc.constantFrom('', 'a', 'b', '\0', 'a\0', '__proto__', 'constructor', 'ä🙂', '\ud800', '\udc00', '\ufffd'),
      fc.nat(40).map(String),
      long.map(([length, end]) => `${'a'.repeat(length)}${end}`),
      long.map(([length, start]) => `${start}${'a'.repeat(length)}`),
    )
    const step = fc.record({ what: fc.constantFrom('open', 'close', 'wait'), id, value: fc.nat(9) })
    const property = fc.property(fc.array(step, { minLength: 1, maxLength: 200 }), (steps) => {
      const table = new IdTable(FOR)
      const map = new Map<string, { value: number; forgetAtMs: number }>()
      let nowMs = 0
      for (const { what, id, value } of steps) {
        const entry = table.find(id)
        expect(table.valueOf(entry)).to.equal(map.get(id)?.value)
        if (what === 'open') {
          table.open(entry === -1 ? table.add(id, value) : entry, value)
          map.set(id, { value, forgetAtMs: Infinity })
        } else if (what === 'close') {
          table.close(entry === -1 ? table.add(id, 0) : entry, -1 - value, nowMs)
          map.set(id, { value: -1 - value, forgetAtMs: nowMs + FOR })
        } else {
          nowMs += value * 10
          // Twice: one that was closed again while it waited goes to the end of those that wait.
          for (let round = 0; round < 2; round += 1) table.forget(nowMs, 1_000, 0, NOBODY)
          for (const [known, { forgetAtMs }] of map)
            if (table.find(known) === -1 && forgetAtMs <= nowMs) map.delete(known)
        }
        expect(table.size).to.equal(map.size)
      }
      nowMs += 3 * FOR
      for (let round = 0; round < 2; round += 1) table.forget(nowMs, 1_000, 0, NOBODY)
      for (const [known, { value }] of map)
        expect(table.valueOf(table.find(known))).to.equal(value < 0 ? undefined : value)
    })
    fc.assert(property, { numRuns: runs(300) })
  })

  it('holds many, forgets them a few at a time, and uses their places again', () => {
    const table = new IdTable(FOR)
    for (let round = 0; round < 3; round += 1) {
      for (let i = 0; i < 10_000; i += 1) close(table, `${round}-${i}`, -1, round * FOR)
      expect(table.size).to.equal(10_000)
      expect(table.valueOf(table.find(`${round}-9999`))).to.equal(-1)
      table.forget((round + 1) * FOR - 1, 10_000, 0, NOBODY)
      expect(table.size).to.equal(10_000)
      table.forget((round + 1) * FOR, 4, 0, NOBODY)
      expect(table.size).to.equal(9_996)
      table.forget((round + 1) * FOR, 10_000, 0, NOBODY)
      expect(table.size).to.equal(0)
      expect(table.find(`${round}-9999`)).to.equal(-1)
    }
    table.find('again')
    expect(table.add('again', 7)).to.be.below(10_000)
  })

  it('finds all others while some are forgotten, however they had to give way to each other', () => {
    const table = new IdTable(FOR)
    const ids = Array.from({ length: 500 }, (_, index) => `call-${index}`)
    // In an order of their own, so that what is forgotten lies between what stays.
    const order = ids.toSorted((one, other) => ((one.charCodeAt(6) || 0) < (other.charCodeAt(6) || 0) ? -1 : 1))
    for (const id of ids) {
      table.find(id)
      table.add(id, 1)
    }
    for (const [index, id] of order.entries()) table.close(table.find(id), -1, index)
    for (let gone = 1; gone <= order.length; gone += 1) {
      table.forget(FOR + gone - 1, 1, 0, NOBODY)
      for (const [index, id] of order.entries()) {
        if (table.valueOf(table.find(id)) !== (index < gone ? undefined : -1)) expect.fail(`${id} after ${gone}`)
      }
    }
  })

  const kept = [
    { what: 'no characters', id: '' },
    { what: 'a UUID', id: '01936b2e-0000-7000-8000-00000000beef' },
    { what: '44 characters', id: 'x'.repeat(44) },
    { what: '45 characters', id: 'x'.repeat(45) },
    { what: 'a letter of two bytes, and as many bytes as there is room for', id: `ä${'x'.repeat(43)}` },
    { what: 'half a letter', id: '\ud800' },
    { what: 'nothing that can be seen', id: 'a\0\n' },
  ]

  for (const { what, id } of kept) {
    it(`gives back an id of ${what} as it was, also after others were added and forgotten`, () => {
      const table = new IdTable(FOR)
      close(table, `${id.slice(0, -1)}?`, -1, 0)
      table.find(id)
      const entry = table.add(id, 5)
      for (let i = 0; i < 5_000; i += 1) close(table, `${i}${id}`, -1, 0)
      expect(table.idOf(entry)).to.equal(id)
      expect(table.find(id)).to.equal(entry)
      table.forget(FOR, 10_000, 0, NOBODY)
      for (let i = 0; i < 5_000; i += 1) close(table, `again ${i}`, -1, FOR)
      expect(table.idOf(entry)).to.equal(id)
      expect(table.find(`${id}?`)).to.equal(-1)
      expect(table.find(id)).to.equal(entry)
    })
  }

  it('tells which of those that it forgets had a number', () => {
    const table = new IdTable(FOR)
    for (const [id, value] of Object.entries({ a: -1, b: -2, c: -3, d: -2 })) close(table, id, value, 0)
    const told: string[] = []
    table.forget(FOR, 10, -2, { delete: (id) => void told.push(id) })
    expect(told).to.deep.equal(['b', 'd'])
  })
})

function close(table: IdTable, id: string, value: number, nowMs: number): void {
  expect(table.find(id)).to.equal(-1)
  table.close(table.add(id, 0), value, nowMs)
}
