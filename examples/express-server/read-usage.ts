// #region read-usage
import { createUsageReader, matchAdapter, TokenCounter } from '@tallygate/metering'

const match = matchAdapter('POST', '/v1/messages')
if (match === undefined) throw new Error('no operation is known by this path')

const reader = createUsageReader({ shape: match.adapter.usage, contentType: 'text/event-stream' })
for (const piece of [
  'event: message_start\ndata: {"type":"message_start","message":{"model":"claude-sonnet-4-6","usage":{"inp',
  'ut_tokens":12,"output_tokens":1}}}\n\nevent: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":34}}\n\n',
]) {
  reader.write(Buffer.from(piece))
}
console.log(reader.reading.reported?.input, reader.reading.reported?.output) // 12 34

const counter = new TokenCounter()
const body = Buffer.from('{"content":[{"type":"text","text":"Hello, world!"}]}')
const { tokens } = await counter.count({
  kind: 'output',
  shape: 'anthropic',
  framing: 'json',
  body: new Uint8Array(body),
  model: 'claude-sonnet-4-6',
})
console.log(tokens) // 5: tiktoken's count, times the factor of the model's family
await counter.close()
// #endregion read-usage
