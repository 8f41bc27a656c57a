import { readFileSync } from 'node:fs'
import { configJsonSchema } from '@tallygate/gateway'
import { expect } from 'chai'
import { parse } from 'yaml'
import { z } from 'zod'

const EXAMPLE = readFileSync(new URL('../../../examples/gateway/quota.yaml', import.meta.url), 'utf8')
const LEAST = 'providers: { openai: { target: https://api.openai.com } }\n'
/** One of everything that a limit, a plan and an assignment can say. */
const ALL = `${LEAST}
plans:
  pro:
    version: '3'
    onExpiry: release
    onShortRoom: { lower: 16 }
    count: { on: success, refundOn: [5xx, 429, aborted] }
    labels: { price: '10' }
    limits:
      - name: a
        unit: requests
        quota: null
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
      - { name: d, unit: tokens, quota: 1, window: { fixed: 90m } }
      - { name: e, unit: tokens, quota: 1, window: concurrent, onUnavailable: admit }
      - { name: f, unit: output-tokens, quota: 1, window: day, onStream: cut }
assignments: [{ for: { group: staff, tenant: acme }, plans: [pro], combine: any }]
severalGroups: any
overrides: [{ for: { plan: pro }, limit: pro/b, quota: 5, until: 2027-01-31 }]
keys: [{ id: k, secret: '\${SECRET}', groups: [staff] }]
listen: { port: '\${PORT}' }
`

describe('configJsonSchema', () => {
  const schema = z.fromJSONSchema(configJsonSchema() as never)
  const fits = (text: string): boolean => schema.safeParse(parse(text)).success

  for (const [what, text] of [
    ['the least configuration', LEAST],
    ['the example', EXAMPLE],
    ['one of everything', ALL],
  ] as const) {
    it(`lets ${what} pass`, () => {
      const { error } = schema.safeParse(parse(text))
      expect(error?.issues).to.equal(undefined)
    })
  }

  const BAD: readonly [mistake: string, from: string, to: string][] = [
    ['an unknown key', 'severalGroups', 'someGroups'],
    ['an unknown key of a limit', 'onTrip', 'onTrap'],
    ['a word that is none', 'mode: shadow', 'mode: dark'],
    ['a window that is none', 'window: concurrent', 'window: fortnight'],
    ['a duration that is none', '60s', 'a minute'],
    ['a share that is none', 'local: 0.25', 'local: 25'],
    ['a number for a list', 'plans: [pro]', 'plans: 5'],
    ['a refund that is none', '5xx', '3xx'],
    ['a quota below nothing', 'quota: 5', 'quota: -5'],
    ['a limit without a unit', 'unit: requests', ''],
    ['no provider', 'providers:', 'provider:'],
  ]
  for (const [mistake, from, to] of BAD) {
    it(`tells ${mistake}`, () => {
      expect(ALL).to.include(from)
      expect(fits(ALL.replace(from, to))).to.equal(false)
    })
  }
})
