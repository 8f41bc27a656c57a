import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import {
  sseDocuments,
  UsageCollector,
  usageReaderFor,
  type Raw,
  type UsageReader,
  type UsageShape,
} from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { anyCuts, cutAt, singleBytes } from './cuts.ts'
import { events } from './provider-answers.ts'

const FIGURES = ['input', 'output', 'total', 'cacheRead', 'cacheWrite', 'reasoning'] as const
const TRAP = '"usage":{"prompt_tokens":9999,"completion_tokens":9999} "promptTokenCount":9999 data: [DONE]'

function readerOf(shape: UsageShape): UsageReader {
  return usageReaderFor('sse', new UsageCollector(shape))
}

function figuresOf(collector: Pick<UsageReader, 'reading'>): unknown {
  const { reported, coversOutput } = collector.reading
  return { coversOutput, ...Object.fromEntries(FIGURES.map((name) => [name, reported?.[name]])) }
}

/** Every document taken in its turn: what a lazy reader must arrive at. */
function takenEach(shape: UsageShape, text: string): { readonly figures: unknown; readonly uncovered: string } {
  const collector = new UsageCollector(shape)
  let uncovered = ''
  for (const event of text.split(/(?<=\n\n)/)) {
    const covers = sseDocuments(event).some((document) => collector.absorb(document as Raw))
    uncovered = covers ? '' : uncovered + event
  }
  return { figures: figuresOf(collector), uncovered }
}

function expectSame(shape: UsageShape, text: string, pieces: readonly Buffer[]): void {
  const reader = readerOf(shape)
  for (const piece of pieces) reader.write(piece)
  const { figures, uncovered } = takenEach(shape, text)
  expect(figuresOf(reader)).to.deep.equal(figures)
  reader.end()
  expect(figuresOf(reader)).to.deep.equal(figures)
  const kept = Buffer.from(reader.kept.body).toString()
  expect(kept).to.equal(uncovered)
}

const count = fc.nat(500)
const content = fc.constantFrom('a', ' word', 'é🙂', TRAP, 'x'.repeat(700))
const delta = content.map((text) => ({ model: 'm', choices: [{ index: 0, delta: { content: text } }] }))
const nullUsage = delta.map((document) => ({ ...document, usage: null }))
const chatUsage = fc.tuple(count, count).map(([input, output]) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  prompt_tokens_details: { cached_tokens: Math.min(3, input) },
}))
const chatStated = fc.oneof(
  chatUsage.map((usage) => ({ model: 'm', choices: [], usage })),
  chatUsage.map((usage) => ({ choices: [{ delta: { content: 'b' } }], x_groq: { usage } })),
)
const chat = fc.array(fc.oneof({ weight: 4, arbitrary: delta }, { weight: 2, arbitrary: nullUsage }, chatStated), {
  maxLength: 40,
})

const text = content.map((words) => ({
  type: 'content_block_delta',
  index: 0,
  delta: { type: 'text_delta', text: words },
}))
const start = fc.tuple(count, count).map(([input, cached]) => ({
  type: 'message_start',
  message: { model: 'claude', usage: { input_tokens: input, cache_read_input_tokens: cached, output_tokens: 1 } },
}))
const end = fc.oneof(
  count.map((output) => ({ type: 'message_delta', delta: {}, usage: { output_tokens: output } })),
  fc.tuple(count, count, count).map(([input, cached, output]) => ({
    type: 'message_delta',
    delta: {},
    usage: { input_tokens: input, cache_read_input_tokens: cached, output_tokens: output },
  })),
)
const message = fc
  .tuple(fc.option(start), fc.array(text, { maxLength: 30 }), fc.array(end, { maxLength: 2 }))
  .map(([first, deltas, last]) => [...(first === null ? [] : [first]), ...deltas, ...last, { type: 'message_stop' }])

const candidate = content.map((words) => ({ candidates: [{ content: { parts: [{ text: words }] } }] }))
const generated = fc.array(
  fc.oneof(
    candidate,
    candidate.map((each) => ({ ...each, usageMetadata: { trafficType: 'ON_DEMAND' } })),
    fc.tuple(candidate, count, count, fc.boolean()).map(([each, input, output, isFirst]) => ({
      ...each,
      usageMetadata: { promptTokenCount: input, ...(isFirst ? {} : { candidatesTokenCount: output }) },
    })),
  ),
  { maxLength: 30 },
)

const responseText = content.map((words) => ({ type: 'response.output_text.delta', delta: words, sequence_number: 3 }))
const closing = fc
  .tuple(fc.constantFrom('completed', 'incomplete', 'failed'), fc.option(fc.tuple(count, count)), content)
  .map(([status, figures, words]) => {
    const usage = figures && {
      input_tokens: figures[0],
      output_tokens: figures[1],
      total_tokens: figures[0] + figures[1],
    }
    return { type: `response.${status}`, response: { model: 'm', output: [{ text: words.repeat(9) }], usage } }
  })
const response = fc
  .tuple(fc.array(responseText, { maxLength: 30 }), fc.option(closing))
  .map(([deltas, last]) => [
    { type: 'response.created', response: { model: 'm', usage: null } },
    ...deltas,
    ...(last === null ? [] : [last]),
  ])

describe('LazyUsageReader', () => {
  const shapes: readonly (readonly [shape: UsageShape, documents: fc.Arbitrary<readonly unknown[]>])[] = [
    ['openai-chat', chat],
    ['anthropic', message],
    ['gemini', generated],
    ['openai-responses', response],
  ]
  for (const [shape, documents] of shapes) {
    it(`arrives at what every event of ${shape} says in its turn, wherever usage stands and the stream is cut`, () => {
      fc.assert(
        fc.property(documents, fc.boolean(), anyCuts, (each, isDone, cuts) => {
          const body = events(...each, ...(isDone ? ['[DONE]'] : []))
          expectSame(shape, body, cutAt(Buffer.from(body), cuts))
        }),
        { numRuns: runs(300) },
      )
    })

    it(`arrives at the same of ${shape} in pieces of whole events, alone or joined, with what is cut between them`, () => {
      fc.assert(
        fc.property(documents, fc.array(fc.constantFrom('alone', 'joined', 'cut'), { minLength: 1 }), (each, ways) => {
          const pieces: Buffer[] = []
          for (const [index, document] of each.entries()) {
            const event = Buffer.from(events(document))
            const way = ways[index % ways.length]
            if (way === 'joined' && pieces.length > 0) pieces.push(Buffer.concat([pieces.pop()!, event]))
            else pieces.push(...cutAt(event, way === 'cut' ? [event.length - 9] : []))
          }
          expectSame(shape, events(...each), pieces)
        }),
        { numRuns: runs(300) },
      )
    })

    it(`arrives at the same figures of ${shape}, whatever its lines end in`, () => {
      const lineEnds = fc.array(fc.constantFrom('\n', '\r\n', '\r'), { minLength: 1, maxLength: 5 })
      fc.assert(
        fc.property(documents, lineEnds, anyCuts, (each, ends, cuts) => {
          let line = 0
          const body = events(...each).replaceAll('\n', () => ends[line++ % ends.length]!)
          const collector = new UsageCollector(shape)
          for (const document of sseDocuments(body)) collector.absorb(document as Raw)
          const reader = readerOf(shape)
          for (const piece of cutAt(Buffer.from(body), cuts)) reader.write(piece)
          reader.end()
          expect(figuresOf(reader)).to.deep.equal(figuresOf(collector))
        }),
        { numRuns: runs(300) },
      )
    })

    it(`knows of ${shape} what was stated by then, when the stream stops after each of its events`, () => {
      fc.assert(
        fc.property(documents, (each) => {
          for (let to = 0; to <= each.length; to += 1) {
            const body = events(...each.slice(0, to))
            expectSame(shape, body, [Buffer.from(body)])
          }
        }),
        { numRuns: runs(20) },
      )
    })

    it(`can be asked at any time in between, of ${shape}`, () => {
      fc.assert(
        fc.property(documents, (each) => {
          const reader = readerOf(shape)
          let body = ''
          for (const document of each) {
            const event = events(document)
            reader.write(Buffer.from(event))
            body += event
            expect(figuresOf(reader)).to.deep.equal(takenEach(shape, body).figures)
          }
        }),
        { numRuns: runs(50) },
      )
    })
  }

  const usage = (input: number, output: number): unknown => ({
    usage: { prompt_tokens: input, completion_tokens: output },
  })
  const words = { choices: [{ delta: { content: 'word '.repeat(20) } }] }
  const much = Array.from({ length: 3_000 }, () => words)
  const streams: readonly (readonly [what: string, documents: readonly unknown[], input: number | undefined])[] = [
    ['in every chunk, growing', [1, 2, 3].map((n) => usage(7, n)), 7],
    ['twice', [usage(1, 2), words, usage(1, 2)], 1],
    ['shrinking', [usage(9, 9), usage(5, 3)], 5],
    ['only in the head', [usage(4, 1), ...much], 4],
    ['only in the tail', [...much, usage(4, 1)], 4],
    ['in the middle, much text behind it', [...much, usage(4, 1), ...much], 4],
    ['nowhere', much, undefined],
    ['in the head and, without input, in the tail', [usage(4, 1), ...much, { usage: { completion_tokens: 8 } }], 4],
  ]
  for (const [what, documents, input] of streams) {
    it(`reads usage ${what}`, () => {
      const body = events(...documents, '[DONE]')
      expectSame('openai-chat', body, cutAt(Buffer.from(body), [body.length >> 1]))
      const reader = readerOf('openai-chat')
      reader.write(Buffer.from(body))
      expect(reader.reading.reported?.input).to.equal(input)
    })
  }

  it('reads streams that are longer than what it keeps, and keeps no more than 1 MiB of them', () => {
    for (const documents of [
      [usage(4, 1), ...much, ...much, ...much, ...much],
      [...much, ...much, ...much, ...much, usage(4, 1)],
      [...much, ...much, ...much, ...much, usage(3, 1), ...much, usage(4, 1), words],
    ]) {
      const body = Buffer.from(events(...documents))
      expect(body.length).to.be.above(1_300_000)
      const reader = readerOf('openai-chat')
      for (let at = 0; at < body.length; at += 10_000) reader.write(body.subarray(at, at + 10_000))
      expect(reader.reading.reported).to.include({ input: 4, output: 1 })
      expect(reader.kept.body.length).to.be.at.most(1_048_576)
      const terminalAt = reader.write(Buffer.from('data: [DONE]\n\n'))
      expect(terminalAt).to.equal(0)
      reader.end()
      expect(reader.reading.reported).to.include({ input: 4, output: 1 })
    }
  })

  it('lets go of what figures cover, of a stream that states them again and again', () => {
    const reader = readerOf('gemini')
    const event = Buffer.from(
      events({
        candidates: [{ content: { parts: [{ text: 'word '.repeat(50) }] } }],
        usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 4 },
      }),
    )
    for (let sent = 0; sent < 20_000; sent += 1) reader.write(event)
    expect(reader.reading.reported).to.include({ input: 3, output: 4 })
    expect(reader.kept.isEmpty).to.equal(true)
  })

  it('reads lines of CR and CRLF, comments, several lines of data and a byte order mark, byte for byte', () => {
    const body = `\ufeff: PROCESSING\n\nevent: x\ndata: {"choices":[],\ndata: "usage":{"prompt_tokens":3,\ndata: "completion_tokens":4}}\n\n: end\n\n`
    for (const lineEnd of ['\n', '\r\n', '\r']) {
      const bytes = Buffer.from(body.replaceAll('\n', lineEnd))
      for (const pieces of [[bytes], singleBytes(bytes)]) {
        const reader = readerOf('openai-chat')
        for (const piece of pieces) reader.write(piece)
        reader.end()
        expect(reader.reading.reported).to.include({ input: 3, output: 4 })
      }
    }
  })

  const delta1 = `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"a"}\n\n`
  const stated = '"usage":{"input_tokens":3,"output_tokens":4}'
  const long = `"output":[{"text":"${'x'.repeat(90_000)}"}]`
  const closings: readonly (readonly [what: string, event: string, isEnd: boolean])[] = [
    ['named', `event: response.completed\ndata: {"type":"response.completed","response":{${stated}}}\n\n`, true],
    ['unnamed', `data: {"type":"response.incomplete","response":{${stated}}}\n\n`, true],
    [
      'with a number at its end',
      `data: {"type":"response.completed","response":{${stated}},"sequence_number":7}\n\n`,
      true,
    ],
    ['with its type at its end', `data: {"response":{${stated}},"type": "response.completed"}\n\n`, true],
    ['that failed', `data: {"type":"response.failed","response":{"usage":null,"error":{}}}\n\n`, true],
    ['in lines of CRLF', `event: x\r\ndata: {"type":"response.completed","response":{${stated}}}\r\n\r\n`, true],
    ['in several lines', `data: {"type":"response.completed",\ndata: "response":{${stated}}\ndata: }\n\n`, true],
    ['that is long', `data: {"type":"response.completed","response":{${long},${stated}}}\n\n`, true],
    ['and what some hosts add', `data: [DONE]\n\n`, true],
    ['in a text', `data: {"type":"response.output_item.done","item":{"text":"\\"response.completed\\""}}\n\n`, false],
    ['in another member', `data: {"type":"x","name":"response.completed","n":{}}\n\n`, false],
    ['of a part', `data: {"type":"response.output_item.done","item":{"n":{}}}\n\n`, false],
  ]
  for (const [what, event, isEnd] of closings) {
    it(`finds ${isEnd ? 'the' : 'no'} end of a response ${what}, wherever it is cut, also behind more than it keeps`, () => {
      const bytes = Buffer.from(event)
      const near = [1, 2, 3, 5, 30, 60, 200].filter((at) => at < bytes.length)
      const many = [[], ...near.flatMap((at) => [[at], [bytes.length - at], [at, bytes.length - at]])]
      for (const [before, all] of [
        [delta1, many],
        [delta1.repeat(12_000), [[], [bytes.length - 1]]],
      ] as const) {
        for (const cuts of all) {
          const reader = readerOf('openai-responses')
          for (let at = 0; at < before.length; at += 65_536)
            expect(reader.write(Buffer.from(before.slice(at, at + 65_536)))).to.equal(-1)
          const pieces = cutAt(bytes, cuts)
          const found = pieces.map((piece) => reader.write(piece))
          expect(found.slice(0, -1)).to.deep.equal(pieces.slice(0, -1).map(() => -1))
          // Of an end that lies in several pieces, only what has not gone by is kept back.
          expect(found.at(-1)).to.equal(isEnd ? 0 : -1)
        }
      }
    })
  }

  it('holds a stream that comes byte by byte in not much more memory than its bytes', () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const body = Buffer.from(events(...much, ...much).slice(0, 500_000))
    const reader = readerOf('openai-chat')
    gc()
    const before = process.memoryUsage().heapUsed
    for (let at = 0; at < body.length; at += 1) reader.write(body.subarray(at, at + 1))
    gc()
    // Half a million slices take some 55 MB.
    expect(process.memoryUsage().heapUsed - before).to.be.below(5_000_000)
    expect(Buffer.from(reader.kept.body).equals(body)).to.equal(true)
  })

  it('takes streams byte by byte, and in pieces that all look like an end, without going back over them each time', () => {
    const event = Buffer.from(`data: {"type":"response.output_text.delta","delta":"a","n":{"n":{}}}\n\n`.repeat(800))
    for (const bytes of [1, 3, 7]) {
      const reader = readerOf('openai-responses')
      const before = process.cpuUsage()
      for (let at = 0; at < event.length; at += bytes) reader.write(event.subarray(at, at + bytes))
      const { user } = process.cpuUsage(before)
      // Some hundred ms at most; where each byte costs a look at all of some kilobytes, some ten seconds.
      expect(user).to.be.below(3_000_000)
      expect(reader.isWithinEvent).to.equal(false)
    }
  })

  it('says whether the stream stands within an event', () => {
    const reader = readerOf('openai-chat')
    for (const [piece, isWithin] of [
      ['data: {}\n', true],
      ['\n', false],
      ['data', true],
      [': {}\r\n\r\n', false],
    ] as const) {
      reader.write(Buffer.from(piece))
      expect(reader.isWithinEvent).to.equal(isWithin)
    }
  })
})
