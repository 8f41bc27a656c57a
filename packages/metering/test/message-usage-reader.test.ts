import { UsageCollector, usageReaderFor } from '@tallygate/metering'
import { expect } from 'chai'

const response = (input: number, output: number, more: unknown = null): Buffer =>
  Buffer.from(
    JSON.stringify({
      type: 'response.done',
      response: { output: more, usage: { input_tokens: input, output_tokens: output, total_tokens: input + output } },
    }),
  )

describe('MessageUsageReader', () => {
  it('adds up the responses of a session, short messages and long ones, and looks at no other', () => {
    const reader = usageReaderFor('messages', new UsageCollector('realtime'))
    for (const message of [
      Buffer.from('{"type":"session.created","session":{"model":"gpt-realtime"}}'),
      response(10, 2),
      Buffer.from('{"type":"response.output_audio.delta","delta":"\\"usage\\":{\\"input_tokens\\":9999}"}'),
      response(20, 3, 'x'.repeat(100_000)),
      Buffer.from('"usage":{ no JSON'),
      Buffer.of(0, 255, 1),
      Buffer.alloc(0),
    ]) {
      expect(reader.write(message)).to.equal(-1)
    }
    reader.end()
    expect(reader.reading.reported).to.include({ input: 30, output: 5, total: 35 })
    expect(reader.kept.isEmpty).to.equal(true)
  })
})
