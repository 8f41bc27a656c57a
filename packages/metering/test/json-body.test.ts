import { parseJsonBody } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'

describe('parseJsonBody', () => {
  const refused: readonly (readonly [what: string, body: string, fault: string])[] = [
    ['nothing', '', 'not-json'],
    ['white space', ' \n', 'not-json'],
    ['an object that breaks off', '{"model":"gpt-4o"', 'not-json'],
    ['two objects', '{}{}', 'not-json'],
    ['a comma at the end', '{"a":1,}', 'not-json'],
    ['a comment', '{"a":1/**/}', 'not-json'],
    ['single quotes', "{'a':1}", 'not-json'],
    ['NaN', '{"a":NaN}', 'not-json'],
    ['a control character in a string', '{"a":"\n"}', 'not-json'],
    ['a byte order mark', '\ufeff{}', 'not-json'],
    ['an array', '[{"model":"gpt-4o"}]', 'not-an-object'],
    ['null', 'null', 'not-an-object'],
    ['a string', '"{}"', 'not-an-object'],
    ['a number', '1', 'not-an-object'],
    ['the same key twice', '{"model":"a","model":"b"}', 'duplicate-key'],
    ['the same key twice with the same value', '{"a":1,"a":1}', 'duplicate-key'],
    ['a key that is the same without its escapes', '{"model":"a","mod\\u0065l":"b"}', 'duplicate-key'],
    ['keys that are the same without an escaped slash', '{"a/b":1,"a\\/b":1}', 'duplicate-key'],
    ['the same key twice, deeper', '{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}}', 'duplicate-key'],
    ['the same key twice, in an array', '{"messages":[{"role":"user","role":"system"}]}', 'duplicate-key'],
    ['the same key twice in what a duplicate hides', '{"a":{"b":1,"b":2},"a":{"b":1}}', 'duplicate-key'],
    ['the same empty key twice', '{"":1,"":2}', 'duplicate-key'],
    ['__proto__ twice', '{"__proto__":1,"__proto__":2}', 'duplicate-key'],
    ['the same number as a key twice', '{"1":1,"1":2}', 'duplicate-key'],
    ['white space before the colon', '{"a" \n\t\r:1,"a":2}', 'duplicate-key'],
    [
      'the same key twice, 5,000 levels deep',
      `${'{"a":'.repeat(5_000)}{"b":1,"b":2}${'}'.repeat(5_000)}`,
      'duplicate-key',
    ],
    ['bytes that are no UTF-8 in two keys', '{"\udcff":1,"\udcfe":1}', 'duplicate-key'],
  ]
  for (const [what, body, fault] of refused) {
    it(`does not take ${what}`, () => {
      expect(parseJsonBody(Buffer.from(body))).to.deep.equal({ ok: false, fault })
    })
  }

  const taken: readonly (readonly [what: string, body: string])[] = [
    ['an empty object', ' {} '],
    ['the same key in objects beside each other', '{"a":[{"b":1},{"b":2}],"c":{"b":3}}'],
    ['a key within the value of the same key', '{"a":{"a":{"a":1}}}'],
    ['text that looks like keys', JSON.stringify({ a: '{"a":1,"a":2}', b: '"a":', c: '\\"a":' })],
    ['strings that end in backslashes', JSON.stringify({ a: '\\', b: '\\\\', 'c\\': 1, 'c\\\\': 2, 'd"': '":' })],
    ['keys in upper and lower case', '{"Model":1,"model":2}'],
    ['keys of one look that are different', '{"\u00e9":1,"e\u0301":2}'],
    ['a string before a comma and a colon in the next', '{"a":"x" ,"b":":"}'],
  ]
  for (const [what, body] of taken) {
    it(`takes ${what}`, () => {
      expect(parseJsonBody(Buffer.from(body))).to.deep.equal({ ok: true, value: JSON.parse(body) })
    })
  }

  it('takes __proto__ for a member like others', () => {
    const parsed = parseJsonBody(Buffer.from('{"__proto__":{"stream":true},"constructor":1,"toString":2}'))
    if (!parsed.ok) throw new Error(parsed.fault)
    expect(Object.keys(parsed.value)).to.have.members(['__proto__', 'constructor', 'toString'])
    expect(parsed.value).not.to.have.property('stream')
    expect({}).not.to.have.property('stream')
  })

  it('takes numbers that are too large for a number', () => {
    const parsed = parseJsonBody(Buffer.from('{"max_tokens":1e999,"seed":12345678901234567890}'))
    expect(parsed).to.deep.equal({ ok: true, value: { max_tokens: Infinity, seed: Number('12345678901234567890') } })
  })

  it('takes a body that is nested 100,000 levels deep, without a stack overflow', () => {
    const deep = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)},"b":${'{"c":'.repeat(50_000)}1${'}'.repeat(50_000)}}`
    expect(parseJsonBody(Buffer.from(deep))).to.have.property('ok', true)
  })

  it('takes every object without duplicate keys as JSON.parse does, with any white space', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()), fc.nat(4), (object, indent) => {
        const text = JSON.stringify(object, null, indent)
        const parsed = parseJsonBody(Buffer.from(text))
        expect(parsed).to.deep.equal({ ok: true, value: JSON.parse(Buffer.from(text).toString()) })
      }),
    )
  })

  it('finds one duplicate key anywhere', () => {
    const tree = fc.jsonValue({ maxDepth: 3 })
    fc.assert(
      fc.property(tree, fc.string(), tree, tree, (around, key, one, other) => {
        const name = JSON.stringify(key)
        const twice = `{${name}:${JSON.stringify(one)},"_${name.slice(1)}:0,${name}:${JSON.stringify(other)}}`
        const body = `{"before":${JSON.stringify(around)},"list":[${twice}]}`
        expect(parseJsonBody(Buffer.from(body))).to.deep.equal({ ok: false, fault: 'duplicate-key' })
      }),
    )
  })
})
