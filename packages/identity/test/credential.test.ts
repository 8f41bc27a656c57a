import {
  findCredential,
  withoutKeyProtocol,
  withoutQueryKey,
  type CredentialSearch,
  type Headers,
} from '@tallygate/identity'
import { expect } from 'chai'

const URL = '/v1/models/gemini-2:generateContent'

describe('findCredential', () => {
  const found: readonly { from: string; dialect?: string; headers?: Headers; url?: string; source: string }[] = [
    { from: 'Authorization: Bearer', headers: { authorization: 'Bearer sk-1' }, source: 'authorization' },
    { from: 'bearer in small letters', headers: { authorization: 'bearer sk-1' }, source: 'authorization' },
    { from: 'BEARER in capitals', headers: { authorization: 'BEARER sk-1' }, source: 'authorization' },
    { from: 'Bearer with blanks', headers: { authorization: '  Bearer    sk-1  ' }, source: 'authorization' },
    { from: 'x-api-key', headers: { 'x-api-key': ' sk-1 ' }, source: 'x-api-key' },
    { from: 'api-key', headers: { 'api-key': 'sk-1' }, source: 'api-key' },
    { from: 'x-goog-api-key', headers: { 'x-goog-api-key': 'sk-1' }, source: 'x-goog-api-key' },
    { from: 'a header in a list of one', headers: { 'x-api-key': ['sk-1'] }, source: 'x-api-key' },
    { from: 'key=', dialect: 'gemini', url: `${URL}?alt=sse&key=sk-1`, source: 'query' },
    { from: 'key= in percent code', dialect: 'gemini', url: `${URL}?%6Bey=sk%2D1`, source: 'query' },
    { from: 'key= where no dialect is known', url: `${URL}?key=sk-1`, source: 'query' },
    {
      from: 'a protocol that a browser offers',
      dialect: 'openai',
      headers: { 'sec-websocket-protocol': 'realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1' },
      source: 'subprotocol',
    },
    {
      from: 'a protocol alone, where no dialect is known',
      headers: { 'sec-websocket-protocol': 'openai-insecure-api-key.sk-1' },
      source: 'subprotocol',
    },
  ]
  for (const { from, dialect, headers = {}, url = URL, source } of found) {
    it(`finds a key in ${from}`, () => {
      expect(findCredential({ headers, url }, dialect)).to.deep.equal({ outcome: 'found', value: 'sk-1', source })
    })
  }

  const all = {
    authorization: 'Bearer in-authorization',
    'x-api-key': 'in-x-api-key',
    'api-key': 'in-api-key',
    'x-goog-api-key': 'in-x-goog-api-key',
  }
  const orders: readonly { dialect: string; order: readonly string[] }[] = [
    { dialect: 'openai', order: ['authorization', 'api-key', 'x-api-key', 'x-goog-api-key'] },
    { dialect: 'anthropic', order: ['x-api-key', 'authorization', 'api-key', 'x-goog-api-key'] },
    { dialect: 'gemini', order: ['x-goog-api-key', 'query', 'authorization', 'x-api-key', 'api-key'] },
    { dialect: 'problem', order: ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'query'] },
    { dialect: 'a-new-one', order: ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key', 'query'] },
  ]
  for (const { dialect, order } of orders) {
    it(`goes by the order of ${dialect}: ${order.join(', ')}`, () => {
      const headers: Record<string, string> = { ...all }
      let url = `${URL}?key=in-query`
      const met: string[] = []
      for (
        let search = findCredential({ headers, url }, dialect);
        ;
        search = findCredential({ headers, url }, dialect)
      ) {
        if (search.outcome !== 'found') break
        expect(search.value).to.equal(`in-${search.source}`)
        met.push(search.source)
        if (search.source === 'query') url = URL
        else delete headers[search.source]
      }
      expect(met).to.deep.equal(order)
    })
  }

  for (const dialect of ['openai', 'anthropic']) {
    it(`does not read the query of clients of ${dialect}`, () => {
      expect(findCredential({ headers: {}, url: `${URL}?key=sk-1` }, dialect)).to.deep.equal({ outcome: 'missing' })
    })
  }

  const missing: readonly { what: string; headers?: Headers; url?: string }[] = [
    { what: 'nothing at all' },
    { what: 'another scheme', headers: { authorization: 'Basic dXNlcjpwYXNz' } },
    { what: 'a scheme that only begins as Bearer', headers: { authorization: 'Bearersk-1' } },
    { what: 'a bare key', headers: { authorization: 'sk-1' } },
    { what: 'Bearer and nothing', headers: { authorization: 'Bearer' } },
    { what: 'Bearer and blanks', headers: { authorization: 'Bearer   ' } },
    { what: 'an empty header', headers: { 'x-api-key': '', 'api-key': '  ' } },
    { what: 'an empty list', headers: { 'x-api-key': [] } },
    { what: 'an empty query key', url: `${URL}?key=` },
    { what: 'a query key without a value', url: `${URL}?key` },
    { what: 'protocols that hold no key', headers: { 'sec-websocket-protocol': 'realtime, openai-beta.realtime-v1' } },
    { what: 'a protocol whose key is empty', headers: { 'sec-websocket-protocol': 'openai-insecure-api-key.' } },
    { what: 'another parameter', url: `${URL}?monkey=sk-1&keys=sk-1&KEY=sk-1` },
  ]
  for (const { what, headers = {}, url = URL } of missing) {
    it(`finds none in ${what}`, () => {
      expect(findCredential({ headers, url })).to.deep.equal({ outcome: 'missing' })
      expect(findCredential({ headers, url }, 'gemini')).to.deep.equal({ outcome: 'missing' })
    })
  }

  it('goes on where a place is empty', () => {
    const headers = { 'x-api-key': '', authorization: 'Bearer sk-1' }
    expect(findCredential({ headers, url: URL }, 'anthropic')).to.include({ outcome: 'found', value: 'sk-1' })
  })

  const malformed: readonly { what: string; headers?: Headers; url?: string; source: string }[] = [
    { what: 'a blank within', headers: { 'x-api-key': 'sk 1' }, source: 'x-api-key' },
    { what: 'a letter that no key has', headers: { authorization: 'Bearer schlüssel' }, source: 'authorization' },
    { what: 'a control character', headers: { 'api-key': 'sk\u00001' }, source: 'api-key' },
    { what: 'a list of two', headers: { 'x-api-key': ['sk-1', 'sk-2'] }, source: 'x-api-key' },
    { what: 'two in one line', headers: { 'x-api-key': 'sk-1, sk-2' }, source: 'x-api-key' },
    { what: 'Bearer twice', headers: { authorization: 'Bearer sk-1, Bearer sk-2' }, source: 'authorization' },
    { what: 'too many characters', headers: { 'x-api-key': 'k'.repeat(4_097) }, source: 'x-api-key' },
    { what: 'a query key that is no text', url: `${URL}?key=%00`, source: 'query' },
    {
      what: 'protocols that hold two keys',
      headers: { 'sec-websocket-protocol': 'openai-insecure-api-key.sk-1, openai-insecure-api-key.sk-2' },
      source: 'subprotocol',
    },
    { what: 'query keys that differ', url: `${URL}?key=sk-1&key=sk-2`, source: 'query' },
  ]
  for (const { what, headers = {}, url = URL, source } of malformed) {
    it(`calls ${what} malformed, also where another place has a key`, () => {
      const wrong: CredentialSearch = findCredential({ headers, url })
      expect(wrong).to.deep.equal({ outcome: 'malformed', source })
      const isLast = source === 'query' || source === 'subprotocol'
      const beside = { 'x-goog-api-key': isLast ? undefined : 'sk-9', ...headers }
      expect(findCredential({ headers: beside, url })).to.deep.equal(wrong)
    })
  }

  it('takes the longest key, and one with every character a key can have', () => {
    const visible = Array.from({ length: 94 }, (_, index) => String.fromCharCode(0x21 + index)).join('')
    for (const key of ['k'.repeat(4_096), visible]) {
      const search = findCredential({ headers: { 'x-api-key': key }, url: URL })
      expect(search).to.include({ outcome: 'found', value: key })
    }
  })

  it('survives percent code that is broken', () => {
    expect(findCredential({ headers: {}, url: `${URL}?%E0%A4=1&key=sk%` })).to.include({ value: 'sk%' })
  })
})

describe('withoutQueryKey', () => {
  for (const { url, kept } of [
    { url: '/v1/models', kept: '/v1/models' },
    { url: '/v1/models?key=sk-1', kept: '/v1/models' },
    { url: '/v1/models?alt=sse&key=sk-1', kept: '/v1/models?alt=sse' },
    { url: '/v1/models?key=sk-1&alt=sse&key=sk-2', kept: '/v1/models?alt=sse' },
    { url: '/v1/models?%6bey=sk-1&alt=%20a+b', kept: '/v1/models?alt=%20a+b' },
    { url: '/v1/models?key', kept: '/v1/models' },
    { url: '/v1/models?keys=1&monkey=2&KEY=3', kept: '/v1/models?keys=1&monkey=2&KEY=3' },
    { url: '/v1/key=sk-1?a', kept: '/v1/key=sk-1?a' },
  ]) {
    it(`makes ${kept} of ${url}`, () => expect(withoutQueryKey(url)).to.equal(kept))
  }
})

describe('withoutKeyProtocol', () => {
  for (const [offered, kept] of [
    ['realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1', 'realtime, openai-beta.realtime-v1'],
    ['realtime,openai-insecure-api-key.sk-1,openai-insecure-api-key.sk-2', 'realtime'],
    ['realtime', 'realtime'],
    ['openai-insecure-api-key.sk-1', undefined],
    [' , ', undefined],
  ] as const) {
    it(`leaves ${kept} of ${offered}`, () => {
      expect(withoutKeyProtocol(offered)).to.equal(kept)
    })
  }
})
