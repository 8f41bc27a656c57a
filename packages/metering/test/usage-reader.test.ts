import {
  UsageCollector,
  usageReaderFor,
  type Framing,
  type ReportedUsage,
  type UsageReader,
  type UsageReading,
} from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { adapterNamed } from './adapter-named.ts'
import { anyCuts, cutAt, everyCut } from './cuts.ts'
import { events, PROVIDER_ANSWERS } from './provider-answers.ts'
import { readUsage } from './read-usage.ts'

function readerOf(adapter: string, framing: Framing = 'sse'): UsageReader {
  return usageReaderFor(framing, new UsageCollector(adapterNamed(adapter).usage))
}

describe('usageReaderFor', () => {
  for (const { what, adapter, framing, body, usage, model } of PROVIDER_ANSWERS) {
    const bytes = Buffer.from(body)
    const expectRight = ({ reported, model: readModel, coversOutput }: UsageReading): void => {
      expect(stated(reported)).to.deep.equal(usage)
      expect(readModel).to.equal(model)
      expect(coversOutput).to.equal(usage !== undefined)
    }

    it(`read ${what}`, () => {
      expectRight(readUsage(adapter, framing, [bytes]))
    })

    it(`read the same of ${what} when it is cut at any byte`, () => {
      for (const pieces of everyCut(bytes)) expectRight(readUsage(adapter, framing, pieces))
    })

    it(`read the same of ${what} when it is cut at many bytes`, () => {
      fc.assert(fc.property(anyCuts, (cuts) => expectRight(readUsage(adapter, framing, cutAt(bytes, cuts)))))
    })

    if (framing === 'json') {
      it(`read the same of ${what} when it is there as a whole, small or large`, () => {
        for (const more of ['', ' '.repeat(20_000)]) {
          const reader = readerOf(adapter, 'json')
          reader.write(Buffer.from(body + more))
          reader.end()
          expectRight(reader.reading)
        }
      })
    } else {
      it(`read the same of ${what} without the blank line at its end`, () => {
        expectRight(readUsage(adapter, framing, [Buffer.from(body.trimEnd())]))
      })
    }
  }

  it('take a document that breaks off for one that states nothing, until its figures are complete', () => {
    const body = '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}'
    for (let end = 0; end < body.length; end += 1)
      expect(readUsage('openai-chat', 'json', [Buffer.from(body.slice(0, end))]).reported).to.equal(undefined)
    expect(readUsage('openai-chat', 'json', [Buffer.from(body)]).reported).to.include({ input: 1, output: 2 })
  })

  it('keep no more than 256 characters of a model', () => {
    const body = Buffer.from(JSON.stringify({ model: 'm'.repeat(300) }))
    expect(readUsage('openai-chat', 'json', [body]).model).to.equal('m'.repeat(256))
  })
})

describe('usageReaderFor event streams', () => {
  it('knows the input of a message before its output, and says that it does not cover that', () => {
    const start = { type: 'message_start', message: { model: 'm', usage: { input_tokens: 25, output_tokens: 1 } } }
    const { reported, coversOutput } = readUsage('anthropic-messages', 'sse', [Buffer.from(events(start))])
    expect(coversOutput).to.equal(false)
    expect(reported).to.include({ input: 25 })
  })

  const usage = { usage: { prompt_tokens: 1, completion_tokens: 1 } }
  const stop = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'
  const completed = events({ type: 'response.completed', response: { usage: { input_tokens: 1, output_tokens: 2 } } })
  const terminals: readonly (readonly [adapter: string, what: string, before: string, last: string | undefined])[] = [
    ['openai-chat', 'the end', events({ choices: [] }, usage), 'data: [DONE]\n\n'],
    ['openai-chat', 'the end without a space', events(usage), 'data:[DONE]\n\n'],
    ['openai-chat', 'the end in lines of CRLF', 'data: {}\r\n\r\n', 'data: [DONE]\r\n\r\n'],
    ['openai-chat', 'the end alone', '', 'data: [DONE]\n\n'],
    [
      'openai-chat',
      'text that looks like the end',
      events({ choices: [{ delta: { content: 'data: [DONE]' } }] }),
      undefined,
    ],
    ['openai-chat', 'an end that is not the last event', 'data: [DONE]\n\n: and more\n\n', undefined],
    ['openai-chat', 'no end', events({ choices: [] }, usage), undefined],
    ['anthropic-messages', 'the end', events({ type: 'message_delta' }), stop],
    ['anthropic-messages', 'the end in lines of CRLF', '', stop.replaceAll('\n', '\r\n')],
    ['anthropic-messages', 'the end without an event line', '', events({ type: 'message_stop' })],
    [
      'anthropic-messages',
      'text that looks like the end',
      events({ text: 'event: message_stop\n{"type":"message_stop"}' }),
      undefined,
    ],
    ['openai-responses', 'the end', events({ type: 'response.created', response: { usage: null } }), completed],
    ['gemini-generate', 'no end', events({ usageMetadata: { promptTokenCount: 1 } }), undefined],
  ]
  for (const [adapter, what, before, last] of terminals) {
    it(`finds ${what} of a stream of ${adapter} where it begins`, () => {
      const terminalAt = readerOf(adapter).write(Buffer.from(before + (last ?? '')))
      expect(terminalAt).to.equal(last === undefined ? -1 : Buffer.byteLength(before))
    })
  }

  it('finds the end of a stream in whichever piece completes it', () => {
    const [before, last] = [Buffer.from(events({ choices: [] }, usage)), Buffer.from('data: [DONE]\n\n')]
    for (const pieces of everyCut(Buffer.concat([before, last]))) {
      const reader = readerOf('openai-chat')
      let passed = 0
      const ends: number[] = []
      for (const piece of pieces) {
        const terminalAt = reader.write(piece)
        if (terminalAt !== -1) ends.push(passed + terminalAt)
        passed += piece.length
      }
      // An empty piece after the end is at the end as well.
      const lastPiece = pieces.findLast(({ length }) => length > 0)!
      expect(ends[0]).to.equal(Math.max(before.length, passed - lastPiece.length))
    }
  })

  it('keep the output that no figures cover, from the event on that covers the rest', () => {
    const reader = readerOf('openai-chat')
    const keptAfter = (text: string): string => {
      reader.write(Buffer.from(text))
      return Buffer.from(reader.kept.body).toString()
    }
    const text = events({ choices: [], usage: null })
    expect(keptAfter(text)).to.equal(text)
    expect(keptAfter(`${events(usage)}: more\n\n`)).to.equal(': more\n\n')
    expect(keptAfter('data: {"usa')).to.equal(': more\n\ndata: {"usa')
    expect(keptAfter('ge":{"prompt_tokens":1}}\n')).to.include('ge":{"prompt_tokens":1}}')
    expect(reader.reading.coversOutput).to.equal(true)
    expect(keptAfter('\n')).to.equal('')
    expect(keptAfter('data: [DONE]\n\n')).to.equal('data: [DONE]\n\n')
  })

  it('reads data of several lines', () => {
    const document = {
      choices: [{ delta: { content: 'hello' } }],
      model: 'm',
      usage: { prompt_tokens: 3, completion_tokens: 4 },
    }
    const body = `${JSON.stringify(document, null, 2).replaceAll(/^/gm, 'data: ')}\n\n`
    for (const end of ['\n', '\r\n', '\r']) {
      const bytes = Buffer.from(body.replaceAll('\n', end))
      for (const pieces of everyCut(bytes))
        expect(readUsage('openai-chat', 'sse', pieces).reported).to.include({ input: 3, output: 4 })
    }
  })
})

/** Without what is not stated. */
function stated(reported: ReportedUsage | undefined): unknown {
  return reported === undefined ? undefined : JSON.parse(JSON.stringify(reported))
}
