import { UsageCollector, usageReaderFor, type UsageReader, type UsageShape } from '@tallygate/metering'
import { expect } from 'chai'
import { cutAt } from './cuts.ts'

function readerOf(shape: UsageShape): {
  readonly reader: UsageReader
  readonly write: (text: string) => string
} {
  const reader = usageReaderFor('json', new UsageCollector(shape))
  return {
    reader,
    write: (text) => {
      reader.write(Buffer.from(text))
      return Buffer.from(reader.kept.body).toString()
    },
  }
}

describe('JsonUsageReader', () => {
  it('keeps a body whose provider has stated nothing', () => {
    const { write } = readerOf('openai-chat')
    expect(write('{"choices":[{"message":')).to.equal('{"choices":[{"message":')
    expect(write('{"content":"a"}}]}')).to.equal('{"choices":[{"message":{"content":"a"}}]}')
  })

  it('keeps nothing of a document that has stated its usage, also not what follows in it', () => {
    const { reader, write } = readerOf('openai-chat')
    expect(write('{"usage":{"prompt_tokens":3,"completion_tokens":4},')).to.equal('')
    expect(write('"choices":[{"message":{"content":"a"}}]}')).to.equal('')
    expect([reader.reading.coversOutput, reader.kept.isEmpty]).to.deep.equal([true, true])
  })

  it('keeps of an array what follows the element that has stated its usage', () => {
    const { reader, write } = readerOf('gemini')
    expect(write('\n[{"candidates":[1]}')).to.equal('\n[{"candidates":[1]}')
    expect(write(',{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}')).to.equal('')
    expect(write(',{"candidates":[2]}')).to.equal(',{"candidates":[2]}')
    expect(reader.reading.reported).to.include({ input: 3, output: 4 })
  })

  it('keeps the same of an array that nobody asks for in between', () => {
    const stated = '{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}'
    for (const [one, other, kept] of [
      [`[${stated}`, ',{"candidates":[2]}]', ',{"candidates":[2]}]'],
      ['[{"candidates":[2]}', `,${stated}]`, ''],
    ] as const) {
      const { reader } = readerOf('gemini')
      reader.write(Buffer.from(one))
      reader.write(Buffer.from(other))
      expect(Buffer.from(reader.kept.body).toString()).to.equal(kept)
    }
  })

  const usage = '"usage":{"prompt_tokens":3,"completion_tokens":4}'
  const BODIES = [
    { what: 'small', body: `{"choices":[{"message":{"content":"é"}}],${usage}}`, keeps: '' },
    { what: 'small, without usage', body: '{"choices":[{"message":{"content":"é"}}]}', keeps: 'all' },
    { what: 'small, and no JSON', body: `{"choices":[],${usage},}`, keeps: '' },
    { what: 'small, and cut off', body: '{"choices":[{"message":{"content":"é', keeps: 'all' },
    { what: 'longer than is waited for', body: `{"choices":["${'x'.repeat(20_000)}"],${usage}}`, keeps: '' },
  ] as const
  for (const { what, body, keeps } of BODIES) {
    it(`reads a body that is ${what}, in one piece or several, asked at its end or before`, () => {
      const bytes = Buffer.from(body)
      for (const cuts of [[], [1], [9, 30], [bytes.length - 2]])
        for (const asks of [false, true]) {
          const { reader } = readerOf('openai-chat')
          for (const piece of cutAt(bytes, cuts)) {
            reader.write(piece)
            if (asks) expect(reader.reading.model).to.equal(undefined)
          }
          reader.end()
          expect(reader.reading.reported?.output).to.equal(body.includes(usage) ? 4 : undefined)
          expect(Buffer.from(reader.kept.body).toString()).to.equal(keeps === 'all' ? body : '')
        }
    })
  }

  it('reads what follows a body that it was asked for', () => {
    const { reader } = readerOf('gemini')
    reader.write(Buffer.from('[{"candidates":[1]}]'))
    expect(reader.reading.reported).to.equal(undefined)
    reader.write(Buffer.from('{"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":4}}'))
    expect(reader.reading.reported).to.include({ input: 3, output: 4 })
  })

  it('keeps nothing of a body whose headers have stated its usage', () => {
    const collector = new UsageCollector('invoke')
    collector.absorbHeaders((name) => (name === 'x-amzn-bedrock-input-token-count' ? '7' : undefined))
    const reader = usageReaderFor('json', collector)
    reader.write(Buffer.from('{"outputs":[{"text":"a"}]'))
    expect([reader.kept.isEmpty, reader.reading.reported?.input]).to.deep.equal([true, 7])
  })
})
