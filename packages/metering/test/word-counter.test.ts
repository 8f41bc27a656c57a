import { runs } from '@tallygate/testkit'
import { TokenCounter } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { tiktokenCount } from './tiktoken-count.ts'

const encoder = new TextEncoder()

describe('WordCounter', () => {
  const counter = new TokenCounter({ deadlineMs: 30_000 })
  after(() => counter.close())

  const word = fc.constantFrom(
    ...`river The don't 's ' naïve Straße 天气 🙂 x1y2 12,345 camelCaseWord ſ İ foo.bar( "a": \\ // LL S`.split(' '),
    'pneumonoultramicroscopic',
    '<|endoftext|>',
    '\ud83d',
    '\u0301',
  )
  const gap = fc.constantFrom(
    '',
    ' ',
    ' ',
    ' ',
    '  ',
    '   ',
    '\n',
    ' \n',
    '\n ',
    '\r\n\r\n',
    '\t',
    '\u00a0',
    '\u3000',
    '-',
  )
  const letters = fc.stringMatching(/^ ?[A-Za-z]{1,18}$/)
  const text = fc
    .array(
      fc.oneof(fc.tuple(gap, word), fc.tuple(gap, letters), fc.tuple(gap, fc.string({ unit: 'binary', maxLength: 6 }))),
    )
    .map((parts) => parts.flat().join(''))

  for (const [model, encoding] of [
    ['gpt-4o', 'o200k_base'],
    ['gpt-4', 'cl100k_base'],
  ] as const) {
    it(`counts any words for ${model} as tiktoken does the whole text, also when it meets them again`, async () => {
      await fc.assert(
        fc.asyncProperty(text, async (words) => {
          const whole = Buffer.from(words).toString()
          const task = { kind: 'text', body: encoder.encode(whole), model } as const
          const tokens = tiktokenCount(encoding, whole)
          expect((await counter.count(task)).tokens).to.equal(tokens)
          expect((await counter.count(task)).tokens).to.equal(tokens)
        }),
        { numRuns: runs(400) },
      )
    })
  }
})
