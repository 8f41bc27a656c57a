import { runs } from '@tallygate/testkit'
import { JsonPicker, type JsonPick, type JsonPicks } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { anyCuts, cutAt, everyCut } from './cuts.ts'

const PICKS: JsonPicks = {
  usage: true,
  model: true,
  ключ: true,
  'a"b\\': true,
  message: { usage: true, model: true },
  response: { usage: true, deeper: { usage: true } },
  list: { '[]': { usage: true, list: { '[]': true } }, model: true },
  data: 'length',
}

type Picked = readonly (readonly [path: string, value: unknown])[]

describe('JsonPicker', () => {
  it('picks what JSON.parse would give, from any document, cut anywhere', () => {
    fc.assert(
      fc.property(document, spelling, anyCuts, (value, { space, escapes }, cuts) => {
        let text = JSON.stringify(value, null, space)
        if (escapes === 'more') text = text.replaceAll(/[^ -~\s]/g, escaped).replaceAll('/', '\\/')
        if (escapes === 'keys') text = text.replaceAll('"usage":', '"\\u0075sa\\u0067e":')
        expect(pick(cutAt(Buffer.from(text), cuts))).to.deep.equal(expected(JSON.parse(text)))
      }),
      { numRuns: runs(2_000) },
    )
  })

  it('picks the same, cut at every single byte', () => {
    fc.assert(
      fc.property(document, (value) => {
        const bytes = Buffer.from(JSON.stringify(value, null, 1))
        const whole = expected(value)
        for (const pieces of everyCut(bytes)) expect(pick(pieces)).to.deep.equal(whole)
      }),
      { numRuns: runs(30) },
    )
  })

  const table: readonly (readonly [what: string, text: string, picked: Picked])[] = [
    ['a string that quotes a member', JSON.stringify({ content: '"usage":{"a":1}', usage: 2 }), [['usage', 2]]],
    ['a string that ends like a member', JSON.stringify({ content: 'x\\","usage":{' }), []],
    ['a string of backslashes before its end', '{"content":"\\\\\\\\","usage":1}', [['usage', 1]]],
    ['a key that ends in a backslash', '{"usage\\\\":1,"usage":2}', [['usage', 2]]],
    ['a key with a quote in it', '{"\\"usage\\"":1,"usage":2}', [['usage', 2]]],
    ['an empty key', '{"":{"usage":1},"usage":2}', [['usage', 2]]],
    ['a key of 200 bytes', `{"${'usage'.repeat(40)}":1,"usage":2}`, [['usage', 2]]],
    ['a member of the same name inside others', '{"x":{"usage":1},"y":[{"usage":2}]}', []],
    ['a member that is an array of objects', '{"message":[{"usage":1}]}', []],
    ['null where an object is looked into', '{"message":null,"usage":null}', [['usage', null]]],
    [
      'the same member twice: both, in order',
      '{"usage":1,"usage":2}',
      [
        ['usage', 1],
        ['usage', 2],
      ],
    ],
    ['a number before the very end', '{"usage":1}', [['usage', 1]]],
    [
      'white space everywhere',
      ' \n{ \t"usage"\r:\n1.5e3 ,"model" : "x" } ',
      [
        ['usage', 1500],
        ['model', 'x'],
      ],
    ],
    [
      'numbers of every kind',
      '{"usage":[-0.5,1E+2,12345678901234567890]}',
      [['usage', [-0.5, 100, Number('12345678901234567890')]]],
    ],
    [
      'an array of documents',
      '[{"usage":1}, {"usage":2}\n,\r{"model":"m"}]',
      [
        ['usage', 1],
        ['usage', 2],
        ['model', 'm'],
      ],
    ],
    ['an array of other things', '[1,"usage",[{"usage":1}],null,{"usage":2}]', [['usage', 2]]],
    ['an empty array', '[]', []],
    ['an empty object', '{}', []],
    ['a string', '"usage"', []],
    ['half a surrogate pair', '{"usage":"\\ud83d"}', [['usage', '\ud83d']]],
    ['__proto__', '{"__proto__":{"usage":1},"usage":{"__proto__":1}}', [['usage', JSON.parse('{"__proto__":1}')]]],
  ]
  for (const [what, text, picked] of table) {
    it(`goes right through ${what}`, () => {
      for (const pieces of everyCut(Buffer.from(text))) expect(pick(pieces)).to.deep.equal(picked)
    })
  }

  it('goes through nesting of any depth', () => {
    const deep = `{"x":${'[{"y":'.repeat(50_000)}1${'}]'.repeat(50_000)},"usage":1}`
    expect(pick([Buffer.from(deep)])).to.deep.equal([['usage', 1]])
  })

  it('passes over a value of more than 64 KiB, and goes on behind it', () => {
    const text = JSON.stringify({ usage: 'x'.repeat(65_536), model: 'm', message: { usage: 'x'.repeat(65_534) } })
    const picked: Picked = [
      ['model', 'm'],
      ['message.usage', 'x'.repeat(65_534)],
    ]
    expect(pick([Buffer.from(text)])).to.deep.equal(picked)
    expect(pick(cutAt(Buffer.from(text), [10_000, 70_000, 100_000]))).to.deep.equal(picked)
  })

  it('throws nothing, whatever comes', () => {
    const rubbish = fc.array(
      fc.constantFrom('{', '}', '[', ']', '"', ':', ',', '\\', 'usage', ' ', '1', 'nul', '\n', 'é'),
    )
    fc.assert(
      fc.property(rubbish, anyCuts, (parts, cuts) => {
        const bytes = Buffer.from(parts.join(''))
        expect(pick(cutAt(bytes, cuts))).to.deep.equal(pick([bytes]))
      }),
      { numRuns: runs(2_000) },
    )
  })
})

const strings = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"usage":{"a":1}', '\\', '\\"', '"', '","usage":1,"', '}', '/', '\u2028', '🙂', '', '[{'),
)
const keys = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'usage',
      'model',
      'message',
      'response',
      'deeper',
      'ключ',
      'a"b\\',
      'list',
      'data',
      '[]',
    ),
  },
  // Not these two: V8's own JSON.parse takes one for the other now and then, in objects of like shape.
  { weight: 1, arbitrary: strings.filter((text) => text !== '"' && text !== '\\') },
)
const { value: document } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    strings,
    fc.double({ noNaN: true }),
    fc.constantFrom(null, true, false, 0, -1, 1e21),
    fc.array(tie('value'), { maxLength: 3 }),
    { weight: 6, arbitrary: fc.dictionary(keys, tie('value'), { maxKeys: 6 }) },
  ),
}))
const spelling = fc.record({
  space: fc.constantFrom('', ' ', '\t', '\r\n  '),
  escapes: fc.constantFrom('none', 'more', 'keys'),
})

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function pick(pieces: readonly Buffer[]): Picked {
  const picked: [string, unknown][] = []
  const picker = new JsonPicker(PICKS, { pick: (path, value) => picked.push([path, value]) })
  for (const piece of pieces) picker.write(piece)
  picker.end()
  return picked
}

/** The same by way of the whole value. */
function expected(value: unknown): Picked {
  return Array.isArray(value) ? value.flatMap((element) => members(element, PICKS, '')) : members(value, PICKS, '')
}

function members(value: unknown, picks: JsonPicks, path: string): Picked {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return []
  return Object.entries(value).flatMap(([key, member]): Picked => {
    const wanted = key !== '[]' && Object.hasOwn(picks, key) ? picks[key] : undefined
    return wanted === undefined ? [] : ofPick(member, wanted, path + key)
  })
}

function ofPick(member: unknown, wanted: JsonPick, path: string): Picked {
  if (wanted === true) return [[path, member]]
  if (wanted === 'length') return Array.isArray(member) ? [[path, member.length]] : []
  const each = wanted['[]']
  if (Array.isArray(member) && each !== undefined)
    return member.flatMap((element) => ofPick(element, each, `${path}.[]`))
  return members(member, wanted, `${path}.`)
}
