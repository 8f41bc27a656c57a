import { lowerCeiling } from '@tallygate/flow'
import { ADAPTERS, parseJsonBody } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const CHAT = [['max_completion_tokens'], ['max_tokens']]
const GEMINI = [
  ['generationConfig', 'maxOutputTokens'],
  ['generation_config', 'max_output_tokens'],
]

/** Where the operations that are metered say how much output they allow. */
const LOWERABLE = ADAPTERS.flatMap(({ request: { ceiling } }) =>
  ceiling === 'none' || ceiling.length === 0 ? [] : [ceiling],
)

function lowered(text: string, paths: readonly (readonly string[])[], tokens = 40): string {
  const body = Buffer.from(text)
  return lowerCeiling(body, JSON.parse(text) as Record<string, unknown>, paths, tokens).toString()
}

describe('lowerCeiling', () => {
  const table: readonly (readonly [what: string, paths: readonly (readonly string[])[], from: string, to: string])[] = [
    ['a ceiling', CHAT, '{ "max_tokens" : 500 , "a": 1 }', '{ "max_tokens" : 40 , "a": 1 }'],
    ['none', CHAT, '{"a": 1 }', '{"a": 1 ,"max_completion_tokens":40}'],
    ['nothing at all', CHAT, '{}', '{"max_completion_tokens":40}'],
    ['one that is low enough', CHAT, '{"max_tokens":40}', '{"max_tokens":40}'],
    [
      'two ceilings',
      CHAT,
      '{"max_tokens":500,"max_completion_tokens":9e3}',
      '{"max_tokens":40,"max_completion_tokens":40}',
    ],
    [
      'two, of which one is low',
      CHAT,
      '{"max_tokens":5,"max_completion_tokens":50}',
      '{"max_tokens":5,"max_completion_tokens":40}',
    ],
    [
      'one beside one that is null',
      CHAT,
      '{"max_completion_tokens":null,"max_tokens":99}',
      '{"max_completion_tokens":null,"max_tokens":40}',
    ],
    ['null', CHAT, '{"max_tokens":null}', '{"max_tokens":40}'],
    [
      'a number in quotes',
      GEMINI,
      '{"generationConfig":{"maxOutputTokens":"900"}}',
      '{"generationConfig":{"maxOutputTokens":40}}',
    ],
    [
      'a number in quotes beside a low one',
      CHAT,
      '{"max_tokens":"900","max_completion_tokens":7}',
      '{"max_tokens":40,"max_completion_tokens":7}',
    ],
    [
      'a nested ceiling',
      GEMINI,
      '{"generationConfig":{"topK":1,"maxOutputTokens":900}}',
      '{"generationConfig":{"topK":1,"maxOutputTokens":40}}',
    ],
    [
      'no nested one',
      GEMINI,
      '{"generationConfig":{"topK":1}}',
      '{"generationConfig":{"topK":1,"maxOutputTokens":40}}',
    ],
    ['an empty object', GEMINI, '{"generation_config": { } }', '{"generation_config": { "max_output_tokens":40} }'],
    ['no object', GEMINI, '{"contents":[]}', '{"contents":[],"generationConfig":{"maxOutputTokens":40}}'],
    ['null in place of the object', GEMINI, '{"generationConfig":null}', '{"generationConfig":{"maxOutputTokens":40}}'],
    [
      'the words inside a text',
      CHAT,
      '{"a":"\\"max_tokens\\":500","b":{"max_tokens":500}}',
      '{"a":"\\"max_tokens\\":500","b":{"max_tokens":500},"max_completion_tokens":40}',
    ],
    ['an escaped name', CHAT, '{"max\\u005ftokens":500}', '{"max\\u005ftokens":40}'],
  ]
  for (const [what, paths, from, to] of table) {
    it(`lowers ${what}, and leaves every other byte`, () => expect(lowered(from, paths)).to.equal(to))
  }

  it('leaves a body that its provider reads the same, but for a ceiling that is no higher', () => {
    const value = fc.oneof(fc.jsonValue(), fc.integer({ min: -5, max: 10_000 }))
    const members = fc.dictionary(fc.constantFrom('maxOutputTokens', 'max_output_tokens', 'x'), value)
    const names = [
      'max_tokens',
      'max_completion_tokens',
      'max_output_tokens',
      'generationConfig',
      'generation_config',
      'b',
    ]
    const bodies = fc.dictionary(fc.constantFrom(...names), fc.oneof(value, members))
    fc.assert(
      fc.property(bodies, fc.constantFrom(...LOWERABLE), fc.nat(500), (body, paths, space) => {
        const text = JSON.stringify(body, undefined, space % 4)
        const changed = lowered(text, paths, 40)
        const parsed = parseJsonBody(Buffer.from(changed))
        expect(parsed.ok).to.equal(true)
        const ceilings = paths.map((path) => at(JSON.parse(changed), path))
        const numbers = ceilings.filter((each): each is number => typeof each === 'number' && each > 0)
        expect(numbers).to.not.deep.equal([])
        expect(Math.max(...numbers)).to.be.at.most(40)
        expect(without(JSON.parse(changed), paths)).to.deep.equal(without(JSON.parse(text), paths))
      }),
      { numRuns: runs(500) },
    )
  })
})

function at(body: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, name) => (Object(value) as Record<string, unknown>)[name], body)
}

/** A body but for ceilings, and for objects that hold nothing else. */
function without(body: Record<string, unknown>, paths: readonly (readonly string[])[]): unknown {
  const copy = structuredClone(body)
  for (const [first, second] of paths) {
    const inner = copy[first!]
    if (second === undefined) delete copy[first!]
    else if (typeof inner === 'object' && inner !== null && !Array.isArray(inner)) {
      delete (inner as Record<string, unknown>)[second]
      if (Object.keys(inner).length === 0) delete copy[first!]
    } else delete copy[first!]
  }
  return copy
}
