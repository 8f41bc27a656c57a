import { runs } from '@tallygate/testkit'
import { WebSocketReader } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { anyCuts, cutAt, singleBytes } from './cuts.ts'

const MASK = Buffer.of(0x11, 0x92, 0x00, 0xff)

interface Frame {
  readonly opcode: number
  readonly payload: Buffer
  readonly isFinal?: boolean
  readonly reserved?: number
}

/** RFC 6455 section 5.2, written down apart from what is tested. */
function wire({ opcode, payload, isFinal = true, reserved = 0 }: Frame, isMasked: boolean): Buffer {
  const first = (isFinal ? 0x80 : 0) | (reserved << 4) | opcode
  const { length } = payload
  const long = Buffer.alloc(8)
  long.writeBigUInt64BE(BigInt(length))
  const [short, more] =
    length <= 125 ? [length, Buffer.alloc(0)] : length <= 0xffff ? [126, long.subarray(6)] : [127, long]
  const body = isMasked ? Buffer.concat([MASK, payload.map((byte, index) => byte ^ MASK[index % 4]!)]) : payload
  return Buffer.concat([Buffer.of(first, (isMasked ? 0x80 : 0) | short), more, body])
}

interface Read {
  readonly messages: string[]
  readonly reader: WebSocketReader
  readonly boundaries: number[]
}

function read(pieces: readonly Buffer[]): Read {
  const messages: string[] = []
  let long: Buffer[] = []
  const reader = new WebSocketReader({
    message: (payload) => messages.push(payload.toString('latin1')),
    piece(bytes, isLast) {
      long.push(Buffer.from(bytes))
      if (!isLast) return
      messages.push(Buffer.concat(long).toString('latin1'))
      long = []
    },
  })
  const boundaries: number[] = []
  let at = 0
  for (const piece of pieces) {
    const boundary = reader.write(piece)
    if (boundary !== -1) boundaries.push(at + boundary)
    at += piece.length
  }
  return { messages, reader, boundaries }
}

const payload = fc
  .oneof(
    { weight: 8, arbitrary: fc.uint8Array({ maxLength: 200 }) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000).map((size) => new Uint8Array(size)),
    },
  )
  .map((bytes) => Buffer.from(bytes))
const ping = fc.uint8Array({ maxLength: 125 }).map((bytes) => ({ opcode: 0x9, payload: Buffer.from(bytes) }))
/** A message in frames, with pings between them. */
const message = fc.record({
  opcode: fc.constantFrom(0x1, 0x2),
  parts: fc.array(payload, { minLength: 1, maxLength: 4 }),
  pings: fc.array(ping, { maxLength: 3 }),
})

function framesOf({ opcode, parts, pings }: { opcode: number; parts: Buffer[]; pings: Frame[] }): Frame[] {
  return parts.flatMap((part, index) => [
    { opcode: index === 0 ? opcode : 0x0, payload: part, isFinal: index === parts.length - 1 },
    ...(pings[index] === undefined ? [] : [pings[index]]),
  ])
}

describe('WebSocketReader', () => {
  it('gives the same messages however their bytes are cut, masked or not', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.boolean(), anyCuts, (messages, isMasked, cuts) => {
        const bytes = Buffer.concat(messages.flatMap(framesOf).map((frame) => wire(frame, isMasked)))
        const expected = messages.map(({ parts }) => Buffer.concat(parts).toString('latin1'))
        const { messages: found, reader } = read(cutAt(bytes, cuts))
        expect(found).to.deep.equal(expected)
        expect(reader.isDamaged).to.equal(false)
        expect(reader.isBetween).to.equal(true)
      }),
      { numRuns: runs(200) },
    )
  })

  it('gives the same messages byte by byte', () => {
    const frames: Frame[] = [
      { opcode: 0x1, payload: Buffer.from('one') },
      { opcode: 0x1, payload: Buffer.alloc(300, 'b'), isFinal: false },
      { opcode: 0x9, payload: Buffer.from('ping') },
      { opcode: 0x0, payload: Buffer.alloc(70_000, 'c') },
      { opcode: 0x2, payload: Buffer.alloc(0) },
    ]
    for (const isMasked of [true, false]) {
      const bytes = Buffer.concat(frames.map((frame) => wire(frame, isMasked)))
      const { messages } = read(singleBytes(bytes))
      expect(messages).to.deep.equal(['one', `${'b'.repeat(300)}${'c'.repeat(70_000)}`, ''])
    }
  })

  it('reads a thousand messages that are cut at random bytes', () => {
    const texts = Array.from({ length: 1_000 }, (_, index) => `message ${index} ${'x'.repeat((index * 37) % 400)}`)
    const bytes = Buffer.concat(texts.map((text) => wire({ opcode: 0x1, payload: Buffer.from(text) }, true)))
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { minLength: 500, maxLength: 2_000 }), (cuts) => {
        expect(read(cutAt(bytes, cuts)).messages).to.deep.equal(texts)
      }),
      { numRuns: runs(10) },
    )
  })

  it('tells where a frame of somebody else’s can go: behind whole messages, and never within one', () => {
    const text = wire({ opcode: 0x1, payload: Buffer.from('text') }, false)
    const begin = wire({ opcode: 0x1, payload: Buffer.from('begin'), isFinal: false }, false)
    const ping = wire({ opcode: 0x9, payload: Buffer.alloc(0) }, false)
    const end = wire({ opcode: 0x0, payload: Buffer.from('end') }, false)
    expect(read([Buffer.concat([text, begin])]).boundaries).to.deep.equal([text.length])
    expect(read([text.subarray(0, 3)]).reader.isBetween).to.equal(false)
    expect(read([begin, ping]).boundaries).to.deep.equal([])
    expect(read([begin, ping]).reader.isBetween).to.equal(false)
    expect(read([begin, ping, end]).boundaries).to.deep.equal([begin.length + ping.length + end.length])
    expect(read([ping]).boundaries).to.deep.equal([ping.length])
    for (const cut of text.keys()) {
      const { reader } = read([text.subarray(0, cut)])
      expect(reader.isBetween).to.equal(cut === 0)
    }
  })

  it('hands a long message on while it is coming, and holds no more than 256 KiB', () => {
    const whole = Buffer.alloc(3_000_000, 'a')
    const bytes = wire({ opcode: 0x1, payload: whole }, true)
    let handedOn = 0
    let written = 0
    let isOver = false
    const reader = new WebSocketReader({
      message: () => expect.fail('it can not be held'),
      piece(piece, isLast) {
        handedOn += piece.length
        isOver = isLast
      },
    })
    for (let at = 0; at < bytes.length; at += 10_000) {
      const piece = bytes.subarray(at, at + 10_000)
      reader.write(piece)
      written += piece.length
      expect(written - handedOn).to.be.below(262_144 + 20_000)
    }
    expect(handedOn).to.equal(whole.length)
    expect(isOver).to.equal(true)
  })

  it('keeps what it holds of a message apart from the bytes that were written', () => {
    const bytes = wire({ opcode: 0x1, payload: Buffer.from('kept as it was') }, false)
    const messages: string[] = []
    const reader = new WebSocketReader({ message: (each) => messages.push(each.toString()), piece: () => {} })
    const first = Buffer.from(bytes.subarray(0, 8))
    reader.write(first)
    first.fill(0)
    reader.write(bytes.subarray(8))
    expect(messages).to.deep.equal(['kept as it was'])
  })

  const CLOSES: readonly (readonly [what: string, payload: Buffer, code: number])[] = [
    ['a code', Buffer.of(0x03, 0xf0, 0x62, 0x79, 0x65), 1008],
    ['nothing', Buffer.alloc(0), 1005],
    ['half a code', Buffer.of(0x03), 1005],
  ]
  for (const [what, said, code] of CLOSES) {
    it(`reads a close frame that says ${what}`, () => {
      for (const isMasked of [true, false]) {
        const { reader } = read(singleBytes(wire({ opcode: 0x8, payload: said }, isMasked)))
        expect(reader.closeCode).to.equal(code)
      }
    })
  }

  const ok: Frame = { opcode: 0x1, payload: Buffer.from('ok') }
  const DAMAGES: readonly (readonly [what: string, frames: readonly Frame[]])[] = [
    ['a reserved bit, as of what is compressed', [{ ...ok, reserved: 4 }]],
    ['an opcode that nobody knows', [{ ...ok, opcode: 0x5 }]],
    ['a control frame that nobody knows', [{ ...ok, opcode: 0xd }]],
    ['a continuation of nothing', [{ ...ok, opcode: 0x0 }]],
    ['a control frame that is too long', [{ opcode: 0x9, payload: Buffer.alloc(200) }]],
    ['a close frame that is too long', [{ opcode: 0x8, payload: Buffer.alloc(70_000) }]],
  ]
  for (const [what, frames] of DAMAGES) {
    it(`passes over ${what}, and reads on`, () => {
      const bytes = Buffer.concat([...frames, ok].map((frame) => wire(frame, false)))
      for (const pieces of [[bytes], singleBytes(bytes)]) {
        const { messages, reader } = read(pieces)
        expect(messages).to.deep.equal(['ok'])
        expect(reader.isDamaged).to.equal(true)
        expect(reader.isBetween).to.equal(true)
      }
    })
  }

  it('reads nothing any more behind a length that no message has', () => {
    const impossible = Buffer.of(0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
    const { messages, reader } = read([Buffer.concat([impossible, wire(ok, false)])])
    expect(messages).to.deep.equal([])
    expect(reader.isDamaged).to.equal(true)
    expect(reader.isBetween).to.equal(false)
  })

  it('throws for no bytes whatever', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (pieces) => {
        read(pieces.map((piece) => Buffer.from(piece)))
      }),
      { numRuns: runs(300) },
    )
  })

  it('follows frames and hands nothing on after it was told to stop', () => {
    const messages: string[] = []
    const reader = new WebSocketReader({ message: (each) => messages.push(each.toString()), piece: () => {} })
    const bytes = wire(ok, true)
    reader.write(bytes)
    reader.write(bytes.subarray(0, 4))
    reader.stopReading()
    reader.write(bytes.subarray(4))
    reader.write(bytes)
    expect(messages).to.deep.equal(['ok'])
    expect(reader.isBetween).to.equal(true)
  })
})
