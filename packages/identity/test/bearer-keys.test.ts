import { isQuotaError } from '@tallygate/core'
import { bearerKeys, type Headers } from '@tallygate/identity'
import { expect } from 'chai'

const [FIRST, SECOND] = ['first-key-of-an-administrator', 'second-key-of-an-administrator'] as const

describe('bearerKeys', () => {
  const isAdministrator = bearerKeys([FIRST, SECOND])
  const cases: readonly { of: string; headers: Headers; is: boolean }[] = [
    { of: 'the first key', headers: { authorization: `Bearer ${FIRST}` }, is: true },
    { of: 'the second key', headers: { authorization: `Bearer ${SECOND}` }, is: true },
    { of: 'bearer in small letters, with blanks', headers: { authorization: `bearer   ${FIRST}  ` }, is: true },
    { of: 'no header', headers: {}, is: false },
    { of: 'an empty header', headers: { authorization: '' }, is: false },
    { of: 'Bearer and nothing', headers: { authorization: 'Bearer ' }, is: false },
    { of: 'a part of a key', headers: { authorization: `Bearer ${FIRST.slice(0, -1)}` }, is: false },
    { of: 'more than a key', headers: { authorization: `Bearer ${FIRST}x` }, is: false },
    { of: 'a key in capitals', headers: { authorization: `Bearer ${FIRST.toUpperCase()}` }, is: false },
    { of: 'two keys', headers: { authorization: `Bearer ${FIRST} ${SECOND}` }, is: false },
    { of: 'two headers', headers: { authorization: [`Bearer ${FIRST}`, `Bearer ${SECOND}`] }, is: false },
    { of: 'another scheme', headers: { authorization: `Basic ${FIRST}` }, is: false },
    { of: 'a bare key', headers: { authorization: FIRST }, is: false },
    { of: 'another header', headers: { 'x-api-key': FIRST }, is: false },
    { of: 'Bearer undefined', headers: { authorization: 'Bearer undefined' }, is: false },
  ]
  for (const { of, headers, is } of cases) {
    it(`says ${is ? 'yes' : 'no'} to ${of}`, () => expect(isAdministrator(headers)).to.equal(is))
  }

  it('takes a key of 16 characters, and none of 15', () => {
    expect(bearerKeys(['0123456789abcdef'])({ authorization: 'Bearer 0123456789abcdef' })).to.equal(true)
    expect(() => bearerKeys(['0123456789abcde'])).to.throw('at least 16 characters')
  })

  const bad: readonly { what: string; keys: readonly string[]; says: RegExp }[] = [
    { what: 'no keys', keys: [], says: /at least 16 characters/ },
    { what: 'a short key among others', keys: [FIRST, 'short-secret'], says: /at least 16 characters/ },
    { what: 'the line break of a file', keys: [`${FIRST}\n`], says: /blanks or characters that no header can carry/ },
    { what: 'words with blanks', keys: ['correct horse battery staple'], says: /blanks or characters/ },
    { what: 'letters that no header carries', keys: ['schlüssel-des-verwalters'], says: /visible ASCII/ },
  ]
  for (const { what, keys, says } of bad) {
    it(`refuses ${what} when it is made, and does not repeat the key`, () => {
      let caught: unknown
      try {
        bearerKeys(keys)
      } catch (error) {
        caught = error
      }
      if (!isQuotaError(caught, 'ERR_QUOTA_CONFIG')) throw new Error('it was taken', { cause: caught })
      expect(caught.message).to.match(says)
      for (const key of keys) expect(caught.message).to.not.include(key.trim())
    })
  }
})
