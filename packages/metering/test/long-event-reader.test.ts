import { runs } from '@tallygate/testkit'
import { UsageCollector, usageReaderFor, type ReportedUsage, type UsageReader } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { adapterNamed } from './adapter-named.ts'
import { anyCuts, cutAt } from './cuts.ts'
import { readUsage } from './read-usage.ts'

/** More than is held of one event. */
const LONG = 70_000
const USAGE = { input_tokens: 75, output_tokens: 1186, total_tokens: 1261 }
const TEXT = `é🙂"usage":{"input_tokens":9999}\\"\n\n`.repeat(LONG / 20)

const long = (isPretty: boolean): string => {
  const document = { type: 'response.completed', response: { model: 'gpt-5', output: [{ text: TEXT }], usage: USAGE } }
  const json = JSON.stringify(document, null, isPretty ? 2 : 0)
  return `event: response.completed\n${json.replaceAll(/^/gm, 'data: ')}\n\n`
}
const CREATED = 'event: response.created\ndata: {"type":"response.created","response":{"model":"old","usage":null}}\n\n'
const KEEPALIVE = ': usage\n\n'

function readerOf(adapter: string): UsageReader {
  return usageReaderFor('sse', new UsageCollector(adapterNamed(adapter).usage))
}

describe('StreamUsageReader with events that are too long to hold', () => {
  const streams: readonly (readonly [what: string, text: string])[] = [
    ['in one line of data', CREATED + long(false) + KEEPALIVE],
    ['in several lines of data', CREATED + long(true) + KEEPALIVE],
    ['without a space behind the colon', long(false).replaceAll('data: ', 'data:')],
    ['without a blank line at its end', long(false).trimEnd()],
    [
      'after another long one',
      `data: {"type":"response.output_text.delta","delta":${JSON.stringify(TEXT)}}\n\n${long(false)}`,
    ],
    ['with other fields around', `id: 1\n: comment\n${long(false).trimEnd()}\nretry: 3\ndatabase: {"usage":1}\n\n`],
  ]
  for (const [what, text] of streams) {
    for (const [name, end] of [
      ['LF', '\n'],
      ['CRLF', '\r\n'],
      ['CR', '\r'],
    ] as const) {
      const bytes = Buffer.from(text.replaceAll('\n', end))

      it(`reads one ${what}, with ${name}, cut anywhere`, () => {
        fc.assert(
          fc.property(anyCuts, (cuts) => {
            const { reported, model, coversOutput } = readUsage('openai-responses', 'sse', cutAt(bytes, cuts))
            expect(figures(reported)).to.deep.equal({ input: 75, output: 1186, total: 1261 })
            expect(model).to.equal('gpt-5')
            expect(coversOutput).to.equal(true)
          }),
          { numRuns: runs(30) },
        )
      })
    }
  }

  it('reads one of which each byte comes alone', () => {
    const reader = readerOf('openai-responses')
    const bytes = Buffer.from(CREATED + long(false))
    const ends: number[] = []
    // The first part at once, to be done in time.
    for (const piece of [bytes.subarray(0, LONG), ...Array.from(bytes.subarray(LONG), (byte) => Buffer.of(byte))]) {
      const terminalAt = reader.write(piece)
      if (terminalAt !== -1) ends.push(terminalAt)
    }
    expect(figures(reader.reading.reported)).to.deep.equal({ input: 75, output: 1186, total: 1261 })
    expect(ends).to.deep.equal([0])
  })

  it('keeps nothing back but the end of one that ends its stream', () => {
    const bytes = Buffer.from(long(false))
    for (let cut = bytes.length - 80; cut <= bytes.length; cut += 1) {
      const reader = readerOf('openai-responses')
      const ends = cutAt(bytes, [LONG, cut]).map((piece) => reader.write(piece))
      expect(ends.filter((at) => at !== -1)).to.deep.equal([0])
      expect(ends[0]).to.equal(-1)
    }
  })

  it('goes on with short events behind it', () => {
    const text = `data: {"choices":[{"delta":{"content":${JSON.stringify(TEXT)}}}]}\n\n`
    const last = 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    const bytes = Buffer.from(text + last)
    for (const cuts of [[LONG], [LONG, text.length + 30], [LONG, bytes.length - 14]]) {
      expect(readUsage('openai-chat', 'sse', cutAt(bytes, cuts)).reported).to.include({ input: 1, output: 2 })
    }
  })

  it('takes what breaks off within its text for nothing', () => {
    const bytes = Buffer.from(long(false)).subarray(0, LONG + 1_000)
    expect(readUsage('openai-responses', 'sse', [bytes])).to.include({ reported: undefined, coversOutput: false })
  })

  it('reads a long array of generated content', () => {
    const pieces = [1, 2].map((count) => ({
      candidates: [{ content: TEXT }],
      usageMetadata: { promptTokenCount: 3, candidatesTokenCount: count },
    }))
    fc.assert(
      fc.property(anyCuts, (cuts) => {
        const { reported } = readUsage('gemini-generate', 'json', cutAt(Buffer.from(JSON.stringify(pieces)), cuts))
        expect(figures(reported)).to.deep.equal({ input: 3, output: 2, total: 5 })
      }),
      { numRuns: runs(30) },
    )
  })
})

function figures(reported: ReportedUsage | undefined): unknown {
  return reported === undefined ? undefined : JSON.parse(JSON.stringify(reported))
}
