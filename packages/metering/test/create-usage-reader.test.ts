import { createUsageReader, type Framing, type UsageShape } from '@tallygate/metering'
import { expect } from 'chai'
import { converseFrame } from './aws-frames.ts'
import { cutAt, singleBytes } from './cuts.ts'
import { events } from './provider-answers.ts'

const USAGE = { prompt_tokens: 3, completion_tokens: 4 }
const BODY = JSON.stringify({ choices: [], usage: USAGE })
const SSE = events({ choices: [], usage: USAGE }, '[DONE]')
const FRAME = converseFrame('metadata', { usage: { inputTokens: 3, outputTokens: 4 } })
const LINE = `${JSON.stringify({ done: true, prompt_eval_count: 3, eval_count: 4 })}\n`

describe('createUsageReader', () => {
  const table: readonly (readonly [
    what: string,
    type: string,
    body: string | Buffer,
    framing: Framing,
    shape?: UsageShape,
  ])[] = [
    ['JSON', 'application/json; charset=UTF-8', BODY, 'json'],
    ['JSON of a kind of its own', 'application/vnd.api+json', BODY, 'json'],
    ['JSON after white space that keeps a connection open', 'application/json', `\n \n\n${BODY}`, 'json'],
    ['JSON behind a byte order mark', 'application/json', `\ufeff${BODY}`, 'json'],
    ['several documents in one JSON body', 'application/json', `{"choices":[]}\n${BODY}\n`, 'json'],
    ['an event stream', 'text/event-stream;charset=utf-8', SSE, 'sse'],
    ['an event stream behind a byte order mark', 'text/event-stream', `\ufeff${SSE}`, 'sse'],
    ['an event stream that begins with a comment', 'text/event-stream', `: PROCESSING\n\n${SSE}`, 'sse'],
    ['events where JSON was announced', 'application/json', SSE, 'sse'],
    ['JSON where events were announced', 'text/event-stream', BODY, 'json'],
    ['events without a type', '', `event: x\n${SSE}`, 'sse'],
    ['JSON without a type', '', BODY, 'json'],
    ['JSON as bytes', 'application/octet-stream', BODY, 'json'],
    ['JSON as plain text', 'text/plain; charset=utf-8', BODY, 'json'],
    ['lines', 'application/x-ndjson', LINE, 'ndjson', 'ollama'],
    ['lines of another name', 'application/stream+json', LINE, 'ndjson', 'ollama'],
    ['lines where JSON was announced', 'application/json', `{"done":false}\n${LINE}`, 'json', 'ollama'],
    ['frames', 'application/vnd.amazon.eventstream', FRAME, 'eventstream', 'converse'],
    ['frames without a type', '', FRAME, 'eventstream', 'converse'],
  ]
  for (const [what, contentType, body, framing, shape = 'openai-chat'] of table) {
    it(`reads ${what}, also byte for byte`, () => {
      const bytes = Buffer.from(body)
      for (const pieces of [[bytes], cutAt(bytes, [1]), singleBytes(bytes)]) {
        const reader = createUsageReader({ shape, contentType })
        for (const piece of pieces) reader.write(piece)
        reader.end()
        expect(reader.framing).to.equal(framing)
        expect(reader.reading.reported).to.include({ input: 3, output: 4 })
      }
    })
  }

  for (const [what, contentType, body] of [
    ['sound', 'audio/mpeg', BODY],
    ['a transcript', 'text/plain', `data ${BODY}`],
    ['subtitles', 'text/vtt', BODY],
    ['an unknown type', 'application/x-protobuf', BODY],
    ['bytes', 'application/octet-stream', '\x01\x02'],
  ] as const) {
    it(`looks for nothing in ${what}`, () => {
      const reader = createUsageReader({ shape: 'openai-chat', contentType })
      reader.write(Buffer.from(body))
      reader.end()
      expect([reader.framing, reader.reading.reported, reader.kept.isEmpty]).to.deep.equal(['opaque', undefined, true])
    })
  }

  it('reads headers that state usage, where the body does not', () => {
    const headers: Readonly<Record<string, string>> = {
      'x-amzn-bedrock-input-token-count': '12',
      'x-amzn-bedrock-output-token-count': '7',
    }
    const options = {
      shape: 'invoke',
      contentType: 'application/json',
      header: (name: string) => headers[name],
    } as const
    const reader = createUsageReader(options)
    reader.write(Buffer.from('{"outputs":[{"text":"a"}]}'))
    reader.end()
    expect(reader.reading.reported).to.include({ input: 12, output: 7 })
    const own = createUsageReader(options)
    own.write(Buffer.from('{"usage":{"input_tokens":13,"output_tokens":8}}'))
    expect(own.reading.reported).to.include({ input: 13, output: 8 })
  })

  it('knows nothing of an answer without a byte', () => {
    const reader = createUsageReader({ shape: 'openai-chat', contentType: 'text/event-stream' })
    expect(reader.write(Buffer.alloc(0))).to.equal(-1)
    reader.end()
    expect([reader.framing, reader.reading.reported, reader.isWithinEvent]).to.deep.equal(['sse', undefined, false])
  })
})
