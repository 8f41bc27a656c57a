// A provider that costs next to nothing: bytes made beforehand, in OpenAI's shape. Prints its address.
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const EVENTS = 200
const chunk = (delta: unknown, more: object): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_768_478_400, model: 'gpt-4o', service_tier: 'default', system_fingerprint: 'fp_bench', choices: [{ index: 0, delta, logprobs: null, finish_reason: null }], ...more })}\n\n`
const usage = {
  prompt_tokens: 200,
  completion_tokens: EVENTS,
  total_tokens: 200 + EVENTS,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
}

const json = Buffer.from(
  JSON.stringify({
    id: 'chatcmpl-bench',
    object: 'chat.completion',
    created: 1_768_478_400,
    model: 'gpt-4o',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'Lorem ipsum dolor sit amet. '.repeat(30), refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage,
    service_tier: 'default',
    system_fingerprint: 'fp_bench',
  }),
)
/** Words of one token each, as models stream them; others are of two. */
const WORDS = process.argv[2] === 'tokens' ? ['river', 'stone', 'and', 'the', 'water', 'over', 'light', 'from'] : []
const word = (index: number): string => ` ${WORDS[index % WORDS.length] ?? `word${index}`}`
const plain = Array.from({ length: EVENTS }, (_, index) => Buffer.from(chunk({ content: word(index) }, {})))
const withUsage = [
  ...Array.from({ length: EVENTS }, (_, index) => Buffer.from(chunk({ content: word(index) }, { usage: null }))),
  Buffer.from(
    `data: ${JSON.stringify({ id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: 1_768_478_400, model: 'gpt-4o', choices: [], usage })}\n\n`,
  ),
]
const done = Buffer.from('data: [DONE]\n\n')

const server = createServer((req, res) => {
  const body: Buffer[] = []
  req.on('data', (bytes: Buffer) => body.push(bytes))
  req.on('end', () => {
    const text = Buffer.concat(body).toString('latin1')
    if (!text.includes('"stream":true'))
      return void res.writeHead(200, { 'content-type': 'application/json', 'content-length': json.length }).end(json)
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    stream(res, [...(text.includes('include_usage') ? withUsage : plain), done], 0)
  })
})

/** One event a turn of the event loop, so that each travels in a packet of its own, as from a model. */
function stream(res: ServerResponse, events: readonly Buffer[], at: number): void {
  if (at === events.length) return void res.end()
  res.write(events[at])
  setImmediate(stream, res, events, at + 1)
}

// A variant that waits for its turn must find its connections as they were.
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
process.once('disconnect', () => process.exit())
