import { hasEnded, streamDocuments, streamEnding, streamFramingOf, type CutStream } from '@tallygate/metering'
import { expect } from 'chai'

const sse = (documents: readonly unknown[], names = false): Buffer =>
  Buffer.from(
    documents
      .map((document) => {
        const event = names ? `event: ${(document as { type: string }).type}\n` : ''
        return `${event}data: ${JSON.stringify(document)}\n\n`
      })
      .join(''),
  )
const lines = (documents: readonly unknown[]): Buffer =>
  Buffer.from(documents.map((document) => `${JSON.stringify(document)}\n`).join(''))

function cut(events: Buffer, more: Partial<CutStream> = {}): CutStream {
  const figures = { inputTokens: 7, outputTokens: 42, asksUsage: false, finished: new Set<number>() }
  return { framing: 'sse', head: events, tail: events, ...figures, ...more }
}

/** What the end of a stream consists of. */
function ending(stream: CutStream): readonly unknown[] {
  return streamDocuments(stream.framing, String(streamEnding(stream)))
}

const chunk = (index: number, delta: unknown, reason: string | null = null): unknown => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 5,
  model: 'gpt-4o',
  system_fingerprint: 'fp',
  choices: [{ index, delta, finish_reason: reason }],
  obfuscation: 'x',
})
const base = {
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 5,
  model: 'gpt-4o',
  system_fingerprint: 'fp',
}
const choice = (index: number): unknown => ({ index, delta: {}, logprobs: null, finish_reason: 'length' })

describe('streamEnding', () => {
  it('ends each answer of a chat that is still open, and the stream', () => {
    const events = sse([chunk(0, { content: 'a' }), chunk(1, { content: 'b' }), chunk(2, { content: 'c' })])
    const stream = cut(events, { finished: new Set([1]) })
    expect(ending(stream)).to.deep.equal([
      { ...base, choices: [choice(0)] },
      { ...base, choices: [choice(2)] },
    ])
    expect(String(streamEnding(stream)).endsWith('\n\ndata: [DONE]\n\n')).to.equal(true)
  })

  it('states usage where the caller of a chat has asked for it', () => {
    const usage = { prompt_tokens: 7, completion_tokens: 42, total_tokens: 49 }
    expect(ending(cut(sse([chunk(0, { content: 'a' })]), { asksUsage: true }))).to.deep.equal([
      { ...base, choices: [choice(0)], usage: null },
      { ...base, choices: [], usage },
    ])
  })

  it('passes over what stands before the first choice of a chat', () => {
    const filters = { id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: [] }
    expect(ending(cut(sse([filters])))).to.deep.equal([])
    expect(ending(cut(sse([filters, chunk(0, { role: 'assistant' })])))).to.deep.equal([
      { ...base, choices: [choice(0)] },
    ])
  })

  it('ends a legacy completion', () => {
    const text = { id: 'cmpl-1', object: 'text_completion', created: 5, model: 'm', choices: [{ text: 'a', index: 0 }] }
    expect(ending(cut(sse([text])))).to.deep.equal([
      {
        id: 'cmpl-1',
        object: 'text_completion',
        created: 5,
        model: 'm',
        choices: [{ index: 0, text: '', logprobs: null, finish_reason: 'length' }],
      },
    ])
  })

  it('ends a response by the object that it began with', () => {
    const response = {
      id: 'resp_1',
      object: 'response',
      status: 'in_progress',
      incomplete_details: null,
      output: [],
      usage: null,
    }
    const head = sse([{ type: 'response.created', sequence_number: 0, response }], true)
    const tail = sse([{ type: 'response.output_text.delta', sequence_number: 90, delta: 'a' }], true)
    const [end] = ending(cut(head, { tail })) as { type: string; sequence_number: number; response: object }[]
    expect(end).to.include({ type: 'response.incomplete', sequence_number: 91 })
    expect(end!.response).to.deep.include({
      id: 'resp_1',
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
    })
    expect(String(streamEnding(cut(head, { tail })))).to.match(/^event: response\.incomplete\ndata: /)
  })

  const start = { type: 'message_start', message: { id: 'msg_1', usage: { input_tokens: 7, output_tokens: 1 } } }
  const block = { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } }
  const delta = { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: 'a' } }
  const stop = [
    {
      type: 'message_delta',
      delta: { stop_reason: 'max_tokens', stop_sequence: null },
      usage: { output_tokens: 42 },
    },
    { type: 'message_stop' },
  ]
  const close = { type: 'content_block_stop', index: 1 }
  const MESSAGES = [
    { when: 'within a block', events: [start, block, delta], ends: [close, ...stop] },
    { when: 'within a block, behind a ping', events: [start, block, delta, { type: 'ping' }], ends: [close, ...stop] },
    { when: 'between two blocks', events: [start, block, delta, close], ends: stop },
    { when: 'before the first block', events: [start, { type: 'ping' }], ends: stop },
  ]
  for (const { when, events, ends } of MESSAGES) {
    it(`ends a message ${when}`, () => expect(ending(cut(sse(events, true)))).to.deep.equal(ends))
  }

  it('ends what Gemini writes, as events and as an array, with the figures that it stated last', () => {
    const text = (usageMetadata?: unknown): unknown => ({
      candidates: [{ content: { parts: [{ text: 'a' }], role: 'model' }, index: 0 }],
      modelVersion: 'gemini-2.5-flash',
      ...(usageMetadata === undefined ? {} : { usageMetadata }),
    })
    const stated = { promptTokenCount: 9, thoughtsTokenCount: 20, candidatesTokenCount: 3, totalTokenCount: 32 }
    const end = {
      candidates: [{ content: { parts: [{ text: '' }], role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
      usageMetadata: { promptTokenCount: 9, thoughtsTokenCount: 20, candidatesTokenCount: 22, totalTokenCount: 51 },
      modelVersion: 'gemini-2.5-flash',
    }
    expect(ending(cut(sse([text(), text(stated)])))).to.deep.equal([end])
    const elements = `[${JSON.stringify(text())},\r\n${JSON.stringify(text(stated))}`
    const array = cut(Buffer.from(elements), { framing: 'array' })
    expect(JSON.parse(elements + String(streamEnding(array)))).to.deep.equal([text(), text(stated), end])
  })

  it('ends lines of Ollama, of a chat and of a text', () => {
    const figures = { done: true, done_reason: 'length', prompt_eval_count: 7, eval_count: 42 }
    const chat = { model: 'llama', created_at: 't', message: { role: 'assistant', content: 'a' }, done: false }
    expect(ending(cut(lines([chat]), { framing: 'ndjson' }))).to.deep.equal([
      { model: 'llama', created_at: 't', message: { role: 'assistant', content: '' }, ...figures },
    ])
    const text = { model: 'llama', response: 'a', done: false }
    expect(ending(cut(lines([text]), { framing: 'ndjson' }))).to.deep.equal([
      { model: 'llama', response: '', ...figures },
    ])
  })

  it('ends what Cohere writes, in both versions', () => {
    const events = [
      { type: 'message-start', id: 'x', delta: {} },
      { type: 'content-start', index: 0 },
      { type: 'content-delta', index: 0, delta: { message: { content: { text: 'a' } } } },
    ]
    const tokens = { input_tokens: 7, output_tokens: 42 }
    expect(ending(cut(sse(events, true)))).to.deep.equal([
      { type: 'content-end', index: 0 },
      { type: 'message-end', delta: { finish_reason: 'MAX_TOKENS', usage: { tokens } } },
    ])
    const old = [
      { is_finished: false, event_type: 'stream-start' },
      { is_finished: false, event_type: 'text-generation', text: 'a' },
    ]
    const [end] = ending(cut(lines(old), { framing: 'ndjson' }))
    expect(end).to.deep.include({ is_finished: true, event_type: 'stream-end', finish_reason: 'MAX_TOKENS' })
  })

  it('knows no end for what it does not know, and for what is no document', () => {
    for (const text of [
      'data: {"what":"else"}\n\n',
      'data: [DONE]\n\n',
      'data: {"choices"\n\n',
      '',
      'data: 5\n\n',
      'data: null\n\n',
    ])
      expect(streamEnding(cut(Buffer.from(text))), text).to.equal(undefined)
  })
})

describe('hasEnded', () => {
  const none = new Set<number>()
  const asked = (tail: Buffer, more: Partial<CutStream> = {}): boolean =>
    hasEnded({ framing: 'sse', head: tail, tail, finished: none, ...more })

  it('is so where all answers of a chat have said why they end', () => {
    const events = sse([chunk(0, { content: 'a' }), chunk(1, { content: 'b' })])
    expect(asked(events)).to.equal(false)
    expect(asked(events, { finished: new Set([0]) })).to.equal(false)
    expect(asked(events, { finished: new Set([0, 1]) })).to.equal(true)
  })

  const ENDED: readonly unknown[] = [
    { type: 'message_delta', delta: { stop_reason: 'end_turn' } },
    { candidates: [{ finishReason: 'STOP' }] },
    { model: 'llama', done: true },
    { type: 'message-end', delta: {} },
    { event_type: 'stream-end', is_finished: true },
  ]
  for (const document of ENDED) {
    it(`is so after ${JSON.stringify(document)}`, () => expect(asked(sse([{ type: 'ping' }, document]))).to.equal(true))
  }

  it('is not so before', () => {
    for (const document of [
      { type: 'message_delta', delta: { stop_reason: null } },
      { candidates: [{}] },
      { done: false },
    ])
      expect(asked(sse([document])), JSON.stringify(document)).to.equal(false)
  })
})

describe('streamFramingOf', () => {
  it('goes by the media type, and takes JSON for an array only where a stream was asked for', () => {
    expect(streamFramingOf('text/event-stream; charset=utf-8', false)).to.equal('sse')
    expect(streamFramingOf('application/x-ndjson', false)).to.equal('ndjson')
    expect(streamFramingOf('application/json', true)).to.equal('array')
    expect(streamFramingOf('application/json', false)).to.equal(undefined)
    expect(streamFramingOf('audio/mpeg', true)).to.equal(undefined)
  })
})
