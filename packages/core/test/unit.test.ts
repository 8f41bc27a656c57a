import { MAX_UNITS, UNITS, wholeUnits } from '@tallygate/core'
import { expect } from 'chai'

describe('UNITS', () => {
  it('names each unit once', () => expect(new Set(UNITS)).to.have.property('size', UNITS.length))
})

describe('MAX_UNITS', () => {
  it('leaves room to add two amounts and stay exact, also with one more', () => {
    expect(Number.isSafeInteger(2 * MAX_UNITS + 1)).to.equal(true)
    expect(2 * MAX_UNITS + 1).to.not.equal(2 * MAX_UNITS)
  })

  it('is written in full by the number format of Redis scripts', () => {
    expect(MAX_UNITS.toFixed(0)).to.equal('4503599627370495')
  })
})

describe('wholeUnits', () => {
  const cases = [
    { of: 0, is: 0 },
    { of: -0, is: 0 },
    { of: 1, is: 1 },
    { of: 0.000_1, is: 1 },
    { of: 1.5, is: 2 },
    { of: -1, is: 0 },
    { of: -Infinity, is: 0 },
    { of: Number.NaN, is: 0 },
    { of: MAX_UNITS, is: MAX_UNITS },
    { of: MAX_UNITS + 1, is: MAX_UNITS },
    { of: Number.MAX_VALUE, is: MAX_UNITS },
    { of: Infinity, is: MAX_UNITS },
  ]
  for (const { of, is } of cases) {
    it(`of ${of} is ${is}`, () => expect(Object.is(wholeUnits(of), is)).to.equal(true))
  }
})
