import { runs } from '@tallygate/testkit'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ConfigError, loadConfig, parseConfig } from '@tallygate/gateway'
import { expect } from 'chai'
import fc from 'fast-check'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-config-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const LEAST = 'providers: { openai: { target: https://api.openai.com } }\n'
const SECRET = 'sk-a-secret-that-nobody-may-see'

function mistakesOf(text: string, environment: Record<string, string> = {}): readonly string[] {
  try {
    parseConfig(text, 'quota.yaml', environment)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n')
  }
}

/** A configuration with one limit, whose members a test changes. */
const limited = (limit: string): string =>
  `${LEAST}plans:\n  pro:\n    limits:\n      - { name: a, unit: requests, quota: 1, window: day }\n      - ${limit}\n`
/** A configuration with two keys. */
const keyed = (second: string): string =>
  `${LEAST}plans: { pro: { limits: [] } }\nkeys:\n  - { id: one, secret: ${SECRET} }\n  - ${second}\n`

describe('parseConfig', () => {
  const MISTAKES: readonly [mistake: string, text: string, says: string][] = [
    ['nothing', '', 'quota.yaml:1:1: Invalid input: expected object'],
    ['a list', '- a', 'quota.yaml:1:1: Invalid input: expected object'],
    ['broken YAML', `${LEAST}keys: [`, 'quota.yaml:2:8: Flow sequence in block collection'],
    ['two documents', `${LEAST}---\n${LEAST}`, 'quota.yaml:2:1: Source contains multiple documents'],
    ['a tag that nobody knows', `${LEAST}log: !level info`, 'quota.yaml:2:6: Unresolved tag: !level'],
    ['a key twice', `${LEAST}log: info\nlog: warn`, 'quota.yaml:3:1: log: Map keys must be unique'],
    ['aliases that unfold without end', bomb(), 'quota.yaml:1:1: Excessive alias count'],
    ['no providers', 'log: info', 'quota.yaml:1:1: providers: Invalid input: expected record'],
    ['an unknown key', `${LEAST}logg: info`, 'quota.yaml:2:1: logg: there is no such key'],
    [
      'an unknown key further down',
      'providers:\n  a:\n    target: http://a\n    tagret: x',
      'quota.yaml:4:5: providers.a.tagret: there is no such key',
    ],
    ['a value that is none of a list', `${LEAST}log: loud`, 'quota.yaml:2:1: log: Invalid option'],
    [
      'a text for a number',
      `${LEAST}listen: { port: high }`,
      'quota.yaml:2:11: listen.port: Invalid input: expected number',
    ],
    ['a port that is none', `${LEAST}listen:\n  port: 70000`, 'quota.yaml:3:3: listen.port: Too big'],
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
      'quota.yaml:2:13: shutdown.delay: Invalid input: expected string',
    ],
    ['a time of nothing', `${LEAST}shutdown: { timeout: 0s }`, 'quota.yaml:2:13: shutdown.timeout: use a duration'],
    [
      'a unit that does not exist',
      limited('{ name: b, unit: bananas, quota: 1, window: day }'),
      'quota.yaml:6:20: plans.pro.limits.1.unit: Invalid option',
    ],
    [
      'a budget without prices',
      limited('{ name: b, unit: cost, quota: $1, window: day }'),
      'quota.yaml:6:20: plans.pro.limits.1.unit: plan pro counts cost, and nobody knows prices',
    ],
    [
      'a budget in plain numbers, which would be nanodollars',
      `prices: starter\n${limited('{ name: b, unit: cost, quota: 5, window: day }')}`,
      'quota.yaml:7:32: plans.pro.limits.1.quota: it counts money: use $5 or $0.25',
    ],
    [
      'money for what is not counted in money',
      limited('{ name: b, unit: tokens, quota: $5, window: day }'),
      'quota.yaml:6:34: plans.pro.limits.1.quota: it counts tokens: use a whole number',
    ],
    [
      'money that is none',
      limited('{ name: b, unit: tokens, quota: 5$, window: day }'),
      'quota.yaml:6:34: plans.pro.limits.1.quota: use a whole number, null, or, of cost, money such as $5',
    ],
    [
      'more money than there is room for',
      limited('{ name: b, unit: cost, quota: $4000001, window: day }'),
      'quota.yaml:6:32: plans.pro.limits.1.quota: use a whole number, null, or, of cost, money',
    ],
    [
      'an override in another unit than its limit',
      `${limited('{ name: b, unit: tokens, quota: 5, window: day }')}overrides: [{ for: { plan: pro }, limit: pro/b, quota: $5 }]\n`,
      'quota.yaml:7:49: overrides.0.quota: it counts tokens: use a whole number',
    ],
    [
      'a quota below nothing',
      limited('{ name: b, unit: tokens, quota: -1, window: day }'),
      'quota.yaml:6:34: plans.pro.limits.1.quota: Too small',
    ],
    [
      'a quota that is more than anybody counts',
      limited('{ name: b, unit: tokens, quota: 9007199254740991, window: day }'),
      'quota.yaml:6:34: plans.pro.limits.1.quota: Too big: expected number to be <=4503599627370495',
    ],
    [
      'a limit without a window',
      limited('{ name: b, unit: tokens, quota: 1 }'),
      'quota.yaml:6:9: plans.pro.limits.1.window: use day',
    ],
    [
      'a window that does not exist',
      limited('{ name: b, unit: tokens, quota: 1, window: fortnight }'),
      'quota.yaml:6:44: plans.pro.limits.1.window: use day',
    ],
    [
      'a sliding window of a broken duration',
      limited('{ name: b, unit: tokens, quota: 1, window: { sliding: 1y } }'),
      'quota.yaml:6:54: plans.pro.limits.1.window.sliding: use a duration such as 250ms',
    ],
    [
      'a zone for a window that has no calendar',
      limited('{ name: b, unit: tokens, quota: 1, window: { fixed: 24h, zone: Europe/Berlin } }'),
      'quota.yaml:6:66: plans.pro.limits.1.window.zone: there is no such key',
    ],
    [
      'a zone that does not exist',
      limited('{ name: b, unit: tokens, quota: 1, window: { fixed: day, zone: Mars } }'),
      'quota.yaml:6:66: plans.pro.limits.1.window.zone: plans.pro.limits[1].window.zone is "Mars"',
    ],
    [
      'two limits of one name',
      limited('{ name: a, unit: tokens, quota: 1, window: day }'),
      'quota.yaml:4:5: plans.pro.limits: plans.pro.limits has two limits named "a"',
    ],
    [
      'a share that is none',
      limited('{ name: b, unit: tokens, quota: 1, window: day, onUnavailable: { local: 2 } }'),
      'quota.yaml:6:74: plans.pro.limits.1.onUnavailable.local: Too big',
    ],
    [
      'another word for a store that is away',
      limited('{ name: b, unit: tokens, quota: 1, window: day, onUnavailable: local }'),
      'quota.yaml:6:57: plans.pro.limits.1.onUnavailable: use refuse, admit, or {local: 0.1}',
    ],
    [
      'a change at another time',
      limited('{ name: b, unit: tokens, quota: 1, window: day, onChange: { duration: later } }'),
      'quota.yaml:6:69: plans.pro.limits.1.onChange.duration: Invalid option',
    ],
    [
      'a condition that could never hold',
      limited('{ name: b, unit: tokens, quota: 1, window: day, when: { model: [] } }'),
      'quota.yaml:6:65: plans.pro.limits.1.when.model: plans.pro.limits[1].when.model is []',
    ],
    [
      'a dimension that is none',
      limited('{ name: b, unit: tokens, quota: 1, window: day, per: [key, "my team"] }'),
      'quota.yaml:6:68: plans.pro.limits.1.per.1: plans.pro.limits[1].per[1] is "my team"',
    ],
    [
      'more buckets than milliseconds',
      limited('{ name: b, unit: tokens, quota: 1, window: { sliding: 5ms, buckets: 10 } }'),
      'quota.yaml:6:68: plans.pro.limits.1.window.buckets: plans.pro.limits[1].window.buckets is 10',
    ],
    [
      'an answer that nothing gives back',
      `${LEAST}plans:\n  pro: { limits: [], count: { refundOn: [429, 3xx] } }`,
      'quota.yaml:3:47: plans.pro.count.refundOn.1: use a status from 100 to 599, 4xx, 5xx, failed or aborted',
    ],
    [
      'an assignment of nobody',
      `${LEAST}assignments:\n  - { for: {}, plans: [] }`,
      'quota.yaml:3:7: assignments.0.for: assignments[0].for is {}: name exactly one of user, key, group',
    ],
    [
      'an assignment of a plan that is not there',
      `${LEAST}assignments:\n  - { for: { user: a }, plans: [] }\n  - { for: { user: b }, plans: [gold] }`,
      'quota.yaml:4:33: assignments.1.plans.0: assignments[1].plans[0] is "gold": use one of none',
    ],
    [
      'an assignment to a key of another tenant',
      `${keyed('{ id: two, secret: another-long-secret, tenant: acme }')}assignments: [{ for: { key: two }, plans: [] }]`,
      'quota.yaml:6:24: assignments.0.for.key: key two is of another tenant: set tenant: acme',
    ],
    [
      'an assignment to a key that names its own plans',
      `${keyed('{ id: two, secret: another-long-secret, plans: [pro] }')}assignments: [{ for: { key: two }, plans: [] }]`,
      'quota.yaml:6:24: assignments.0.for.key: key two names its plans itself',
    ],
    [
      'an override of a limit that is not there',
      `${limited('{ name: b, unit: tokens, quota: 1, window: day }')}overrides:\n  - { for: { user: a }, limit: pro/c, quota: 2 }`,
      'quota.yaml:8:25: overrides.0.limit: overrides[0].limit is "pro/c": use plan/limit, one of pro/a, pro/b',
    ],
    [
      'an override of two kinds of callers',
      `${limited('{ name: b, unit: tokens, quota: 1, window: day }')}overrides: [{ for: { user: a, plan: pro }, limit: pro/a, quota: 2 }]`,
      'quota.yaml:7:15: overrides.0.for: overrides[0].for is {"user":"a","plan":"pro"}: name exactly one of',
    ],
    [
      'an override until a date that is none',
      `${limited('{ name: b, unit: tokens, quota: 1, window: day }')}overrides: [{ for: { user: a }, limit: pro/a, quota: 2, until: soon }]`,
      'quota.yaml:7:57: overrides.0.until: use a date',
    ],
    [
      'a plan whose name is no name',
      `${LEAST}plans: { "my plan": { limits: [] } }`,
      'quota.yaml:2:10: plans.my plan: plans.my plan.name is "my plan"',
    ],
    [
      'a default plan that is not there',
      `${LEAST}defaultPlans: [gold]`,
      'quota.yaml:2:16: defaultPlans.0: there is no plan named "gold"',
    ],
    [
      'a plan of a key that is not there',
      keyed('{ id: two, secret: another-long-secret, plans: [pro, gold] }'),
      'quota.yaml:5:58: keys.1.plans.1: there is no plan named "gold"',
    ],
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
    [
      'a short key of an administrator',
      `${LEAST}administration: { keys: [admin] }`,
      'quota.yaml:2:26: administration.keys.0: use at least 16 characters',
    ],
    ['counters of another kind', `${LEAST}counters: http://a`, 'quota.yaml:2:1: counters: use memory, or a URL'],
    ['a proxy that is none', `${LEAST}trustProxy: nobody`, 'quota.yaml:2:1: trustProxy: invalid IP address: nobody'],
    ['a status that clients retry', `${LEAST}exhaustedStatus: 503`, 'quota.yaml:2:1: exhaustedStatus: Invalid'],
    ['a pepper that is short', `${LEAST}pepper: salt`, 'quota.yaml:2:1: pepper: Too small'],
    [
      'a variable that is not set',
      `${LEAST}log: \${LEVEL}`,
      'quota.yaml:2:6: LEVEL: the environment has neither LEVEL nor LEVEL_FILE',
    ],
    ['a reference that is none', `${LEAST}pepper: "\${A-B}"`, 'quota.yaml:2:9: ${A-B}: use ${NAME}'],
    ['a reference that does not end', `${LEAST}pepper: "\${AB"`, 'quota.yaml:2:9: ${AB: use ${NAME}'],
  ]
  for (const [mistake, text, says] of MISTAKES) {
    it(`tells the place of ${mistake}`, () => {
      const mistakes = mistakesOf(text)
      expect(mistakes[0]?.slice(0, says.length), mistakes.join('\n')).to.equal(says)
      expect(mistakes).to.have.length(1)
      expect(mistakes[0]).to.not.include(SECRET)
    })
  }

  it('tells all mistakes of a kind at once', () => {
    expect(mistakesOf(`${LEAST}log: loud\nfoo: 1\nbar: 2`).map((line) => line.split(' ')[0])).to.have.members([
      'quota.yaml:2:1:',
      'quota.yaml:3:1:',
      'quota.yaml:4:1:',
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
