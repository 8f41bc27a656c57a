import { decimalText, dollars, moneyText, reportedNanos } from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

describe('dollars', () => {
  for (const [amount, nanos] of [
    [5, 5_000_000_000],
    ['5', 5_000_000_000],
    [0.25, 250_000_000],
    ['0.000000001', 1],
    [0.1, 100_000_000],
    [4_000_000, 4_000_000_000_000_000],
    [0, 0],
  ] as const)
    it(`makes ${JSON.stringify(amount)} ${nanos} nanos`, () => expect(dollars(amount)).to.equal(nanos))

  for (const amount of [-1, Number.NaN, Infinity, 4_000_001, '4000000.1', 1e-10, '1.0000000001', '', 'x', '1e3', ' 1'])
    it(`refuses ${JSON.stringify(amount)}`, () => {
      expect(() => dollars(amount)).to.throw(/use a number from 0 to 4000000/)
    })

  it('is undone by decimalText, for any amount', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000_000_000 }), (nanos) => {
        expect(dollars(decimalText(nanos))).to.equal(nanos)
      }),
    )
  })
})

describe('moneyText', () => {
  for (const [nanos, text] of [
    [5_000_000_000, '$5.00'],
    [420_000_000, '$0.42'],
    [150_000, '$0.00015'],
    [1, '$0.000000001'],
    [-1_100_000_000, '$-1.10'],
  ] as const)
    it(`says ${text}`, () => expect(moneyText(nanos)).to.equal(text))

  it('names another currency', () => expect(moneyText(1_500_000_000, 'EUR')).to.equal('1.50 EUR'))
})

describe('reportedNanos', () => {
  it('takes dollars as providers write them, and rounds up what is finer', () => {
    expect([0.00012, 0, 1e-10, 3].map(reportedNanos)).to.deep.equal([120_000, 0, 1, 3_000_000_000])
  })
  it('takes nothing else', () => {
    expect([undefined, '1', Number.NaN, -1].map(reportedNanos)).to.deep.equal(
      Array.from({ length: 4 }, () => undefined),
    )
  })
})
