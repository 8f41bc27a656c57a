import { documentsOf, UsageCollector, usageReaderFor, type UsageReader, type UsageShape } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { awsFrame, chunkFrame, converseFrame } from './aws-frames.ts'
import { anyCuts, cutAt, everyCut } from './cuts.ts'

const TRAP = 'a river; "usage":{"inputTokens":9999,"outputTokens":9999} is only text'
const USAGE = { inputTokens: 20, outputTokens: 5, totalTokens: 25 }
const METADATA = converseFrame('metadata', { metrics: { latencyMs: 9 }, usage: USAGE })
const BEFORE = [
  converseFrame('messageStart', { role: 'assistant' }),
  converseFrame('contentBlockDelta', { contentBlockIndex: 0, delta: { text: TRAP } }),
  converseFrame('contentBlockDelta', {
    contentBlockIndex: 1,
    delta: { toolUse: { input: `{"usage":{"inputTokens":7}}` } },
  }),
  converseFrame('messageStop', { stopReason: 'end_turn' }),
]
const CONVERSE = Buffer.concat([...BEFORE, METADATA])
const INVOKE = Buffer.concat([
  chunkFrame({ type: 'message_start', message: { model: 'claude', usage: { input_tokens: 11, output_tokens: 1 } } }),
  chunkFrame({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: TRAP } }),
  chunkFrame({ type: 'message_delta', delta: {}, usage: { output_tokens: 8 } }),
  chunkFrame({
    type: 'message_stop',
    'amazon-bedrock-invocationMetrics': { inputTokenCount: 11, outputTokenCount: 8 },
  }),
])

function readerOf(shape: UsageShape): UsageReader {
  return usageReaderFor('eventstream', new UsageCollector(shape))
}

function read(shape: UsageShape, pieces: readonly Buffer[]): UsageReader {
  const reader = readerOf(shape)
  for (const piece of pieces) reader.write(piece)
  reader.end()
  return reader
}

describe('FrameUsageReader', () => {
  it('reads ConverseStream, cut at any byte', () => {
    for (const pieces of everyCut(CONVERSE)) {
      const { reading, kept } = read('converse', pieces)
      expect(reading.reported).to.include({ input: 20, output: 5, total: 25 })
      expect([reading.coversOutput, reading.isDamaged, kept.isEmpty]).to.deep.equal([true, undefined, true])
    }
  })

  it('reads what a model itself sends through InvokeModelWithResponseStream, cut at any byte', () => {
    for (const pieces of everyCut(INVOKE)) {
      const { reading } = read('invoke', pieces)
      expect(reading.reported).to.include({ input: 11, output: 8 })
      expect(reading.model).to.equal('claude')
    }
  })

  it('finds the last frame where it begins, in whichever piece completes it', () => {
    const start = CONVERSE.length - METADATA.length
    for (const pieces of everyCut(CONVERSE)) {
      const reader = readerOf('converse')
      let passed = 0
      const ends: number[] = []
      for (const piece of pieces) {
        const at = reader.write(piece)
        if (at !== -1) ends.push(passed + at)
        passed += piece.length
      }
      const last = pieces.findLast(({ length }) => length > 0)!
      expect(ends).to.deep.equal([Math.max(start, passed - last.length)])
    }
  })

  it('reads what was stated by then of a stream that stops after each of its frames', () => {
    for (let count = 0; count <= BEFORE.length; count += 1) {
      const { reading, kept } = read('converse', BEFORE.slice(0, count))
      expect(reading.reported).to.equal(undefined)
      expect(kept.isEmpty).to.equal(count === 0)
    }
    expect(read('converse', [CONVERSE]).reading.reported).to.include({ input: 20 })
  })

  it('takes no figure from a frame with a wrong checksum, says so, and reads the frames behind it', () => {
    for (let at = 0; at < METADATA.length; at += 1) {
      const damaged = Buffer.from(METADATA)
      damaged[at] = damaged[at]! ^ 0x10
      const { reading } = read('converse', [...BEFORE, damaged])
      expect([reading.reported, reading.isDamaged], `byte ${at}`).to.deep.equal([undefined, true])
      // Where the lengths are right, the next frame is found.
      const behind = read('converse', [...BEFORE, damaged, METADATA]).reading
      if (at >= 12) expect(behind.reported, `byte ${at}`).to.include({ input: 20 })
      expect(behind.isDamaged).to.equal(true)
    }
  })

  it('reads nothing more where a length is impossible, whatever it is', () => {
    for (const length of [0, 11, 15, 0x7fff_ffff, 0xffff_ffff]) {
      const frame = Buffer.from(METADATA)
      frame.writeUInt32BE(length, 0)
      const { reading } = read('converse', [frame, METADATA])
      expect([reading.reported, reading.isDamaged]).to.deep.equal([undefined, true])
    }
  })

  it('passes over a frame that is too long to hold, and reads what follows', () => {
    const long = converseFrame('contentBlockDelta', { delta: { text: 'x'.repeat(1_100_000) } })
    fc.assert(
      fc.property(anyCuts, (cuts) => {
        const { reading } = read('converse', cutAt(Buffer.concat([long, METADATA]), cuts))
        expect(reading.reported).to.include({ input: 20 })
        expect(reading.isDamaged).to.equal(undefined)
      }),
      { numRuns: runs(10) },
    )
  })

  it('takes an exception, and a frame without JSON, for nothing', () => {
    const frames = [
      awsFrame(
        { ':message-type': 'exception', ':exception-type': 'throttlingException' },
        Buffer.from('{"usage":{"inputTokens":1}}'),
      ),
      awsFrame({ ':message-type': 'event', ':event-type': 'metadata' }, Buffer.from('"usage":{"inputTokens":1}}')),
      awsFrame(
        { ':message-type': 'event', ':event-type': 'chunk' },
        Buffer.from('{"bytes":7,"usage":{"inputTokens":1}}'),
      ),
    ]
    expect(read('converse', frames).reading.reported).to.equal(undefined)
  })

  it('reads headers of every type, and takes a frame whose headers do not fit for damaged', () => {
    const every = [
      [0],
      [1],
      [2, 1],
      [3, 0, 1],
      [4, 0, 0, 0, 1],
      [5, ...Array.from({ length: 8 }, () => 1)],
      [6, 0, 2, 1, 1],
      [8, ...Array.from({ length: 8 }, () => 1)],
      [9, ...Array.from({ length: 16 }, () => 1)],
    ].map((value) => Buffer.from([1, 0x78, ...value]))
    const payload = Buffer.from(JSON.stringify({ usage: USAGE }))
    const good = awsFrame({ ':event-type': 'metadata' }, payload, Buffer.concat(every))
    expect(read('converse', [good]).reading.reported).to.include({ input: 20 })
    for (const more of [
      [9],
      [1, 0x78],
      [1, 0x78, 7],
      [1, 0x78, 7, 0],
      [1, 0x78, 7, 0, 9],
      [1, 0x78, 42],
      [1, 0x78, 5, 1],
    ]) {
      const { reading } = read('converse', [awsFrame({}, payload, Buffer.from(more))])
      expect([reading.reported, reading.isDamaged], String(more)).to.deep.equal([undefined, true])
    }
  })

  it('throws at nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(CONVERSE.length), anyCuts, (bytes, at, cuts) => {
        const spoilt = Buffer.concat([CONVERSE.subarray(0, at), Buffer.from(bytes), CONVERSE.subarray(at)])
        read('converse', cutAt(spoilt, cuts))
        documentsOf('eventstream', spoilt)
      }),
      { numRuns: runs(200) },
    )
  })
})

describe('documentsOf', () => {
  it('gives the documents of each framing', () => {
    const [one, two] = [{ a: 1 }, { b: 'é' }]
    const texts = [JSON.stringify(one), JSON.stringify(two)] as const
    const bodies = [
      ['json', Buffer.from(`\ufeff[${texts.join()}]`)],
      ['json', Buffer.from(texts.join('\n'))],
      ['sse', Buffer.from(`data: ${texts[0]}\n\ndata: ${texts[1]}\n\ndata: [DONE]\n\n`)],
      ['ndjson', Buffer.from(`${texts[0]}\r\n\r\n${texts[1]}`)],
      ['messages', Buffer.from(texts.join('\n'))],
      ['eventstream', Buffer.concat([converseFrame('x', one), chunkFrame(two)])],
    ] as const
    for (const [framing, body] of bodies) expect(documentsOf(framing, body), framing).to.deep.equal([one, two])
    expect(documentsOf('opaque', bodies[0][1])).to.deep.equal([])
  })
})
