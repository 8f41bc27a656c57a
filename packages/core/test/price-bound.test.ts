import { RATES, type RateCard } from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'
import { AT, bookOf, priced } from './price-bed.ts'

describe('PriceBook.bound', () => {
  it('is never less than what a call costs that uses no more', () => {
    const rate = fc.integer({ min: 0, max: 100_000_000_000 }).map((nanos) => nanos / 1e9)
    // Of seconds and minutes a card has one.
    const names = RATES.filter((name) => name !== 'second')
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
          const book = bookOf({ model: 'm', ...base, longContext: { above, ...long } })
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
            seconds: 3,
          }
          const found = book.find({ model: 'm', atMs: AT })!
          const { cost } = book.bound(found, {
            inputTokens: inputTokens + 7,
            outputTokens,
            images: 2,
            searches: 1,
            seconds: 3,
          })
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
