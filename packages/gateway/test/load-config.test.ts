import { runs } from '@tallygate/testkit'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@tallygate/gateway'
import { expect } from 'chai'
import fc from 'fast-check'
import { keyed, LEAST, mistakesOf, SECRET, tellsPlaces, type MistakeCase } from './config-mistakes.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-config-'))
after(() => rmSync(folder, { recursive: true, force: true }))

describe('parseConfig', () => {
  const MISTAKES: readonly MistakeCase[] = [
    ['nothing', '', 'quota.yaml:1:1: use a map of keys and values'],
    ['a list', '- a', 'quota.yaml:1:1: use a map of keys and values'],
    ['broken YAML', `${LEAST}keys: [`, 'quota.yaml:2:8: Flow sequence in block collection'],
    ['two documents', `${LEAST}---\n${LEAST}`, 'quota.yaml:2:1: Source contains multiple documents'],
    ['a tag that nobody knows', `${LEAST}log: !level info`, 'quota.yaml:2:6: Unresolved tag: !level'],
    ['a key twice', `${LEAST}log: info\nlog: warn`, 'quota.yaml:3:1: log: Map keys must be unique'],
    ['aliases that unfold without end', bomb(), 'quota.yaml:1:1: Excessive alias count'],
    ['no providers', 'log: info', 'quota.yaml:1:1: providers: it is not there: use a map of keys and values'],
    ['an unknown key', `${LEAST}logg: info`, 'quota.yaml:2:1: logg: there is no such key'],
    [
      'an unknown key further down',
      'providers:\n  a:\n    target: http://a\n    tagret: x',
      'quota.yaml:4:5: providers.a.tagret: there is no such key',
    ],
    [
      'a value that is none of a list',
      `${LEAST}log: loud`,
      'quota.yaml:2:1: log: use debug, info, warn, error, silent',
    ],
    ['a text for a number', `${LEAST}listen: { port: high }`, 'quota.yaml:2:11: listen.port: use a number'],
    [
      'a number in quotes',
      `${LEAST}listen: { port: "80" }`,
      'quota.yaml:2:11: listen.port: use a number, without quotes',
    ],
    ['a text without its quotes', `${LEAST}ledger: 5`, 'quota.yaml:2:1: ledger: use a text, in quotes'],
    [
      'a word for a switch',
      keyed('{ id: two, secret: another-long-secret, disabled: maybe }'),
      'quota.yaml:5:45: keys.1.disabled: use true or false',
    ],
    ['a fraction', `${LEAST}nodes: 1.5`, 'quota.yaml:2:1: nodes: use a whole number'],
    ['a list without items', `${LEAST}prices: []`, 'quota.yaml:2:1: prices: it is empty: fill it in'],
    [
      'another word for no guard',
      `${LEAST}guards: { guesses: on }`,
      'quota.yaml:2:11: guards.guesses: use off, or {limit',
    ],
    ['a port that is none', `${LEAST}listen:\n  port: 70000`, 'quota.yaml:3:3: listen.port: use at most 65535'],
    [
      'a target that is no URL',
      'providers: { a: { target: api.openai.com } }',
      'quota.yaml:1:19: providers.a.target: use an http or https URL',
    ],
    [
      'a target of another protocol',
      'providers: { a: { target: ftp://a } }',
      'quota.yaml:1:19: providers.a.target: use an http or https URL',
    ],
    [
      'a target with a query',
      'providers: { a: { target: "http://a/?b" } }',
      'quota.yaml:1:19: providers.a.target: use an http or https URL',
    ],
    [
      'a target with a password',
      `providers: { a: { target: "http://u:${SECRET}@a" } }`,
      'quota.yaml:1:19: providers.a.target: use an http or https URL',
    ],
    [
      'a path without its slash',
      'providers: { a: { target: http://a, path: a } }',
      'quota.yaml:1:37: providers.a.path: use a path such as /openai',
    ],
    [
      'a provider whose name is a pattern',
      'providers: { "a*": { target: http://a } }',
      'quota.yaml:1:14: providers.a*: its name makes no path',
    ],
    [
      'two providers on one path',
      'providers: { a: { target: http://a }, b: { target: http://b, path: /A/ } }',
      'quota.yaml:1:62: providers.b.path: /a/ belongs to providers.a',
    ],
    [
      'a provider below another',
      'providers: { a: { target: http://a }, b: { target: http://b, path: /a/b } }',
      'quota.yaml:1:62: providers.b.path: /a/b/ belongs to providers.a',
    ],
    [
      'a provider on the report',
      'providers: { usage: { target: http://a } }',
      'quota.yaml:1:14: providers.usage: /usage/ belongs to reportPath',
    ],
    [
      'a credential of another kind',
      'providers: { a: { target: http://a, credential: swap } }',
      'quota.yaml:1:37: providers.a.credential: use pass, or {swap: …}',
    ],
    [
      'a swapped key that no header can carry',
      'providers: { a: { target: http://a, credential: { swap: "a b" } } }',
      'quota.yaml:1:51: providers.a.credential.swap: use visible ASCII',
    ],
    [
      'a swapped key for everybody',
      'providers: { a: { target: http://a, credential: { swap: b } } }',
      'quota.yaml:1:37: providers.a.credential: a key is swapped in for callers that nobody knows',
    ],
    [
      'a header that is none',
      'providers: { a: { target: http://a, credentialHeader: "x y" } }',
      'quota.yaml:1:37: providers.a.credentialHeader: use the name of a header',
    ],
    [
      'a duration without its unit',
      'providers: { a: { target: http://a, timeout: "30" } }',
      'quota.yaml:1:37: providers.a.timeout: use a duration',
    ],
    [
      'a duration that is a number',
      `${LEAST}shutdown: { delay: 5 }`,
      'quota.yaml:2:13: shutdown.delay: use a duration such as 250ms',
    ],
    ['a time of nothing', `${LEAST}shutdown: { timeout: 0s }`, 'quota.yaml:2:13: shutdown.timeout: use a duration'],
    [
      'an id twice',
      keyed('{ id: one, secret: another-long-secret }'),
      'quota.yaml:5:7: keys.1.id: keys.0 has the same',
    ],
    ['a secret twice', keyed(`{ id: two, secret: ${SECRET} }`), 'quota.yaml:5:16: keys.1.secret: keys.0 has the same'],
    [
      'a secret that is short',
      keyed('{ id: two, secret: short }'),
      'quota.yaml:5:16: keys.1.secret: use at least 16 characters',
    ],
    [
      'a secret that no header can carry',
      keyed('{ id: two, secret: "one two three four" }'),
      'quota.yaml:5:16: keys.1.secret: use visible ASCII',
    ],
    [
      'a date that is none',
      keyed('{ id: two, secret: another-long-secret, expires: 31.01.2027 }'),
      'quota.yaml:5:45: keys.1.expires: use a date',
    ],
    ...['2027-02-30', '2027-13-01', '2027-01-31T25:00Z', '2027-01-31T12:00:00', '2027-01-31 12:00Z'].map(
      (date): MistakeCase => [
        `${date}, which is no date that all agree on`,
        keyed(`{ id: two, secret: another-long-secret, expires: ${date} }`),
        'quota.yaml:5:45: keys.1.expires: use a date such as 2027-01-31, in UTC',
      ],
    ),
    [
      'a short key of an administrator',
      `${LEAST}administration: { keys: [admin] }`,
      'quota.yaml:2:26: administration.keys.0: use at least 16 characters',
    ],
    ['counters of another kind', `${LEAST}counters: http://a`, 'quota.yaml:2:1: counters: use memory, or a URL'],
    ['a proxy that is none', `${LEAST}trustProxy: nobody`, 'quota.yaml:2:1: trustProxy: invalid IP address: nobody'],
    [
      'a status that clients retry',
      `${LEAST}exhaustedStatus: 503`,
      'quota.yaml:2:1: exhaustedStatus: use 429, 402, 403',
    ],
    ['a pepper that is short', `${LEAST}pepper: salt`, 'quota.yaml:2:1: pepper: use at least 32 characters'],
    [
      'a variable that is not set',
      `${LEAST}log: \${LEVEL}`,
      'quota.yaml:2:6: LEVEL: the environment has neither LEVEL nor LEVEL_FILE',
    ],
    ['a reference that is none', `${LEAST}pepper: "\${A-B}"`, 'quota.yaml:2:9: ${A-B}: use ${NAME}'],
    ['a reference that does not end', `${LEAST}pepper: "\${AB"`, 'quota.yaml:2:9: ${AB: use ${NAME}'],
  ]
  tellsPlaces(MISTAKES)

  for (const date of ['2028-02-29', '2027-01-31T12:00Z', '2027-01-31T12:00:00.5Z', '2027-01-31T12:00:00+05:30'])
    it(`takes ${date} for a date`, () => {
      expect(mistakesOf(keyed(`{ id: two, secret: another-long-secret, expires: ${date} }`))).to.deep.equal([])
    })

  it('tells all mistakes of a kind at once, as they stand in the file', () => {
    const text = `foo: 1\n${LEAST}log: loud\nlisten: { prot: 1, port: -1 }\nbar: 2`
    expect(mistakesOf(text).map((line) => line.split(' ')[0])).to.deep.equal([
      'quota.yaml:1:1:',
      'quota.yaml:3:1:',
      'quota.yaml:4:11:',
      'quota.yaml:4:20:',
      'quota.yaml:5:1:',
    ])
  })

  it('throws nothing but mistakes with their places, whatever the text', () => {
    const example = readFileSync(new URL('../../../examples/gateway/quota.yaml', import.meta.url), 'utf8')
    const words = [
      'null',
      '{',
      '}',
      '[',
      ']',
      ': ',
      '- ',
      '&a ',
      '*a',
      '<<',
      '"',
      '${',
      '\n',
      '\t',
      '-1',
      '1e400',
      '__proto__',
      '!!set',
    ]
    const change = fc.record({
      at: fc.nat(example.length),
      length: fc.nat(20),
      insert: fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 5 })),
    })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const text = changes.reduce(
          (t, { at, length, insert }) => t.slice(0, at) + insert + t.slice(at + length),
          example,
        )
        for (const mistake of mistakesOf(text)) expect(mistake).to.match(/^quota\.yaml:\d+:\d+: /)
      }),
      { numRuns: runs(300) },
    )
  })
})

describe('loadConfig', () => {
  it('starts paths at the folder of the file', () => {
    const file = join(folder, 'quota.yaml')
    writeFileSync(file, LEAST)
    expect(loadConfig(file, {})).to.deep.include({ folder })
  })
})

function bomb(): string {
  const lines = Array.from({ length: 9 }, (_, n) => `a${n}: &a${n} [${n === 0 ? '1' : `*a${n - 1},`.repeat(9)}]`)
  return lines.join('\n')
}
