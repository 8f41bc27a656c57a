import { sseData, sseDocuments } from '@tallygate/metering'
import { expect } from 'chai'

describe('sseData', () => {
  const table: readonly (readonly [what: string, text: string, data: readonly string[]])[] = [
    ['nothing', '', []],
    ['one event', 'data: a\n\n', ['a']],
    ['lines that end in CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['lines that end in CR', 'data: a\r\rdata: b\r\r', ['a', 'b']],
    ['lines that end in different ways', 'data: a\r\n\ndata: b\r\n\rdata: c\n\r\n', ['a', 'b', 'c']],
    ['data of several lines', 'data: a\ndata:\ndata: b\n\n', ['a\n\nb']],
    ['data without a space', 'data:a\n\n', ['a']],
    ['data with two spaces: one is part of it', 'data:  a\n\n', [' a']],
    ['data without a colon', 'data\n\n', ['']],
    ['data with colons in it', 'data: {"a":1}\n\n', ['{"a":1}']],
    ['comments and other fields', ': hello\nevent: x\nid: 1\nretry: 5\ndata: a\n\n', ['a']],
    ['an event without data', 'event: ping\n\n: comment\n\n', []],
    ['fields that begin like data', 'database: a\ndata : b\n data: c\n\n', []],
    ['a byte order mark', '\ufeffdata: a\n\n', ['a']],
    ['more blank lines than needed', '\n\n\ndata: a\n\n\n\n', ['a']],
    ['an end without a blank line', 'data: a\n\ndata: b', ['a', 'b']],
    ['line separators of Unicode within data', 'data: a\u2028b\u0085c\n\n', ['a\u2028b\u0085c']],
  ]
  for (const [what, text, data] of table) {
    it(`reads ${what}`, () => {
      expect(sseData(text)).to.deep.equal(data)
    })
  }
})

describe('sseDocuments', () => {
  it('gives the JSON documents, and passes over what is none', () => {
    const text = 'data: {"a":1}\n\ndata: [DONE]\n\ndata: {"b":\n\ndata: null\n\ndata: {"c":\ndata: 2}\n\n'
    expect(sseDocuments(text)).to.deep.equal([{ a: 1 }, null, { c: 2 }])
  })

  it('parses candidates alone, where it is told what they hold', () => {
    expect(sseDocuments('data: {"a":1}\n\ndata: {"usage":1}\n\n', ['"usage"'])).to.deep.equal([{ usage: 1 }])
  })
})
