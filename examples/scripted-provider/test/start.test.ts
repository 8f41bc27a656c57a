import { expect } from 'chai'
import { closeExamples, startExample } from '../../gateway/test/example-process.ts'

const MESSAGES = { messages: [{ role: 'user', content: 'Hello!' }] }
const USAGE = /"(?:prompt_tokens|input_tokens|promptTokenCount)":\s*[1-9]/
const DIALECTS: readonly [
  name: string,
  path: string,
  body: object,
  streamPath: string,
  streamBody: object,
  end: RegExp,
][] = [
  [
    'OpenAI chat completions',
    '/v1/chat/completions',
    { model: 'gpt-4o', ...MESSAGES },
    '/v1/chat/completions',
    { model: 'gpt-4o', ...MESSAGES, stream: true, stream_options: { include_usage: true } },
    /data: \[DONE\]\s*$/,
  ],
  [
    'OpenAI responses',
    '/v1/responses',
    { model: 'gpt-4o', input: 'Hello!' },
    '/v1/responses',
    { model: 'gpt-4o', input: 'Hello!', stream: true },
    /event: response\.completed\s+data: .*\s*$/,
  ],
  [
    'Anthropic messages',
    '/v1/messages',
    { model: 'claude', max_tokens: 9, ...MESSAGES },
    '/v1/messages',
    { model: 'claude', max_tokens: 9, ...MESSAGES, stream: true },
    /event: message_stop\s+data: .*\s*$/,
  ],
  [
    'Gemini generated content',
    '/v1beta/models/gemini-pro:generateContent',
    { contents: [{ parts: [{ text: 'Hello!' }] }] },
    '/v1beta/models/gemini-pro:streamGenerateContent?alt=sse',
    { contents: [{ parts: [{ text: 'Hello!' }] }] },
    /"finishReason":\s*"STOP"[^\n]*\s*$/,
  ],
]

describe('examples/scripted-provider', () => {
  let url: string
  let end: (signal: 'SIGINT') => Promise<unknown>
  beforeEach(async () => {
    const example = await startExample('scripted-provider/start.ts', { PORT: '0' }, /provider at \S+\n/)
    url = /provider at (\S+)/.exec(example.output)![1]!
    end = example.end
  })
  afterEach(closeExamples)

  const post = async (path: string, body: object): Promise<{ type: string | null; text: string }> => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    const text = await response.text()
    expect(response.status, text).to.equal(200)
    return { type: response.headers.get('content-type'), text }
  }

  for (const [name, path, body, streamPath, streamBody, last] of DIALECTS) {
    it(`speaks ${name}, as JSON and as an event stream, with usage in both`, async () => {
      const document = await post(path, body)
      expect(document.type).to.include('application/json')
      expect(JSON.parse(document.text)).to.be.an('object')
      expect(document.text).to.include('You said: Hello!').and.match(USAGE)
      const stream = await post(streamPath, streamBody)
      expect(stream.type).to.include('text/event-stream')
      expect(stream.text).to.match(USAGE).and.match(last)
      expect(stream.text.split(/^data: /m).length).to.be.above(5)
    })
  }

  it('ends with 0 on Ctrl-C', async () => {
    expect(await end('SIGINT')).to.equal(0)
  })
})
