import { runs } from '@tallygate/testkit'
import { LiveCounter, TokenCounter, tokenFamily } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { tiktokenCount } from './tiktoken-count.ts'

const TEXTS = [
  "The quick brown fox jumps; over the lazy dog, they said. It's 12,345.67 o'clock. ",
  '今天天气很好，我们去公园散步。你觉得怎么样？',
  JSON.stringify({ id: 1, name: "it's_n", tags: ['a', "b's"], 'a b': [1.5, null] }),
  'const a = 1\n\n  return a\n\tif (x /= 2) { }\r\n',
  'Straße 🙂👩‍👩‍👧 naïve — “quoted” … ',
] as const

describe('LiveCounter', () => {
  const counter = new TokenCounter({ deadlineMs: 30_000 })
  after(() => counter.close())

  /** Long texts of mixed kinds, cut into deltas anywhere: also between the halves of a character. */
  const stream = fc
    .tuple(
      fc.array(fc.tuple(fc.constantFrom(...TEXTS), fc.integer({ min: 1, max: 60 })), { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 50 }),
    )
    .map(([parts, lengths]) => {
      const text = parts.map(([each, times]) => each.repeat(times)).join('')
      const deltas: string[] = []
      for (let at = 0, index = 0; at < text.length; index += 1) {
        const length = lengths[index % lengths.length]!
        deltas.push(text.slice(at, at + length))
        at += length
      }
      return { text, deltas }
    })

  for (const model of ['gpt-4o', 'gpt-4']) {
    it(`counts any deltas for ${model} as the whole text`, async () => {
      await fc.assert(
        fc.asyncProperty(stream, async ({ text, deltas }) => {
          const live = new LiveCounter(counter, model)
          for (const delta of deltas) live.add(delta)
          const tokens = tiktokenCount(tokenFamily(model).encoding, text)
          expect(await live.finish()).to.include({ tokens, bound: tokens, isComplete: true, confidence: 'high' })
        }),
        { numRuns: runs(25) },
      )
    })
  }

  it('shows a figure that the text never exceeds, and that is the count in the end', async () => {
    const text = TEXTS[0].repeat(200)
    const live = new LiveCounter(counter, 'gpt-4o')
    for (let at = 0; at < text.length; at += 5) {
      live.add(text.slice(at, at + 5))
      if (at % 2_000 === 0) {
        await new Promise((resolve) => setImmediate(resolve))
        expect(live.tokens).to.be.at.least(tiktokenCount('o200k_base', text.slice(0, at + 5)))
      }
    }
    const { tokens } = await live.finish()
    expect(live.tokens).to.equal(tokens)
  })

  it('counts as many times more as the family does', async () => {
    const text = TEXTS[0].repeat(100)
    const live = new LiveCounter(counter, 'claude-sonnet-4-5')
    live.add(text)
    const { factor } = tokenFamily('claude-sonnet-4-5').calibrated!.output
    const { tokens, confidence } = await live.finish()
    expect(tokens).to.equal(Math.round(tiktokenCount('o200k_base', text) * factor))
    expect(confidence).to.equal('medium')
  })

  it('holds no more than 64 Ki characters of a text that has no safe cut', async () => {
    const live = new LiveCounter(counter, 'gpt-4o')
    for (let at = 0; at < 100; at += 1) live.add('x'.repeat(4_000))
    const { tokens, isComplete } = await live.finish()
    expect(isComplete).to.equal(true)
    // Forced cuts, and those within runs, may cost a token each.
    expect(tokens).to.be.within(50_000, 50_100)
  })

  it('answers the same when it is asked again, and counts nothing behind its end', async () => {
    const live = new LiveCounter(counter, 'gpt-4o')
    live.add('hello world')
    const first = live.finish()
    live.add(' and more')
    expect(await first).to.include({ tokens: 2 })
    expect(await live.finish()).to.equal(await first)
    expect(live.tokens).to.equal(2)
  })

  it('is 0 of nothing, and starts no worker for it', async () => {
    const idle = new TokenCounter()
    const live = new LiveCounter(idle, 'gpt-4o')
    live.add('')
    expect(await live.finish()).to.include({ tokens: 0, isComplete: true })
    expect(idle.isLoaded).to.equal(false)
  })

  it('bounds what the worker does not count', async () => {
    const full = new TokenCounter({ maxQueueBytes: 0 })
    const live = new LiveCounter(full, 'gpt-4o')
    live.add('hello world')
    expect(await live.finish()).to.include({ tokens: 3, bound: 11, isComplete: false, confidence: 'low' })
  })
})
