import { MAX_UNITS } from '@tallygate/core'
import { estimateAmounts } from '@tallygate/metering'
import { expect } from 'chai'

describe('estimateAmounts', () => {
  const table: readonly (readonly [
    what: string,
    ceiling: number | undefined,
    input: number,
    quota: number | null,
    expected: { readonly input: number; readonly output: number },
  ])[] = [
    ['the ceiling that the request sets', 500, 100, 1_000_000, { input: 100, output: 500 }],
    ['the ceiling, though a quota is smaller', 500, 100, 10, { input: 100, output: 500 }],
    ['1,024 where there is none', undefined, 100, null, { input: 100, output: 1_024 }],
    ['1,024 where a tenth of the quota is more', undefined, 100, 100_000, { input: 100, output: 1_024 }],
    ['a tenth of a small quota', undefined, 100, 5_009, { input: 100, output: 500 }],
    ['1 where a quota has no tenth', undefined, 100, 5, { input: 100, output: 1 }],
    ['1 where a quota is 0', undefined, 0, 0, { input: 0, output: 1 }],
    ['a ceiling without end as the most that a model writes', Infinity, 3, null, { input: 3, output: 1_048_576 }],
    ['a ceiling beyond whole numbers as the same', 1e300, 3, null, { input: 3, output: 1_048_576 }],
    ['fractions as whole', 10.2, 3.1, null, { input: 4, output: 11 }],
  ]
  for (const [what, outputCeiling, inputTokens, quota, { input, output }] of table) {
    it(`takes for the output: ${what}`, () => {
      const facts = { model: undefined, stream: false, outputCeiling }
      expect(estimateAmounts(facts, inputTokens, quota)).to.deep.equal({
        requests: 1,
        tokens: Math.min(input + output, MAX_UNITS),
        'input-tokens': input,
        'output-tokens': output,
        'cached-input-tokens': input,
        'reasoning-tokens': output,
      })
    })
  }
})
