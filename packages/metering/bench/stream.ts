import { UsageChunkFilter, withoutUsage } from '@tallygate/flow'
import { createUsageReader, sseDocuments, SseFramer, type UsageShape } from '@tallygate/metering'

/** What forwarding one event costs a proxy, in ns of CPU: measured in `docs/benchmarks.md`, What quotas cost. */
const EVENT_NS = 11_000
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 200)
const STREAMS_A_ROUND = 40
const EVENTS = 202

interface Stream {
  readonly name: string
  readonly shape: UsageShape
  readonly events: readonly Buffer[]
}

const text = (document: unknown, name?: string): Buffer =>
  Buffer.from(`${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(document)}\n\n`)
const fill = (index: number): string => ` token ${index}`

/** A chat completion as OpenAI sends it, with its usage in the last chunk, and `usage: null` before if it was asked for. */
function chat(name: string, usage?: null): Stream {
  const head = { id: 'chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012', object: 'chat.completion.chunk', created: 1_760_000_000 }
  const more = { ...head, model: 'gpt-4o-2024-11-20', service_tier: 'default', system_fingerprint: 'fp_0123456789' }
  const events = Array.from({ length: EVENTS - 2 }, (_, index) => {
    const choices = [{ index: 0, delta: { content: fill(index) }, logprobs: null, finish_reason: null }]
    return text({ ...more, choices, ...(usage === null ? { usage } : {}), obfuscation: 'aBcDeFgH' })
  })
  const details = { cached_tokens: 0, audio_tokens: 0 }
  const figures = { prompt_tokens: 120, completion_tokens: 200, total_tokens: 320, prompt_tokens_details: details }
  const last = text({ ...more, choices: [], usage: figures, obfuscation: '' })
  return { name, shape: 'openai-chat', events: [...events, last, Buffer.from('data: [DONE]\n\n')] }
}

function anthropic(): Stream {
  const usage = { input_tokens: 120, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 1 }
  const message = { id: 'msg_0123456789', type: 'message', role: 'assistant', model: 'claude-sonnet-4-6', content: [] }
  const filler = 'x'.repeat(140)
  const deltas = Array.from({ length: EVENTS - 3 }, (_, index) =>
    text(
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: fill(index) }, p: filler },
      'content_block_delta',
    ),
  )
  return {
    name: 'Anthropic, usage in head and tail',
    shape: 'anthropic',
    events: [
      text({ type: 'message_start', message: { ...message, usage } }, 'message_start'),
      ...deltas,
      text({ type: 'message_delta', delta: {}, usage: { output_tokens: 200 } }, 'message_delta'),
      text({ type: 'message_stop' }, 'message_stop'),
    ],
  }
}

function gemini(): Stream {
  const events = Array.from({ length: EVENTS }, (_, index) => {
    const content = { parts: [{ text: fill(index) }], role: 'model' }
    const details = [{ modality: 'TEXT', tokenCount: 120 }]
    const counts = { promptTokenCount: 120, candidatesTokenCount: index, totalTokenCount: 120 + index }
    const usageMetadata = { ...counts, promptTokensDetails: details }
    return text({
      candidates: [{ content, index: 0 }],
      usageMetadata,
      modelVersion: 'gemini-2.5-flash',
      responseId: 'x',
    })
  })
  return { name: 'Gemini, usage in each event', shape: 'gemini', events }
}

function responses(): Stream {
  const deltas = Array.from({ length: EVENTS - 2 }, (_, index) => {
    const place = { item_id: 'msg_0123456789abcdef0123456789abcdef', output_index: 0, content_index: 0 }
    const type = 'response.output_text.delta'
    return text(
      { type, sequence_number: index, ...place, delta: fill(index), logprobs: [], obfuscation: 'aBcDe' },
      type,
    )
  })
  const response = { id: 'resp_0123456789', object: 'response', model: 'gpt-5', output: [{ text: 'x'.repeat(2_000) }] }
  const usage = { input_tokens: 120, output_tokens: 200, total_tokens: 320 }
  return {
    name: 'OpenAI responses, usage in the last event',
    shape: 'openai-responses',
    events: [
      text({ type: 'response.created', response: { ...response, usage: null, output: [] } }, 'response.created'),
      ...deltas,
      text({ type: 'response.completed', response: { ...response, usage } }, 'response.completed'),
    ],
  }
}

/** The stream as a network would cut it. */
function chunksOf({ events }: Stream, bytes: number): readonly Buffer[] {
  if (bytes === 0) return events
  const whole = Buffer.concat(events)
  return Array.from({ length: Math.ceil(whole.length / bytes) }, (_, index) =>
    Buffer.from(whole.subarray(index * bytes, (index + 1) * bytes)),
  )
}

type Way = (chunks: readonly Buffer[], shape: UsageShape) => unknown

/** As lean as it can be: an event is what is between two blank lines, its data is on one line. */
const parseEach: Way = (chunks) => {
  let rest = ''
  let parsed = 0
  for (const chunk of chunks) {
    const events = (rest + chunk.toString('utf8')).split('\n\n')
    rest = events.pop()!
    for (const event of events) {
      const data = event.slice(event.indexOf('data: ') + 6)
      if (data !== '[DONE]') parsed += Object.keys(JSON.parse(data) as object).length
    }
  }
  return parsed
}
/** As a proxy must that takes all that is an event stream: lines of CR and CRLF, data of several lines, comments. */
const parseAll: Way = (chunks) => {
  const framer = new SseFramer()
  let parsed = 0
  for (const chunk of chunks) {
    const { events } = framer.push(chunk)
    if (events.length > 0)
      for (const each of sseDocuments(events.toString('utf8'))) parsed += Object.keys(Object(each)).length
  }
  return parsed
}
const meter: Way = (chunks, shape) => {
  const reader = createUsageReader({ shape, contentType: 'text/event-stream' })
  for (const chunk of chunks) if (reader.write(chunk) !== -1) break
  return reader.reading
}
const meterAndFilter: Way = (chunks, shape) => {
  const reader = createUsageReader({ shape, contentType: 'text/event-stream' })
  const filter = new UsageChunkFilter()
  let bytes = 0
  for (const chunk of chunks) {
    const events = filter.push(chunk)
    const at = reader.write(events)
    bytes += withoutUsage(at === -1 ? events : events.subarray(0, at)).length
  }
  return [reader.reading, bytes]
}

/** Least ns an event of all rounds, by turns: what other processes take is no part of it. */
function measure(ways: readonly Way[], chunks: readonly Buffer[], shape: UsageShape): number[] {
  const least = ways.map(() => Infinity)
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, way] of ways.entries()) {
      const start = process.hrtime.bigint()
      for (let stream = 0; stream < STREAMS_A_ROUND; stream += 1) way(chunks, shape)
      const each = Number(process.hrtime.bigint() - start) / STREAMS_A_ROUND / EVENTS
      least[index] = Math.min(least[index]!, each)
    }
  }
  return least
}

const streams = [chat('OpenAI, usage in the tail'), anthropic(), gemini(), responses()]
const injected = chat('OpenAI, the injected chunk taken out', null)
const rows: Record<string, unknown>[] = []
for (const [cut, bytes] of [
  ['1 event', 0],
  ['1400 B', 1_400],
  ['64 kB', 65_536],
] as const) {
  for (const [stream, way] of [...streams.map((each) => [each, meter] as const), [injected, meterAndFilter] as const]) {
    const chunks = chunksOf(stream, bytes)
    const [parse = 0, all = 0, ours = 0] = measure([parseEach, parseAll, way], chunks, stream.shape)
    rows.push({
      'a chunk': cut,
      stream: stream.name,
      kB: Math.round(stream.events.reduce((sum, { length }) => sum + length, 0) / 100) / 10,
      'parse each, ns': Math.round(parse),
      'all of SSE, ns': Math.round(all),
      'ours, ns': Math.round(ours * 10) / 10,
      cheaper: `${(parse / ours).toFixed(1)} x`,
      'than all': `${(all / ours).toFixed(1)} x`,
      'of 11 us': `${((100 * ours) / EVENT_NS).toFixed(2)} %`,
    })
  }
}
console.table(rows)
