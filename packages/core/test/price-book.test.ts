import { PriceBook, type ModelPrice, type Usage } from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'
import { AT, bookOf, priced } from './price-bed.ts'

describe('PriceBook', () => {
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
