import { ConfigError, parseConfig } from '@tallygate/gateway'
import { expect } from 'chai'

/** The least configuration. */
export const LEAST = 'providers: { openai: { target: https://api.openai.com } }\n'
export const SECRET = 'sk-a-secret-that-nobody-may-see'

/** What is wrong with a text, one line each. */
export function mistakesOf(text: string, environment: Record<string, string> = {}): readonly string[] {
  try {
    parseConfig(text, 'quota.yaml', environment)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.message.split('\n')
  }
}

/** A configuration with one limit, whose members a test changes. */
export const limited = (limit: string): string =>
  `${LEAST}plans:\n  pro:\n    limits:\n      - { name: a, unit: requests, quota: 1, window: day }\n      - ${limit}\n`
/** A configuration with two keys. */
export const keyed = (second: string): string =>
  `${LEAST}plans: { pro: { limits: [] } }\nkeys:\n  - { id: one, secret: ${SECRET} }\n  - ${second}\n`

/** A mistake, a text that makes it and no other, and how what is said of it begins. */
export type MistakeCase = readonly [mistake: string, text: string, says: string]

/** Tests that each mistake is told once, with its place, and with no secret. */
export function tellsPlaces(cases: readonly MistakeCase[]): void {
  for (const [mistake, text, says] of cases) {
    it(`tells the place of ${mistake}`, () => {
      const mistakes = mistakesOf(text)
      expect(mistakes[0]?.slice(0, says.length), mistakes.join('\n')).to.equal(says)
      expect(mistakes).to.have.length(1)
      expect(mistakes[0]).to.not.include(SECRET)
    })
  }
}
