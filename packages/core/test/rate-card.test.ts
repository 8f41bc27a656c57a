import { MAX_UNITS, type ModelPrice, type RateCard, type Usage } from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'
import { costOf } from './price-bed.ts'

describe('RateCard', () => {
  describe('what a usage costs', () => {
    const cases: {
      what: string
      price: Omit<ModelPrice, 'model'>
      usage: Omit<Usage, 'basis'>
      nanos: number | undefined
    }[] = [
      {
        what: 'input and output',
        price: { input: 2.5, output: 10 },
        usage: { inputTokens: 1_000, outputTokens: 100 },
        nanos: 3_500_000,
      },
      {
        what: 'cache reads once, and cheaper',
        price: { input: 3, output: 15, cacheRead: 0.3 },
        usage: { inputTokens: 1_000, cacheReadTokens: 900, outputTokens: 0 },
        nanos: 570_000,
      },
      {
        what: 'cache writes by lifetime',
        price: { input: 3, cacheWrite: 3.75, cacheWrite1h: 6 },
        usage: { inputTokens: 1_000, cacheWriteTokens: 600, cacheWrite5mTokens: 200, cacheWrite1hTokens: 400 },
        nanos: 400 * 3_000 + 200 * 3_750 + 400 * 6_000,
      },
      {
        what: 'writes whose lifetime nobody says, as those of five minutes',
        price: { input: 3, cacheWrite: 3.75, cacheWrite1h: 6 },
        usage: { inputTokens: 100, cacheWriteTokens: 100 },
        nanos: 375_000,
      },
      {
        what: 'lifetimes without their sum',
        price: { input: 3, cacheWrite1h: 6 },
        usage: { inputTokens: 100, cacheWrite1hTokens: 50 },
        nanos: 450_000,
      },
      {
        what: 'reasoning as output unless it has a rate',
        price: { output: 10 },
        usage: { outputTokens: 100, reasoningTokens: 60 },
        nanos: 1_000_000,
      },
      {
        what: 'reasoning at its own rate',
        price: { output: 10, reasoning: 20 },
        usage: { outputTokens: 100, reasoningTokens: 60 },
        nanos: 1_600_000,
      },
      {
        what: 'no more of a part than of its whole',
        price: { output: 10, reasoning: 20 },
        usage: { outputTokens: 100, reasoningTokens: 160 },
        nanos: 2_000_000,
      },
      {
        what: 'audio and images of input',
        price: { input: 1, audioInput: 10, imageInput: 2 },
        usage: { inputTokens: 100, audioInputTokens: 50, imageInputTokens: 20 },
        nanos: 30_000 + 500_000 + 40_000,
      },
      {
        what: 'parts that are more than the whole together',
        price: { input: 1, cacheRead: 0.1, audioInput: 10 },
        usage: { inputTokens: 100, cacheReadTokens: 80, audioInputTokens: 90 },
        nanos: 8_000 + 200_000,
      },
      {
        what: 'audio and images of output',
        price: { output: 1, audioOutput: 10, imageOutput: 30 },
        usage: { outputTokens: 100, audioOutputTokens: 40, imageOutputTokens: 10 },
        nanos: 50_000 + 400_000 + 300_000,
      },
      {
        what: 'billed units before counted ones',
        price: { input: 1, output: 1 },
        usage: { inputTokens: 502, outputTokens: 9, billedInputTokens: 7, billedOutputTokens: 2 },
        nanos: 9_000,
      },
      {
        what: 'images, searches, calls',
        price: { image: 0.04, search: 0.01, call: 0.005 },
        usage: { images: 2, searches: 3 },
        nanos: 115_000_000,
      },
      { what: 'minutes of audio', price: { minute: 0.006 }, usage: { seconds: 7 }, nanos: 700_000 },
      { what: 'seconds of audio', price: { second: 0.0001 }, usage: { seconds: 1.5 }, nanos: 150_000 },
      {
        what: 'a total that nobody has split, at the dearer rate',
        price: { input: 1, output: 4 },
        usage: { totalTokens: 10 },
        nanos: 40_000,
      },
      {
        what: 'a total of which the input is known',
        price: { input: 1, output: 4 },
        usage: { inputTokens: 4, totalTokens: 10 },
        nanos: 28_000,
      },
      {
        what: 'a total of which the output is known',
        price: { input: 1, output: 4 },
        usage: { outputTokens: 4, totalTokens: 10 },
        nanos: 22_000,
      },
      { what: 'input alone, as of embeddings', price: { input: 0.02 }, usage: { inputTokens: 1 }, nanos: 20 },
      { what: 'a fraction of a nano, rounded up', price: { input: 0.0375 }, usage: { inputTokens: 1 }, nanos: 38 },
      {
        what: 'an explicit zero',
        price: { input: 1, output: 1 },
        usage: { inputTokens: 0, outputTokens: 0 },
        nanos: 0,
      },
      {
        what: 'nothing that is known: nobody knows',
        price: { minute: 0.006 },
        usage: { inputTokens: 4 },
        nanos: undefined,
      },
      {
        what: 'more than there is room for',
        price: { input: 4_000_000 },
        usage: { inputTokens: MAX_UNITS },
        nanos: MAX_UNITS,
      },
    ]
    for (const { what, price, usage, nanos } of cases)
      it(what, () => {
        expect(costOf(price, usage)).to.equal(nanos)
      })

    it('never throws on figures that are none', () => {
      for (const figure of [Number.NaN, -5, 0.5, Infinity])
        expect(
          costOf(
            { input: 3, output: 1e6, cacheRead: 1 },
            { inputTokens: figure, outputTokens: figure, cacheReadTokens: figure },
          ),
        ).to.be.within(0, MAX_UNITS)
    })
  })

  describe('long context', () => {
    const price = { input: 1.25, output: 10, cacheRead: 0.125, longContext: { above: 200_000, input: 2.5, output: 15 } }
    it('begins above its threshold, and is for the whole call', () => {
      expect(costOf(price, { inputTokens: 200_000, outputTokens: 1 })).to.equal(250_010_000)
      expect(costOf(price, { inputTokens: 200_001, outputTokens: 1 })).to.equal(500_002_500 + 15_000)
    })
    it('leaves rates that it does not state as they are, and counts cached input', () => {
      expect(costOf(price, { inputTokens: 300_000, cacheReadTokens: 300_000, outputTokens: 0 })).to.equal(37_500_000)
    })
    it('goes by the highest of several that is passed', () => {
      const several = {
        input: 1,
        longContext: [
          { above: 10, input: 2 },
          { above: 20, input: 3 },
        ],
      }
      expect([10, 11, 20, 21].map((inputTokens) => costOf(several, { inputTokens }))).to.deep.equal([
        10_000, 22_000, 40_000, 63_000,
      ])
    })
  })

  describe('tiers of service', () => {
    const price = {
      input: 2,
      output: 8,
      longContext: { above: 100, input: 4 },
      tiers: { batch: { multiplier: 0.5 }, priority: { input: 3.5, output: 14 } },
    }
    for (const [serviceTier, inputTokens, nanos] of [
      [undefined, 10, 28_000],
      ['default', 10, 28_000],
      ['batch', 10, 14_000],
      ['BATCH', 10, 14_000],
      ['priority', 10, 49_000],
      ['batch', 101, (101 * 4_000 + 8_000) / 2],
      ['priority', 101, 101 * 3_500 + 14_000],
    ] as const)
      it(`${serviceTier}, ${inputTokens} tokens of input`, () => {
        expect(costOf(price, { inputTokens, outputTokens: 1, serviceTier })).to.equal(nanos)
      })
    it('round once, at the end', () => {
      expect(
        costOf({ input: 0.001, tiers: { batch: { multiplier: 0.5 } } }, { inputTokens: 3, serviceTier: 'batch' }),
      ).to.equal(2)
    })
  })

  it('costs what exact fractions say, for any card and usage', () => {
    const rate = fc.integer({ min: 0, max: 1_000_000_000_000 }).map((nanos) => nanos / 1e9)
    const rates = [
      'input',
      'output',
      'cacheRead',
      'cacheWrite',
      'cacheWrite1h',
      'audioInput',
      'reasoning',
      'image',
      'search',
      'call',
    ] as const
    const card = fc.record(Object.fromEntries(rates.map((name) => [name, rate])), {
      requiredKeys: ['input', 'output'],
    }) as fc.Arbitrary<RateCard>
    const tokens = fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: MAX_UNITS }))
    const figures = fc.tuple(tokens, tokens, tokens, tokens, tokens, tokens, tokens, fc.nat(9), fc.nat(9))
    fc.assert(
      fc.property(card, figures, fc.integer({ min: 0, max: 3_000_000 }), (rated, amounts, millionths) => {
        const [
          inputTokens,
          outputTokens,
          cacheReadTokens,
          short,
          long,
          audioInputTokens,
          reasoningTokens,
          images,
          searches,
        ] = amounts
        const usage = {
          inputTokens,
          outputTokens,
          cacheReadTokens,
          cacheWriteTokens: short,
          cacheWrite1hTokens: long,
          audioInputTokens,
          reasoningTokens,
          images,
          searches,
          serviceTier: 't',
        }
        const tiers = { t: { multiplier: millionths / 1e6 } }
        expect(costOf({ ...rated, tiers }, usage)).to.equal(exactCost(rated, usage, millionths))
      }),
      { numRuns: runs(200) },
    )
  })
})

type Rational = { readonly over: bigint; readonly under: bigint }

/** The same by other means: fractions of big integers, part by part. */
function exactCost(rates: RateCard, usage: Record<string, number | string>, millionths: number): number {
  const rateOf = (...names: (keyof RateCard)[]): bigint => {
    const name = names.find((each) => rates[each] !== undefined)
    return name === undefined ? 0n : BigInt(Math.round(rates[name]! * 1e9))
  }
  let input = BigInt(usage['inputTokens']!)
  let output = BigInt(usage['outputTokens']!)
  let sum: Rational = { over: 0n, under: 1n }
  const add = (over: bigint, under: bigint): void => {
    sum = { over: sum.over * under + over * sum.under, under: sum.under * under }
  }
  const least = (one: bigint, other: bigint): bigint => (one < other ? one : other)
  const fromInput = (amount: bigint, rate: bigint): void => {
    const taken = least(amount, input)
    input -= taken
    add(taken * rate, 1_000_000n)
  }
  const written = BigInt(usage['cacheWriteTokens']!)
  const long = least(BigInt(usage['cacheWrite1hTokens']!), written)
  fromInput(BigInt(usage['cacheReadTokens']!), rateOf('cacheRead', 'input'))
  fromInput(long, rateOf('cacheWrite1h', 'cacheWrite', 'input'))
  fromInput(written - long, rateOf('cacheWrite', 'input'))
  fromInput(BigInt(usage['audioInputTokens']!), rateOf('audioInput', 'input'))
  fromInput(input, rateOf('input'))
  const reasoning = least(BigInt(usage['reasoningTokens']!), output)
  add(reasoning * rateOf('reasoning', 'output'), 1_000_000n)
  output -= reasoning
  add(output * rateOf('output'), 1_000_000n)
  for (const [name, figure] of [
    ['image', 'images'],
    ['search', 'searches'],
  ] as const)
    add(BigInt(usage[figure]!) * rateOf(name), 1n)
  add(rateOf('call'), 1n)
  add(0n, 1n)
  const over = sum.over * BigInt(millionths)
  const under = sum.under * 1_000_000n
  const whole = (over + under - 1n) / under
  return whole > BigInt(MAX_UNITS) ? MAX_UNITS : Number(whole)
}
