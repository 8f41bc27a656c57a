import { fingerprint, pepperOf } from '@tallygate/identity'
import { expect } from 'chai'
import fc from 'fast-check'

const PEPPER = pepperOf('a pepper of this test, long enough')

describe('fingerprint', () => {
  it('stays as it is from release to release: another would split the history of every key', () => {
    expect(fingerprint(PEPPER, 'sk-1')).to.equal('key_8919a8f8feb10319db7c6dd1d911125c')
  })

  it('is the same for the same text, another for another text, and never holds it', () => {
    const property = fc.property(fc.string({ minLength: 1 }), fc.string(), (text, other) => {
      const print = fingerprint(PEPPER, text)
      expect(print).to.match(/^key_[0-9a-f]{32}$/)
      expect(fingerprint(PEPPER, text)).to.equal(print)
      expect(fingerprint(PEPPER, other) === print).to.equal(text === other)
      if (text.length > 8) expect(print).to.not.include(text)
    })
    fc.assert(property)
  })

  it('differs from pepper to pepper', () => {
    const other = pepperOf('a pepper of this test, long enough!')
    expect(fingerprint(other, 'sk-1')).to.not.equal(fingerprint(PEPPER, 'sk-1'))
  })

  it('of one text tells a key, a caller without one and a call apart', () => {
    const prints = (['key', 'anon', 'call'] as const).map((prefix) => fingerprint(PEPPER, 'sk-1', prefix))
    expect(new Set(prints.map((print) => print.split('_')[1]))).to.have.property('size', 3)
    expect(prints.map((print) => print.split('_')[0])).to.deep.equal(['key', 'anon', 'call'])
  })
})
