import { runs } from '@tallygate/testkit'
import { sseData, SseFramer } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { anyCuts, cutAt, everyCut } from './cuts.ts'

/** As much of an incomplete event as is held. */
const BOUND = 65_536

describe('SseFramer', () => {
  const table: readonly (readonly [what: string, text: string, events: string, held: string])[] = [
    ['nothing', '', '', ''],
    ['LF', 'data: a\n\ndata: b\n\n', 'data: a\n\ndata: b\n\n', ''],
    ['CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', 'data: a\r\n\r\ndata: b\r\n\r\n', ''],
    // The last CR could be half of a CRLF.
    ['CR', 'data: a\r\rdata: b\r\r', 'data: a\r\r', 'data: b\r\r'],
    ['LF, then CRLF', 'data: a\n\r\nb', 'data: a\n\r\n', 'b'],
    ['CRLF, then LF', 'data: a\r\n\nb', 'data: a\r\n\n', 'b'],
    ['CRLF, then CR', 'data: a\r\n\rb', 'data: a\r\n\r', 'b'],
    ['CR, then CRLF', 'data: a\r\r\nb', 'data: a\r\r\n', 'b'],
    ['LF, then CR', 'data: a\n\rb', 'data: a\n\r', 'b'],
    ['no blank line', 'data: a\ndata: b\r\ndata: c\r', '', 'data: a\ndata: b\r\ndata: c\r'],
    ['an event that is not complete', 'data: a\n\ndata: b\n', 'data: a\n\n', 'data: b\n'],
    [
      'a byte order mark, comments and several lines',
      '\ufeff: hi\n\nevent: e\ndata: a\ndata: b\n\n: bye',
      '\ufeff: hi\n\nevent: e\ndata: a\ndata: b\n\n',
      ': bye',
    ],
  ]
  for (const [what, text, events, held] of table) {
    it(`gives whole events of lines that end in ${what}`, () => {
      const framer = new SseFramer()
      expect(framer.push(Buffer.from(text)).events.toString()).to.equal(events)
      expect(framer.held.toString()).to.equal(held)
    })

    it(`gives the same when it is cut at any byte: ${what}`, () => {
      for (const pieces of everyCut(Buffer.from(text))) {
        const framed = frame(pieces)
        expect(framed.events).to.equal(events)
        expect(framed.held).to.equal(held)
      }
    })
  }

  it('never gives a part of an event, and loses no byte, cut anywhere', () => {
    fc.assert(
      fc.property(streams, anyCuts, (text, cuts) => {
        const framer = new SseFramer()
        const data: string[] = []
        let passed = ''
        for (const piece of cutAt(Buffer.from(text), cuts)) {
          const heldBefore = framer.held.length
          const { events, carried } = framer.push(piece)
          expect(carried).to.equal(heldBefore)
          expect(framer.isInLongEvent).to.equal(false)
          data.push(...sseData(events.toString()))
          passed += events.toString()
        }
        expect(passed + framer.held.toString()).to.equal(text)
        expect([...data, ...sseData(framer.held.toString())]).to.deep.equal(sseData(text))
      }),
      { numRuns: runs(2_000) },
    )
  })

  it('holds an event of 64 KiB, and lets a longer one go by in pieces', () => {
    const framer = new SseFramer()
    expect(framer.push(Buffer.alloc(BOUND, 0x61)).events).to.have.lengthOf(0)
    expect(framer.isInLongEvent).to.equal(false)
    expect(framer.push(Buffer.from('b'))).to.deep.include({ carried: BOUND })
    expect(framer.isInLongEvent).to.equal(true)
    expect(framer.held).to.have.lengthOf(0)
    expect(framer.push(Buffer.from('c')).events.toString()).to.equal('c')
  })

  for (const [name, end] of [
    ['LF', '\n\n'],
    ['CRLF', '\r\n\r\n'],
    ['CR', '\r\r'],
    ['LF and CRLF', '\n\r\n'],
  ] as const) {
    it(`sees where a long event ends in ${name}, wherever that is cut`, () => {
      const rest = Buffer.from(`${end}data: b${end}data: c`)
      for (const pieces of everyCut(rest)) {
        const framer = new SseFramer()
        framer.push(Buffer.alloc(BOUND + 1, 0x61))
        let passed = ''
        for (const piece of pieces) passed += framer.push(piece).events.toString()
        expect(framer.isInLongEvent).to.equal(false)
        expect(framer.held.toString()).to.equal('data: c')
        expect(passed).to.equal(`${end}data: b${end}`)
      }
    })
  }

  it('loses no byte of streams with long events, cut anywhere', () => {
    fc.assert(
      fc.property(streams, fc.nat(3), streams, anyCuts, (before, spare, after, cuts) => {
        const text = `${before}data: ${'x'.repeat(BOUND - 2 + spare)}\n\n${after}`
        const { events, held } = frame(cutAt(Buffer.from(text), cuts))
        expect(events + held === text).to.equal(true)
      }),
      { numRuns: runs(100) },
    )
  })
})

const streams = fc
  .array(
    fc.constantFrom(
      '\n',
      '\r',
      '\r\n',
      '\n\n',
      '\r\n\r\n',
      '\r\r',
      'data: a',
      'data:é🙂',
      ': comment',
      'event: e',
      'data',
      ':',
    ),
    { maxLength: 30 },
  )
  .map((parts) => parts.join(''))

function frame(pieces: readonly Buffer[]): { events: string; held: string } {
  const framer = new SseFramer()
  const events = pieces.map((piece) => framer.push(piece).events)
  return { events: Buffer.concat(events).toString(), held: framer.held.toString() }
}
