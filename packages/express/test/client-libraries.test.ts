import Anthropic from '@anthropic-ai/sdk'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { GoogleGenAI } from '@google/genai'
import { ChatOpenAI } from '@langchain/openai'
import { MemoryCounterStore, monotonicClock } from '@tallygate/core'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { generateText, streamText } from 'ai'
import { expect } from 'chai'
import express from 'express'
import OpenAI from 'openai'
import { closeTestBeds, FORWARDERS, openTestBed, proxied } from './test-bed.ts'

const KEY = 'sk-a-key'
const messages = [{ role: 'user' as const, content: 'Tell me of rivers.' }]
const USAGE = { input: 321, output: 123, cached: 64 }

/** Whatever a library gives its user, and only that: no ids or times of its own making. */
type Outcome = unknown
interface Use {
  readonly use: string
  readonly ask: (url: string) => Promise<Outcome>
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = []
  for await (const item of stream) items.push(item)
  return items
}

const openai = (url: string): OpenAI => new OpenAI({ apiKey: KEY, baseURL: `${url}/v1` })
const anthropic = (url: string): Anthropic => new Anthropic({ apiKey: KEY, baseURL: url })
const gemini = (url: string): GoogleGenAI => new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: url } })
const chat = { model: 'gpt-4o', messages }
const message = { model: 'claude-sonnet-4-6', max_tokens: 1_000, messages }
const content = { model: 'gemini-2.5-flash', contents: 'Tell me of rivers.' }
const generated = async ({ text, usage, finishReason }: Awaited<ReturnType<typeof generateText>>): Promise<Outcome> => [
  text,
  usage,
  finishReason,
]
const streamed = async (stream: ReturnType<typeof streamText>): Promise<Outcome> => [
  await all(stream.textStream),
  await stream.usage,
]

const USES: readonly Use[] = [
  { use: 'openai: chat', ask: (url) => openai(url).chat.completions.create(chat) },
  {
    use: 'openai: chat, streamed',
    ask: async (url) => all(await openai(url).chat.completions.create({ ...chat, stream: true })),
  },
  {
    use: 'openai: chat, streamed with its usage',
    ask: async (url) =>
      all(
        await openai(url).chat.completions.create({ ...chat, stream: true, stream_options: { include_usage: true } }),
      ),
  },
  {
    use: 'openai: responses',
    ask: (url) => openai(url).responses.create({ model: 'gpt-4.1', input: 'Tell me of rivers.' }),
  },
  {
    use: 'openai: responses, streamed',
    ask: async (url) => all(await openai(url).responses.create({ model: 'gpt-4.1', input: 'Tell me.', stream: true })),
  },
  { use: '@anthropic-ai/sdk: messages', ask: (url) => anthropic(url).messages.create(message) },
  {
    use: '@anthropic-ai/sdk: messages, streamed',
    ask: async (url) => all(await anthropic(url).messages.create({ ...message, stream: true })),
  },
  {
    use: '@google/genai: generateContent',
    ask: async (url) => plain(await gemini(url).models.generateContent(content)),
  },
  {
    use: '@google/genai: generateContentStream',
    ask: async (url) => (await all(await gemini(url).models.generateContentStream(content))).map(plain),
  },
  {
    use: 'ai with @ai-sdk/openai: generateText',
    ask: async (url) =>
      generated(
        await generateText({ model: createOpenAI({ apiKey: KEY, baseURL: `${url}/v1` }).chat('gpt-4o'), messages }),
      ),
  },
  {
    use: 'ai with @ai-sdk/openai: streamText',
    ask: (url) =>
      streamed(streamText({ model: createOpenAI({ apiKey: KEY, baseURL: `${url}/v1` }).chat('gpt-4o'), messages })),
  },
  {
    use: 'ai with @ai-sdk/openai, responses: streamText',
    ask: (url) =>
      streamed(streamText({ model: createOpenAI({ apiKey: KEY, baseURL: `${url}/v1` })('gpt-4.1'), messages })),
  },
  {
    use: 'ai with @ai-sdk/anthropic: streamText',
    ask: (url) =>
      streamed(
        streamText({ model: createAnthropic({ apiKey: KEY, baseURL: `${url}/v1` })('claude-sonnet-4-6'), messages }),
      ),
  },
  {
    use: 'ai with @ai-sdk/google: streamText',
    ask: (url) =>
      streamed(
        streamText({
          model: createGoogleGenerativeAI({ apiKey: KEY, baseURL: `${url}/v1beta` })('gemini-2.5-flash'),
          messages,
        }),
      ),
  },
  {
    use: '@langchain/openai: stream',
    ask: async (url) =>
      (await all(await langchain(url).stream('Tell me of rivers.'))).map(({ content: text, usage_metadata: usage }) => [
        text,
        usage,
      ]),
  },
]

function langchain(url: string): ChatOpenAI {
  return new ChatOpenAI({ model: 'gpt-4o', apiKey: KEY, configuration: { baseURL: `${url}/v1` } })
}

/** A response of @google/genai without what it adds of the transport: headers, which differ by the hop. */
function plain(response: object): unknown {
  const { sdkHttpResponse: _transport, ...rest } = response as Record<string, unknown>
  return JSON.parse(JSON.stringify(rest)) as unknown
}

for (const forwarder of FORWARDERS)
  describe(`client libraries, unchanged, forwarded by ${forwarder}`, () => {
    afterEach(closeTestBeds)

    for (const { use, ask } of USES) {
      it(`${use}: the same answer as without us, and its usage in the ledger`, async () => {
        const bed = await openTestBed()
        bed.provider.script = { usage: USAGE, obfuscates: false }
        const direct = await ask(bed.provider.url)
        const through = await ask(await proxied(bed, {}, forwarder))
        expect(JSON.stringify(through).length).to.be.above(40)
        expect(through).to.deep.equal(direct)
        const [entry, ...others] = await bed.entries()
        expect(others).to.deep.equal([])
        expect(entry!.usage).to.deep.include({
          basis: 'reported',
          inputTokens: USAGE.input,
          outputTokens: USAGE.output,
          totalTokens: USAGE.input + USAGE.output,
          cacheReadTokens: USAGE.cached,
        })
        expect(bed.provider.requests).to.have.length(2)
      })
    }
  })

const exhausted = (options: Partial<QuotaOptions> = {}): Partial<QuotaOptions> => ({
  plans: [{ name: 'p', limits: [{ name: 'calls', unit: 'requests', quota: 0, window: { kind: 'lifetime' } }] }],
  defaultPlans: ['p'],
  ...options,
})

/** For what a library does while it waits: the clock of the machine. */
const perHalfSecond: Partial<QuotaOptions> = {
  plans: [
    {
      name: 'p',
      limits: [{ name: 'calls', unit: 'requests', quota: 1, window: { kind: 'sliding', durationMs: 500, buckets: 5 } }],
    },
  ],
  defaultPlans: ['p'],
  store: new MemoryCounterStore({ clock: monotonicClock }),
  clock: monotonicClock,
}

const DENIED: readonly { library: string; ask: (url: string) => Promise<unknown>; with429: number; with402: number }[] =
  [
    { library: 'openai', ask: (url) => openai(url).chat.completions.create(chat), with429: 1, with402: 1 },
    { library: '@anthropic-ai/sdk', ask: (url) => anthropic(url).messages.create(message), with429: 1, with402: 1 },
    { library: '@google/genai', ask: (url) => gemini(url).models.generateContent(content), with429: 1, with402: 1 },
    {
      library: 'ai',
      ask: (url) =>
        generateText({ model: createOpenAI({ apiKey: KEY, baseURL: `${url}/v1` }).chat('gpt-4o'), messages }),
      with429: 3,
      with402: 1,
    },
    { library: '@langchain/openai', ask: (url) => langchain(url).invoke('Tell me of rivers.'), with429: 1, with402: 1 },
  ]

describe('client libraries that are refused for good', () => {
  afterEach(closeTestBeds)

  for (const { library, ask, with429, with402 } of DENIED) {
    for (const [exhaustedStatus, attempts] of [
      [429, with429],
      [402, with402],
    ] as const) {
      it(`${library} makes ${attempts} attempt${attempts === 1 ? '' : 's'} on ${exhaustedStatus}, none of which reaches the provider`, async () => {
        const bed = await openTestBed(exhausted({ denials: { exhaustedStatus } }))
        let received = 0
        const app = express()
        app.use((_req, _res, next) => {
          received += 1
          next()
        })
        const url = await bed.serve(
          app.use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url })),
        )
        const refusal: unknown = await ask(url).then(
          () => 'answered',
          (error: unknown) => error,
        )
        expect(refusal).to.be.instanceOf(Error)
        expect((refusal as Error).message).to.match(/The quota .{0,2}"calls/)
        expect(received).to.equal(attempts)
        expect(bed.provider.requests).to.have.length(0)
      })
    }
  }
})

describe('client libraries that are refused for a moment', () => {
  afterEach(closeTestBeds)

  for (const { library, ask } of DENIED.slice(0, 2)) {
    it(`${library} waits as long as it is told, and gets through`, async () => {
      const bed = await openTestBed(perHalfSecond)
      const url = await proxied(bed)
      await ask(url)
      await ask(url)
      expect(bed.provider.requests).to.have.length(2)
      expect(await bed.entries()).to.have.length(2)
    })
  }
})
