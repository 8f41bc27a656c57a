import { amountsOf, MAX_UNITS, UNITS, type Amounts, type Usage } from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'

describe('amountsOf', () => {
  const cases: readonly { what: string; usage: Omit<Usage, 'basis'>; amounts: Amounts }[] = [
    { what: 'nothing but the request where nobody said more', usage: {}, amounts: {} },
    { what: 'explicit zeros', usage: { inputTokens: 0, outputTokens: 0 }, amounts: tokens(0, 0, 0) },
    { what: 'input and output, and their sum', usage: { inputTokens: 7, outputTokens: 3 }, amounts: tokens(7, 3, 10) },
    {
      what: 'the sum, not a total that says otherwise',
      usage: { inputTokens: 7, outputTokens: 3, totalTokens: 99 },
      amounts: tokens(7, 3, 10),
    },
    { what: 'a total alone', usage: { totalTokens: 12 }, amounts: { tokens: 12 } },
    {
      what: 'the total where the input is unknown',
      usage: { outputTokens: 3, totalTokens: 12 },
      amounts: { 'output-tokens': 3, tokens: 12 },
    },
    {
      what: 'the total where the output is unknown',
      usage: { inputTokens: 7, totalTokens: 12 },
      amounts: { 'input-tokens': 7, tokens: 12 },
    },
    { what: 'input alone, as of embeddings', usage: { inputTokens: 7 }, amounts: { 'input-tokens': 7, tokens: 7 } },
    {
      what: 'what is part of input and output, beside them',
      usage: { inputTokens: 7, outputTokens: 3, cacheReadTokens: 5, cacheWriteTokens: 1, reasoningTokens: 2 },
      amounts: { ...tokens(7, 3, 10), 'cached-input-tokens': 5, 'reasoning-tokens': 2 },
    },
    {
      what: 'what is no token',
      usage: { costNanos: 1_500, credits: 2, seconds: 0.2, images: 4 },
      amounts: { cost: 1_500, credits: 2, seconds: 1, images: 4 },
    },
    {
      what: 'no more than can be counted',
      usage: { inputTokens: MAX_UNITS, outputTokens: MAX_UNITS },
      amounts: tokens(MAX_UNITS, MAX_UNITS, MAX_UNITS),
    },
    {
      what: 'figures that make no sense as 0',
      usage: { inputTokens: -5, outputTokens: Number.NaN },
      amounts: tokens(0, 0, 0),
    },
  ]
  for (const { what, usage, amounts } of cases) {
    it(`charges ${what}`, () => {
      expect(amountsOf({ basis: 'reported', ...usage })).to.deep.equal({ requests: 1, ...amounts })
    })
  }

  it('charges a request whose usage nobody knows, and nothing else', () => {
    expect(amountsOf(undefined)).to.deep.equal({ requests: 1 })
  })

  it('gives whole units within bounds, whatever the figures', () => {
    const figure = fc.option(fc.double(), { nil: undefined })
    const usage = fc.record({ inputTokens: figure, outputTokens: figure, totalTokens: figure, costNanos: figure })
    const property = fc.property(usage, (figures) => {
      const amounts = amountsOf({ basis: 'reported', ...figures })
      for (const unit of UNITS) {
        const amount = amounts[unit]
        if (amount === undefined) continue
        expect(Number.isInteger(amount) && amount >= 0 && amount <= MAX_UNITS, `${unit}: ${amount}`).to.equal(true)
      }
      expect('tokens' in amounts).to.equal(
        [figures.inputTokens, figures.outputTokens, figures.totalTokens].some((each) => each !== undefined),
      )
    })
    fc.assert(property)
  })
})

function tokens(input: number, output: number, both: number): Amounts {
  return { 'input-tokens': input, 'output-tokens': output, tokens: both }
}
