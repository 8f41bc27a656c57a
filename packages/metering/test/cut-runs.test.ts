import { runs } from '@tallygate/testkit'
import { cutRuns } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import cl100k from 'tiktoken/encoders/cl100k_base.json' with { type: 'json' }
import o200k from 'tiktoken/encoders/o200k_base.json' with { type: 'json' }

/** Merging takes time quadratic in the length of what an encoding does not break: 2,000 characters are harmless. */
const HARMLESS = 2_000

/** What random texts seldom come to: each of two kinds that expressions of JavaScript tell apart and tiktoken's do not. */
const KNOWN: [string][] = [
  [`=${'\n/'.repeat(2_000)}`],
  [' \u0085'.repeat(2_000)],
  ['=\ufeff'.repeat(2_000)],
  ['==\u0301'.repeat(2_000)],
]

describe('cutRuns', () => {
  const table: readonly (readonly [what: string, text: string, pieces: readonly string[]])[] = [
    ['nothing', '', []],
    ['words', 'The quick brown fox.', ['The quick brown fox.']],
    ['a run of 399', 'a'.repeat(399), ['a'.repeat(399)]],
    ['a run of 400', 'a'.repeat(400), ['a'.repeat(256), 'a'.repeat(144)]],
    ['a run within words', `x ${'='.repeat(600)} y`, ['x ', '='.repeat(256), '='.repeat(256), '='.repeat(88), ' y']],
    [
      'runs of characters of two units',
      '🙂'.repeat(500),
      ['🙂'.repeat(128), '🙂'.repeat(128), '🙂'.repeat(128), '🙂'.repeat(116)],
    ],
  ]
  for (const [what, text, pieces] of table) {
    it(`cuts ${what}`, () => {
      expect(cutRuns(text)).to.deep.equal(pieces)
    })
  }

  it('loses nothing, and cuts no character in two', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const pieces = cutRuns(text)
        expect(pieces.join('') === text).to.equal(true)
        for (const piece of pieces) expect(piece.isWellFormed()).to.equal(true)
      }),
    )
  })

  for (const [name, { pat_str: pattern }] of Object.entries({ cl100k, o200k })) {
    it(`leaves nothing in a text that ${name} would merge for long`, () => {
      const breaks = new RegExp(
        pattern.replaceAll('[^\\s', '[^\\p{White_Space}').replaceAll('\\s', '\\p{White_Space}'),
        'gu',
      )
      fc.assert(
        fc.property(hostile, (text) => {
          const longest = Math.max(
            0,
            ...cutRuns(text).flatMap((piece) => (piece.match(breaks) ?? []).map((part) => part.length)),
          )
          expect(longest).to.be.at.most(HARMLESS)
        }),
        { numRuns: runs(500), examples: KNOWN },
      )
    })
  }
})

/** Few characters, many times: of all the classes that the encodings' expressions tell apart. */
const character = fc.constantFrom(
  ...Array.from('aAß中اʰǅ\u0301\u200d1²٣ \t\n\r\u0085\u00a0\u2028\u3000\ufeff/=\'"\u0000🙂𝒜\u{1f1e6}\ue000，_-'),
  "'s",
)
const hostile = fc
  .tuple(
    fc.array(character, { maxLength: 5 }),
    fc.array(character, { minLength: 1, maxLength: 4 }),
    fc.nat(2_000),
    fc.boolean(),
  )
  .map(([before, unit, times, twice]) => {
    const run = before.join('') + unit.join('').repeat(times + 1_000)
    return twice ? run + run : run
  })
