import { ConfigError, parseConfig } from '@tallygate/gateway'
import { expect } from 'chai'
import { isCollection, isMap, parseDocument, type Document } from 'yaml'

/** One of everything, each in a line of its own. */
const ALL = `
listen: { host: 127.0.0.1, port: 0 }
administration: { host: 127.0.0.1, port: 0, keys: [administrator-key-0001] }
providers:
  openai:
    target: https://api.openai.com
    path: /ai
    credential: { swap: a-key-of-the-gateway }
    credentialHeader: api-key
    unmetered: pass
    timeout: 30s
keys:
  - id: k
    secret: a-secret-of-a-caller
    tenant: acme
    dimensions: { user: ann }
    groups: [staff]
    expires: 2999-01-31
    disabled: false
unregistered: refuse
plans:
  pro:
    version: '3'
    onExpiry: release
    onShortRoom: { lower: 16 }
    count: { on: success, refundOn: [5xx, 429] }
    labels: { price: '10' }
    limits:
      - name: a
        unit: requests
        quota: 5
        window: { fixed: month, zone: Europe/Berlin, count: 2, anchor: { dayOfMonth: 12, hour: 6 } }
        per: [user]
        when: { model: [gpt*], service: [mail], route: [/v1/*] }
        trip: reached
        onTrip: flag
        mode: shadow
        onChange: { quota: next-window, duration: now }
        onUnavailable: { local: 0.25 }
      - { name: b, unit: tokens, quota: 1, window: { sliding: 60s, buckets: 60 } }
      - { name: c, unit: tokens, quota: 1, window: { first-use: 24h, then: restart } }
      - { name: d, unit: tokens, quota: 1, window: { fixed: week, anchor: { weekday: 2 } } }
defaultPlans: [pro]
combine: any
assignments:
  - for: { group: staff, tenant: acme }
    plans: [pro]
    combine: any
severalGroups: any
overrides:
  - for: { user: ann }
    limit: pro/b
    quota: 5
    until: 2999-01-31
nodes: 2
counters: memory
decideWithin: 100ms
durableWithin: 10ms
onLateEntry: break
guards:
  flood: { limit: 50, window: 2s }
  guesses: { limit: 5, window: 1m }
ledger: usage.db
durability: power
pepper: a-pepper-of-more-than-32-characters
spareRetries: 5m
sampleCounts: when-loaded
outputEstimate: learned
reportPath: /mine
rateLimitHeaders: [x]
exhaustedStatus: 402
trustProxy: loopback
bodyLimitBytes: 2048
shutdown: { delay: 0s, timeout: 1s }
log: warn
`

type Path = readonly (string | number)[]

/** Where every value stands that has none below it. */
function leaves(node: unknown, path: Path = []): Path[] {
  if (!isCollection(node)) return [path]
  return isMap(node)
    ? node.items.flatMap(({ key, value }) => leaves(value, [...path, String(key)]))
    : node.items.flatMap((value, index) => leaves(value, [...path, index]))
}

/** Line of a value in the text that a document is written as. */
function lineOf(text: string, path: Path): number {
  const node = parseDocument(text).getIn(path, true) as { range: [number, number, number] }
  return text.slice(0, node.range[0]).split('\n').length
}

describe('the places of mistakes', () => {
  it('has no mistake to begin with', () => {
    expect(() => parseConfig(ALL, 'quota.yaml', {})).to.not.throw()
  })

  for (const path of leaves(parseDocument(ALL).contents)) {
    it(`tells that of ${path.join('.')}`, () => {
      const document: Document = parseDocument(ALL)
      document.setIn(path, document.createNode({ nonsense: [true] }, { flow: true }))
      const text = document.toString({ lineWidth: 0 })
      let mistakes: ConfigError['mistakes'] = []
      try {
        parseConfig(text, 'quota.yaml', {})
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        mistakes = error.mistakes
      }
      const key = path.join('.')
      const own = mistakes.filter((mistake) => mistake.key === key || mistake.key.startsWith(`${key}.`))
      const said = mistakes.map((mistake) => `${mistake.line}: ${mistake.key}`).join('; ')
      expect(own, said).to.have.length.above(0)
      expect(own[0]!.line).to.equal(lineOf(text, path))
    })
  }
})
