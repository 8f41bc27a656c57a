import { MAX_UNITS } from '@tallygate/core'
import { estimateAmounts, type EstimateOptions } from '@tallygate/metering'
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
      expect(estimateAmounts(facts, inputTokens, { tightestTokenQuota: quota ?? undefined })).to.deep.equal({
        requests: 1,
        tokens: Math.min(input + output, MAX_UNITS),
        'input-tokens': input,
        'output-tokens': output,
        'cached-input-tokens': input,
        'reasoning-tokens': output,
      })
    })
  }
  const many: readonly (readonly [
    what: string,
    facts: { outputCeiling?: number },
    options: EstimateOptions,
    n: number,
  ])[] = [
    ['the ceiling of all, though no single answer could be as long', { outputCeiling: 4_000_000 }, {}, 4_000_000],
    ['no more than that many models write', { outputCeiling: 1e15 }, {}, 8 * 1_048_576],
    ['what was learned of all', {}, { learnedOutput: 2_000_000 }, 2_000_000],
    ['a guess for each', {}, {}, 8 * 1_024],
    ['a tenth of a quota for all', {}, { tightestTokenQuota: 5_000 }, 500],
  ]
  for (const [what, { outputCeiling }, options, output] of many) {
    it(`takes for several answers: ${what}`, () => {
      const facts = { model: undefined, stream: false, outputCeiling, answers: 8 }
      expect(estimateAmounts(facts, 1, options)['output-tokens']).to.equal(output)
    })
  }
  const learned: readonly (readonly [
    what: string,
    ceiling: number | undefined,
    options: EstimateOptions,
    output: number,
  ])[] = [
    ['the ceiling, though less was learned', 500, { learnedOutput: 80 }, 500],
    ['what was learned, where that is asked for', 500, { learnedOutput: 80, outputEstimate: 'learned' }, 80],
    ['no more than the ceiling', 500, { learnedOutput: 900, outputEstimate: 'learned' }, 500],
    ['the ceiling where nothing was learned', 500, { outputEstimate: 'learned' }, 500],
    ['what was learned, without a ceiling', undefined, { learnedOutput: 3_000, tightestTokenQuota: 100_000 }, 3_000],
    ['half of a quota at most', undefined, { learnedOutput: 3_000, tightestTokenQuota: 1_001 }, 500],
    ['at least 1', undefined, { learnedOutput: 0, tightestTokenQuota: 0 }, 1],
    ['the most that a model writes', undefined, { learnedOutput: 2 ** 40 }, 1_048_576],
  ]
  for (const [what, outputCeiling, options, output] of learned) {
    it(`goes by what was learned: ${what}`, () => {
      const facts = { model: undefined, stream: false, outputCeiling }
      expect(estimateAmounts(facts, 10, options)).to.include({ 'output-tokens': output, tokens: 10 + output })
    })
  }
})
