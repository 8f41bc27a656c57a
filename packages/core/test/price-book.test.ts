import { MAX_UNITS, PriceBook, type ModelPrice, type RateCard, type Usage } from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'

const AT = Date.UTC(2026, 5, 1)

function bookOf(...prices: ModelPrice[]): PriceBook {
  return new PriceBook({ version: 'v1', prices })
}

function priced(book: PriceBook, usage: Omit<Usage, 'basis'>, call: object = {}): Usage {
  return book.priced({ basis: 'reported', ...usage }, { provider: 'openai', model: 'm', atMs: AT, ...call })
}

function costOf(price: Omit<ModelPrice, 'model'>, usage: Omit<Usage, 'basis'>): number | undefined {
  return priced(bookOf({ model: 'm', ...price }), usage).costNanos
}

describe('PriceBook', () => {
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

  describe('which price', () => {
    const book = bookOf(
      { model: 'gpt-4o', provider: ['openai', 'azure.*'], input: 2.5 },
      { model: 'gpt-4o', provider: 'openai', from: '2026-05-01', input: 2 },
      { model: 'gpt-4o', provider: 'openai', from: '2026-07-01T12:00:00Z', input: 1 },
      { model: 'gpt-4o-mini', input: 0.15 },
      { model: 'gpt-4o-2024-05-13', input: 5 },
      { model: ['claude-*', 'claude-opus-*'], input: 15 },
      { model: 'claude-haiku*', provider: 'anthropic', input: 1 },
      { model: '*', provider: 'catch-all', input: 7 },
      { model: 'gpt-4o-mini', provider: 'catch-all', input: 8 },
    )
    const input = (call: object): number | undefined => {
      const { costNanos } = priced(book, { inputTokens: 1_000_000 }, call)
      return costNanos === undefined ? undefined : costNanos / 1e9
    }
    for (const [call, dollars] of [
      [{ model: 'gpt-4o' }, 2],
      [{ model: 'gpt-4o', atMs: Date.UTC(2026, 4, 1) - 1 }, 2.5],
      [{ model: 'gpt-4o', atMs: Date.UTC(2026, 4, 1) }, 2],
      [{ model: 'gpt-4o', atMs: Date.UTC(2026, 6, 1, 12) }, 1],
      [{ model: 'gpt-4o', provider: 'azure.ai.openai' }, 2.5],
      [{ model: 'gpt-4o', provider: 'other' }, undefined],
      [{ model: ' GPT-4o ' }, 2],
      [{ model: 'gpt-4o-2024-11-20' }, 2],
      [{ model: 'gpt-4o-2024-05-13' }, 5],
      [{ model: 'gpt-4o-audio' }, undefined],
      [{ model: 'gpt-4o-mini-20250101', provider: undefined }, 0.15],
      [{ model: 'claude-haiku-9', provider: 'anthropic' }, 1],
      [{ model: 'claude-haiku-9' }, 15],
      [{ model: 'my-deployment', responseModel: 'gpt-4o-2024-08-06' }, 2],
      [{ model: 'gpt-4o-mini', responseModel: 'whatever' }, 0.15],
      [{ model: 'models/gpt-4o-mini' }, 0.15],
      [{ model: 'publishers/x/models/gpt-4o-mini@latest' }, undefined],
      [{ model: 'gpt-4o-mini-20250101', provider: 'catch-all' }, 8],
      [{ model: 'gpt-4o-mini', responseModel: 'x', provider: 'catch-all' }, 8],
      [{ model: 'y', responseModel: 'claude-opus-1', provider: 'catch-all' }, 15],
      [{ model: 'y', provider: 'catch-all' }, 7],
      [{ model: undefined }, undefined],
      [{ model: '' }, undefined],
    ] as const)
      it(`${JSON.stringify(call)}: ${dollars}`, () => {
        expect(input(call)).to.equal(dollars)
      })

    it('says by which price, and flags what has none', () => {
      expect(priced(book, { inputTokens: 1 }, { model: 'gpt-4o' })).to.deep.equal({
        basis: 'reported',
        inputTokens: 1,
        costNanos: 2_000,
        pricedBy: 'v1 openai/gpt-4o from 2026-05-01',
      })
      expect(priced(book, { inputTokens: 1, flags: ['byte-bound'] }, { model: 'x' })).to.deep.equal({
        basis: 'reported',
        inputTokens: 1,
        flags: ['byte-bound', 'unpriced'],
      })
    })

    it('remembers no more than so many names that callers make up', () => {
      for (let count = 0; count < 25_000; count += 1) book.find({ model: `x${count}`, atMs: AT })
      expect(input({ model: 'gpt-4o' })).to.equal(2)
    })
  })

  it('tells the same of names that come again, however many came meanwhile', () => {
    const book = bookOf(
      { model: 'a', input: 1 },
      { model: 'a', from: '2026-07-01', input: 2 },
      { model: 'b*', input: 3 },
    )
    const name = fc.constantFrom('a', 'b', 'b1', 'c', undefined)
    const question = fc.record({
      model: name,
      responseModel: name,
      provider: fc.constantFrom('x', undefined),
      atMs: fc.constantFrom(AT, Date.UTC(2026, 7)),
    })
    fc.assert(
      fc.property(fc.array(question, { maxLength: 60 }), (questions) => {
        for (const each of questions) {
          const fresh = bookOf(...book.definition.prices)
          expect(book.find(each, 'family-max')?.price.id).to.equal(fresh.find(each, 'family-max')?.price.id)
          expect(book.find(each)?.price.id).to.equal(fresh.find(each)?.price.id)
        }
      }),
      { numRuns: runs(200) },
    )
    for (let count = 0; count < 100; count += 1) book.find({ model: `m${count}`, responseModel: 'a', atMs: AT })
    expect(book.find({ model: 'm0', responseModel: 'a', atMs: AT })?.price.id).to.equal('a')
  })

  describe('family-max', () => {
    const book = bookOf(
      { provider: 'openai', model: 'gpt-4.1', input: 2, output: 8 },
      { provider: 'openai', model: 'gpt-4.1-nano', input: 0.1, output: 9 },
      { provider: 'openai', model: 'gpt-5*', input: 1, output: 10, longContext: { above: 9, input: 30 } },
      { provider: 'anthropic', model: 'claude-x', input: 15, output: 75 },
    )
    const rated = (call: object): Usage =>
      book.priced(
        { basis: 'reported', inputTokens: 1_000_000, outputTokens: 1_000_000 },
        { provider: 'openai', atMs: AT, ...call },
        'family-max',
      )
    it('takes the dearest rates of the longest family', () => {
      expect(rated({ model: 'gpt-4.1-vision' })).to.include({
        costNanos: 11_000_000_000,
        pricedBy: 'v1 family of gpt-4.1, gpt-4.1-nano (2)',
      })
      expect(rated({ model: 'gpt-4.1-vision' }).flags).to.deep.equal(['unpriced'])
    })
    it('takes those of long contexts, too', () => {
      expect(rated({ model: 'gpt-6' }).costNanos).to.equal(40_000_000_000)
    })
    it('stays with the provider, where the book knows it, else takes the whole book', () => {
      expect(rated({ model: 'claude-x' }).costNanos).to.equal(40_000_000_000)
      expect(rated({ model: 'zzz', provider: 'nobody' }).costNanos).to.equal(105_000_000_000)
      expect(rated({ model: 'mine', responseModel: 'gpt-4.1-vision' }).costNanos).to.equal(11_000_000_000)
      expect(rated({ model: undefined, provider: 'anthropic' }).costNanos).to.equal(90_000_000_000)
    })
    it('has nothing to take in an empty book', () => {
      expect(bookOf().find({ model: 'x', atMs: AT }, 'family-max')).to.equal(undefined)
    })
  })

  describe('what a provider says that a call costs', () => {
    const price: ModelPrice = { model: 'm', input: 1 }
    const usage = { inputTokens: 1_000, reportedCostNanos: 77 }
    it('counts where the book prefers it', () => {
      const book = new PriceBook({ prefer: 'reported', prices: [price] })
      expect(priced(book, usage)).to.include({ costNanos: 77, pricedBy: 'reported' })
      expect(priced(book, { inputTokens: 1_000 })).to.include({ costNanos: 1_000_000 })
    })
    it('counts where the book has no price, which is flagged', () => {
      expect(priced(bookOf(), usage)).to.deep.include({ costNanos: 77, pricedBy: 'reported', flags: ['unpriced'] })
      expect(priced(bookOf(price), usage)).to.include({ costNanos: 1_000_000 })
    })
    it('counts in no other currency', () => {
      const book = new PriceBook({ prefer: 'reported', currency: 'EUR', prices: [price] })
      expect(priced(book, usage)).to.include({ costNanos: 1_000_000 })
    })
    it('leaves a cost that a handler has stated', () => {
      expect(priced(bookOf(price), { inputTokens: 1, costNanos: 5 })).to.deep.equal({
        basis: 'reported',
        inputTokens: 1,
        costNanos: 5,
      })
    })
  })

  describe('credits', () => {
    it('are so many for a unit of the currency, rounded up once', () => {
      const book = new PriceBook({ creditsPerUnit: 100, prices: [{ model: 'm', input: 1 }] })
      expect(priced(book, { inputTokens: 10_001 })).to.include({ costNanos: 10_001_000, credits: 2 })
      expect(priced(book, { inputTokens: 10_000 })).to.include({ credits: 1 })
    })
    it('are as a price says itself', () => {
      const book = bookOf({ model: 'm', credits: { call: 1, image: 5 } })
      expect(priced(book, { images: 2 })).to.include({ credits: 11 })
      expect(priced(book, { images: 2 }).costNanos).to.equal(undefined)
    })
  })

  describe('bound', () => {
    it('is never less than what a call costs that uses no more', () => {
      const rate = fc.integer({ min: 0, max: 100_000_000_000 }).map((nanos) => nanos / 1e9)
      const names = [
        'input',
        'output',
        'cacheRead',
        'cacheWrite',
        'cacheWrite1h',
        'audioInput',
        'imageInput',
        'reasoning',
        'audioOutput',
        'imageOutput',
        'image',
        'search',
      ] as const
      const card = fc.record(Object.fromEntries(names.map((name) => [name, rate])), {
        requiredKeys: ['input', 'output'],
      }) as fc.Arbitrary<RateCard>
      const n = fc.nat(10_000)
      fc.assert(
        fc.property(
          card,
          card,
          n,
          n,
          fc.array(n, { minLength: 7, maxLength: 7 }),
          fc.nat(10_000),
          (base, long, inputTokens, outputTokens, parts, above) => {
            const book = bookOf({
              model: 'm',
              ...base,
              longContext: { above, ...long },
              creditsPerUnit: undefined,
            } as never)
            const [
              cacheReadTokens,
              cacheWriteTokens,
              cacheWrite1hTokens,
              audioInputTokens,
              imageInputTokens,
              reasoningTokens,
              audioOutputTokens,
            ] = parts
            const usage = {
              inputTokens,
              outputTokens,
              cacheReadTokens,
              cacheWriteTokens,
              cacheWrite1hTokens,
              audioInputTokens,
              imageInputTokens,
              reasoningTokens,
              audioOutputTokens,
              images: 2,
              searches: 1,
            }
            const found = book.find({ model: 'm', atMs: AT })!
            const { cost } = book.bound(found, { inputTokens: inputTokens + 7, outputTokens, images: 2, searches: 1 })
            expect(cost).to.be.at.least(priced(book, usage).costNanos!)
          },
        ),
        { numRuns: runs(200) },
      )
    })
    it('leaves out what a call can not have', () => {
      const book = bookOf({ model: 'm', input: 3, cacheWrite1h: 6, audioInput: 30, output: 1, audioOutput: 60 })
      const found = book.find({ model: 'm', atMs: AT })!
      const most = { inputTokens: 1_000, outputTokens: 100 }
      expect(book.bound(found, most).cost).to.equal(36_000_000)
      expect(book.bound(found, most, { audio: false }).cost).to.equal(6_100_000)
      expect(book.bound(found, most, { audio: false, cacheWrites: false }).cost).to.equal(3_100_000)
      expect(found.price).to.include({ hasDearerWrites: true, hasDearerAudio: true })
    })
    it('goes by the tier that is asked for', () => {
      const book = bookOf({ model: 'm', input: 3, tiers: { priority: { multiplier: 2 } } })
      const found = book.find({ model: 'm', atMs: AT })!
      expect(book.bound(found, { inputTokens: 10, outputTokens: 0 }, {}, 'priority').cost).to.equal(60_000)
    })

    it('takes no cheaper tier at its word, as calls of it can be served and billed as any other', () => {
      const tiers = { flex: { multiplier: 0.5 }, batch: { input: 1 } }
      const book = bookOf({ model: 'm', input: 3, longContext: { above: 20, input: 6 }, tiers })
      const found = book.find({ model: 'm', atMs: AT })!
      for (const tier of ['flex', 'batch', 'unheard-of', undefined]) {
        expect(book.bound(found, { inputTokens: 10, outputTokens: 0 }, {}, tier).cost).to.equal(30_000)
        expect(book.bound(found, { inputTokens: 30, outputTokens: 0 }, {}, tier).cost).to.equal(180_000)
      }
    })
  })

  describe('mistakes', () => {
    const mistakes: [string, unknown, RegExp][] = [
      ['no list', { prices: {} }, /^prices\.prices is \{\}/],
      ['another member', { prices: [], priecs: 1 }, /^prices\.priecs is 1/],
      ['a currency that is none', { currency: 'dollar', prices: [] }, /^prices\.currency is "dollar"/],
      [
        'a price without rates',
        { prices: [{ model: 'm' }] },
        /^prices\.prices\[0\] has no rate: use at least one of input/,
      ],
      ['a rate below 0', { prices: [{ model: 'm', input: -1 }] }, /^prices\.prices\[0\]\.input is -1/],
      ['a rate that is too fine', { prices: [{ model: 'm', input: 1e-10 }] }, /\.input is 1e-10/],
      ['a misspelt rate', { prices: [{ model: 'm', inptu: 1 }] }, /\.inptu is 1: there is no such member/],
      ['no model', { prices: [{ input: 1 }] }, /\.model is undefined/],
      ['an empty list of models', { prices: [{ model: [], input: 1 }] }, /\.model is \[\]/],
      ['a date that is none', { prices: [{ model: 'm', input: 1, from: '2026-02-30' }] }, /\.from is "2026-02-30"/],
      ['both second and minute', { prices: [{ model: 'm', second: 1, minute: 1 }] }, /\.minute is 1: second is given/],
      [
        'a threshold that is none',
        { prices: [{ model: 'm', input: 1, longContext: { above: -1, input: 2 } }] },
        /\.longContext\.above is -1/,
      ],
      [
        'a multiplier that is too fine',
        { prices: [{ model: 'm', input: 1, tiers: { batch: { multiplier: 0.1234567 } } }] },
        /\.tiers\.batch\.multiplier is 0\.1234567/,
      ],
      [
        'the same twice',
        {
          prices: [
            { model: 'm', input: 1 },
            { model: ['x', 'M'], input: 1 },
          ],
        },
        /^prices\.prices\[1\]\.model is "m": prices\.prices\[0\] has the same/,
      ],
      ['another word', { prefer: 'best', prices: [] }, /^prices\.prefer is "best"/],
      ['credits that are none', { creditsPerUnit: -1, prices: [] }, /^prices\.creditsPerUnit is -1/],
    ]
    for (const [what, definition, message] of mistakes)
      it(what, () => {
        expect(() => new PriceBook(definition as never))
          .to.throw(message)
          .with.property('code', 'ERR_QUOTA_CONFIG')
      })
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
