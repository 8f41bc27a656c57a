import { UsageCollector, usageReaderFor, type UsageReader, type UsageShape } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { anyCuts, cutAt, everyCut } from './cuts.ts'
import { events } from './provider-answers.ts'

const TRAP = '"usage":{"eval_count":9999,"prompt_eval_count":9999},"done":true é🙂\n'
const OLLAMA = [
  { model: 'llama3', message: { role: 'assistant', content: TRAP }, done: false },
  { model: 'llama3', message: { role: 'assistant', content: 'b' }, done: false },
  { model: 'llama3', message: { content: '' }, done: true, prompt_eval_count: 26, eval_count: 9 },
]
const COHERE = [
  { is_finished: false, event_type: 'stream-start' },
  { is_finished: false, event_type: 'text-generation', text: '"meta":{"tokens":{"input_tokens":9999}}' },
  {
    is_finished: true,
    event_type: 'stream-end',
    response: { text: TRAP, meta: { tokens: { input_tokens: 69, output_tokens: 11 } } },
  },
]
const lines = (documents: readonly unknown[], end = '\n'): string =>
  documents.map((document) => JSON.stringify(document) + end).join('')

function readerOf(shape: UsageShape, framing: 'sse' | 'ndjson' = 'ndjson'): UsageReader {
  return usageReaderFor(framing, new UsageCollector(shape))
}

function read(shape: UsageShape, pieces: readonly Buffer[], framing: 'sse' | 'ndjson' = 'ndjson'): UsageReader {
  const reader = readerOf(shape, framing)
  for (const piece of pieces) reader.write(piece)
  reader.end()
  return reader
}

describe('StreamUsageReader of lines', () => {
  const answers = [
    ['ollama', OLLAMA, { input: 26, output: 9 }],
    ['cohere', COHERE, { input: 69, output: 11 }],
  ] as const
  for (const [shape, documents, usage] of answers) {
    for (const [how, text] of [
      ['LF', lines(documents)],
      ['CRLF', lines(documents, '\r\n')],
      ['blank lines between them', `\n${lines(documents, '\n\n \n')}`],
      ['no end of the last', lines(documents).trimEnd()],
    ] as const) {
      it(`reads ${shape} in lines with ${how}, cut at any byte`, () => {
        for (const pieces of everyCut(Buffer.from(text))) expect(read(shape, pieces).reading.reported).to.include(usage)
      })
    }

    it(`finds the last line of ${shape} where it begins, in whichever piece completes it`, () => {
      const before = Buffer.byteLength(lines(documents.slice(0, -1)))
      for (const pieces of everyCut(Buffer.from(lines(documents)))) {
        const reader = readerOf(shape)
        let passed = 0
        const ends: number[] = []
        for (const piece of pieces) {
          const at = reader.write(piece)
          if (at !== -1) ends.push(passed + at)
          passed += piece.length
        }
        const last = pieces.findLast(({ length }) => length > 0)!
        expect(ends).to.deep.equal([Math.max(before, passed - last.length)])
      }
    })

    it(`knows nothing of ${shape} before its last line, wherever the stream stops`, () => {
      for (let to = 0; to < documents.length; to += 1) {
        const { reading, kept } = read(shape, [Buffer.from(lines(documents.slice(0, to)))])
        expect(reading.reported).to.equal(undefined)
        expect(kept.isEmpty).to.equal(to === 0)
      }
    })
  }

  it('picks figures out of a line that is too long to hold, cut anywhere', () => {
    const context = Array.from({ length: 30_000 }, (_, index) => index)
    const last = { model: 'llama3', response: TRAP, done: true, context, prompt_eval_count: 5, eval_count: 6 }
    const bytes = Buffer.from(lines([OLLAMA[0], last, { after: 1 }]))
    fc.assert(
      fc.property(anyCuts, (cuts) => {
        const { reading } = read('ollama', cutAt(bytes, cuts))
        expect(reading.reported).to.include({ input: 5, output: 6 })
        expect(reading.model).to.equal('llama3')
      }),
      { numRuns: runs(20) },
    )
  })

  it('throws at nothing', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), anyCuts, (bytes, cuts) => {
        const text = Buffer.concat([
          Buffer.from(lines(OLLAMA.slice(0, 1))),
          Buffer.from(bytes),
          Buffer.from('\n{"eval_count":'),
        ])
        read('ollama', cutAt(text, cuts))
        read('openai-responses', cutAt(text, cuts), 'sse')
      }),
      { numRuns: runs(200) },
    )
  })
})

describe('StreamUsageReader of events', () => {
  const usage = { input_tokens: 5, output_tokens: 3, total_tokens: 8 }
  const documents = [
    { type: 'response.created', response: { model: 'gpt-5', usage: null } },
    { type: 'response.output_text.delta', delta: TRAP },
    { type: 'response.function_call_arguments.done', arguments: JSON.stringify({ usage: { input_tokens: 77 } }) },
    { type: 'response.completed', response: { model: 'gpt-5', usage } },
  ]

  it('knows nothing of a response before its last event, wherever the stream stops', () => {
    for (let to = 0; to <= documents.length; to += 1) {
      const { reading } = read('openai-responses', [Buffer.from(events(...documents.slice(0, to)))], 'sse')
      expect(reading.reported?.input).to.equal(to === documents.length ? 5 : undefined)
    }
  })

  it('goes on reading where another response follows in the same stream', () => {
    const more = { type: 'response.completed', response: { usage: { ...usage, input_tokens: 50, total_tokens: 53 } } }
    expect(read('openai-responses', [Buffer.from(events(...documents, more))], 'sse').reading.reported?.input).to.equal(
      50,
    )
  })
})
