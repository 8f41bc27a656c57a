import { runs } from '@tallygate/testkit'
import { injectIncludeUsage } from '@tallygate/flow'
import { expect } from 'chai'
import fc from 'fast-check'

type Json = Record<string, unknown>

function injected(text: string): string | undefined {
  return injectIncludeUsage(Buffer.from(text), JSON.parse(text) as Json)?.toString('utf8')
}

describe('injectIncludeUsage', () => {
  const cases: readonly (readonly [from: string, to: string | undefined])[] = [
    ['{"stream":true}', '{"stream":true,"stream_options":{"include_usage":true}}'],
    ['{}', '{"stream_options":{"include_usage":true}}'],
    ['{ "stream" : true } \n', '{ "stream" : true ,"stream_options":{"include_usage":true}} \n'],
    ['{"stream_options":{"include_usage":true}}', undefined],
    ['{"stream_options":{"include_usage": false }, "x":1.0}', '{"stream_options":{"include_usage": true }, "x":1.0}'],
    ['{"stream_options":{}, "x":1}', '{"stream_options":{"include_usage":true}, "x":1}'],
    [
      '{"stream_options":{"include_obfuscation":false}}',
      '{"stream_options":{"include_obfuscation":false,"include_usage":true}}',
    ],
    ['{"stream_options":null,"x":1}', '{"stream_options":{"include_usage":true},"x":1}'],
    [
      '{"a":{"stream_options":{"include_usage":true}}}',
      '{"a":{"stream_options":{"include_usage":true}},"stream_options":{"include_usage":true}}',
    ],
    [
      '{"user":"\\"stream_options\\":{}","stream_options":{"include_usage":null}}',
      '{"user":"\\"stream_options\\":{}","stream_options":{"include_usage":true}}',
    ],
    ['{"stream\\u005foptions":{"include_usage":false}}', '{"stream\\u005foptions":{"include_usage":true}}'],
  ]
  for (const [from, to] of cases) {
    it(`${from} becomes ${to ?? 'nothing else'}`, () => {
      expect(injected(from)).to.equal(to)
    })
  }

  it('asks for usage whatever the request is, and changes nothing else of it', () => {
    const options = fc.option(
      fc.record(
        { include_usage: fc.oneof(fc.boolean(), fc.constant(null)), include_obfuscation: fc.jsonValue() },
        { requiredKeys: [] },
      ),
      { nil: null },
    )
    const body = fc.record(
      { messages: fc.jsonValue(), stream_options: options, seed: fc.integer() },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(body, fc.constantFrom(undefined, 1, '\t'), (request, indent) => {
        const text = JSON.stringify(request, null, indent)
        const parsed = JSON.parse(text) as Json
        const expected = {
          ...parsed,
          stream_options: { ...(parsed['stream_options'] as Json | null), include_usage: true },
        }
        expect(JSON.parse(injected(text) ?? text)).to.deep.equal(expected)
      }),
      { numRuns: runs(500) },
    )
  })
})
