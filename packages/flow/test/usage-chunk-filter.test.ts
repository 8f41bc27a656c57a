import { runs } from '@tallygate/testkit'
import { withoutUsage } from '@tallygate/flow'
import { expect } from 'chai'
import fc from 'fast-check'

const chunk = (delta: unknown, usage: string): string =>
  `data: {"id":"c","choices":[{"index":0,"delta":${JSON.stringify(delta)}}]${usage}}\n\n`
const USAGE = 'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
const DONE = 'data: [DONE]\n\n'
const filtered = (events: string): string => withoutUsage(Buffer.from(events)).toString()

describe('withoutUsage', () => {
  it('gives the caller what it would have got without us, whatever the text says', () => {
    const contents = fc.array(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.constantFrom(
          '"usage":null',
          ',"usage":null}',
          '"usage":{"x":1}',
          '\n\ndata: {"usage":null}\n\n',
          'choices":[]',
        ),
      ),
      { minLength: 1, maxLength: 12 },
    )
    fc.assert(
      fc.property(contents, (texts) => {
        const plain = texts.map((content) => chunk({ content }, '')).join('') + DONE
        const asked = texts.map((content) => chunk({ content }, ',"usage":null')).join('') + USAGE + DONE
        expect(filtered(asked)).to.equal(plain)
        expect(filtered(plain)).to.equal(plain)
      }),
      { numRuns: runs(300) },
    )
  })

  for (const [name, events, expected] of [
    ['spaces', 'data: {"choices" : [ {} ] , "usage" : null }\n\n', 'data: {"choices" : [ {} ]  }\n\n'],
    ['the member at the front', 'data: {"usage":null,"choices":[{}]}\n\n', 'data: {"choices":[{}]}\n\n'],
    ['the member as the only one', 'data: {"usage":null}\n\n', 'data: {}\n\n'],
    ['the member twice', 'data: {"usage":null,"choices":[{}],"usage":null}\n\n', 'data: {"choices":[{}]}\n\n'],
    ['the member twice at the front', 'data: {"usage":null,"usage":null,"id":"c"}\n\n', 'data: {"id":"c"}\n\n'],
    ['the member twice as the only one', 'data: {"usage":null , "usage":null}\n\n', 'data: { }\n\n'],
    ['the member three times', 'data: {"id":"c","usage":null,"usage":null,"usage":null}\n\n', 'data: {"id":"c"}\n\n'],
    ['CRLF', 'data: {"choices":[{}],"usage":null}\r\n\r\n', 'data: {"choices":[{}]}\r\n\r\n'],
    [
      'usage beside choices, which belongs to the answer',
      'data: {"choices":[{"x":1}],"usage":{"a":1}}\n\n',
      'data: {"choices":[{"x":1}],"usage":{"a":1}}\n\n',
    ],
    [
      'usage of a choice, not of the document',
      'data: {"choices":[{"usage":null}]}\n\n',
      'data: {"choices":[{"usage":null}]}\n\n',
    ],
    ['a comment before the usage chunk', `: ping\n\n${USAGE}${DONE}`, `: ping\n\n${DONE}`],
    ['an error', 'data: {"error":{"message":"usage"}}\n\n', 'data: {"error":{"message":"usage"}}\n\n'],
  ] as const) {
    it(`reads ${name}`, () => {
      expect(filtered(events)).to.equal(expected)
    })
  }
})
