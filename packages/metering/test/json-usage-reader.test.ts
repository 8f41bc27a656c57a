import { UsageCollector, usageReaderFor, type UsageReader, type UsageShape } from '@tallygate/metering'
import { expect } from 'chai'

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

  it('keeps nothing of a body whose headers have stated its usage', () => {
    const collector = new UsageCollector('invoke')
    collector.absorbHeaders((name) => (name === 'x-amzn-bedrock-input-token-count' ? '7' : undefined))
    const reader = usageReaderFor('json', collector)
    reader.write(Buffer.from('{"outputs":[{"text":"a"}]'))
    expect([reader.kept.isEmpty, reader.reading.reported?.input]).to.deep.equal([true, 7])
  })
})
