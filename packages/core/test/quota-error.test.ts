import { isQuotaError, QuotaError } from '@tallygate/core'
import { expect } from 'chai'

describe('QuotaError', () => {
  it('carries its code, its message and its cause', () => {
    const cause = new Error('socket closed')
    const error = new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'the store is away', { cause })
    expect(error).to.be.instanceOf(Error)
    expect(error).to.include({
      name: 'QuotaError',
      code: 'ERR_QUOTA_STORE_UNAVAILABLE',
      message: 'the store is away',
      cause,
    })
    expect(String(error)).to.equal('QuotaError: the store is away')
    expect(new QuotaError('ERR_QUOTA_STALE', 'm')).to.not.have.property('cause')
  })
})

describe('isQuotaError', () => {
  const error = new QuotaError('ERR_QUOTA_QUERY', 'm')
  /** As another copy of the package makes them. */
  const foreign = Object.assign(new Error('m'), { name: 'QuotaError', code: 'ERR_QUOTA_QUERY' })

  for (const [what, each] of Object.entries({ 'its own': error, "another copy's": foreign })) {
    it(`knows ${what}, and tells codes apart`, () => {
      expect(isQuotaError(each)).to.equal(true)
      expect(isQuotaError(each, 'ERR_QUOTA_QUERY')).to.equal(true)
      expect(isQuotaError(each, 'ERR_QUOTA_STALE')).to.equal(false)
    })
  }

  const others = {
    'another error': new Error('m'),
    'an object that looks like one': { name: 'QuotaError', code: 'ERR_QUOTA_QUERY' },
    'a text': 'QuotaError',
    null: null,
    undefined,
  }
  for (const [what, other] of Object.entries(others)) {
    it(`knows ${what} for none`, () => expect(isQuotaError(other)).to.equal(false))
  }
})
