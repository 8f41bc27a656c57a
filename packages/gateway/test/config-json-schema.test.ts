import { readFileSync } from 'node:fs'
import { configJsonSchema } from '@tallygate/gateway'
import { expect } from 'chai'
import { parse } from 'yaml'
import { z } from 'zod'
import { LEAST } from './config-mistakes.ts'
import { WHOLE_QUOTA } from './whole-quota.ts'

const EXAMPLE = readFileSync(new URL('../../../examples/gateway/quota.yaml', import.meta.url), 'utf8')
/** What only the environment tells is a text before it is read. */
const OF_ENVIRONMENT = "keys: [{ id: k, secret: '${SECRET}' }]\nlisten: { port: '${PORT}' }\n"

describe('configJsonSchema', () => {
  const schema = z.fromJSONSchema(configJsonSchema() as never)
  const fits = (text: string): boolean => schema.safeParse(parse(text)).success

  for (const [what, text] of [
    ['the least configuration', LEAST],
    ['the example', EXAMPLE],
    ['one of everything', WHOLE_QUOTA],
    ['what only the environment tells', LEAST + OF_ENVIRONMENT],
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
      expect(WHOLE_QUOTA).to.include(from)
      expect(fits(WHOLE_QUOTA.replace(from, to))).to.equal(false)
    })
  }
})
