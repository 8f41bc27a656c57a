import Anthropic from '@anthropic-ai/sdk'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { GoogleGenAI } from '@google/genai'
import { streamText } from 'ai'
import { expect } from 'chai'
import OpenAI from 'openai'
import { AHEAD, KEY, messages, streaming, QUOTA, tokensOf, under, type Read } from './cut-bed.ts'
import { closeTestBeds, openTestBed, until } from './test-bed.ts'

const openai = (url: string): OpenAI => new OpenAI({ apiKey: KEY, baseURL: `${url}/v1`, maxRetries: 0 })
const anthropic = (url: string): Anthropic => new Anthropic({ apiKey: KEY, baseURL: url, maxRetries: 0 })
const gemini = (url: string): GoogleGenAI => new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: url } })
const MESSAGE = { model: 'claude-sonnet-4-5', max_tokens: 60, messages }

const readByAi = async (model: Parameters<typeof streamText>[0]['model']): Promise<Read> => {
  const stream = streamText({ model, messages, maxRetries: 0, maxOutputTokens: 60 })
  let text = ''
  for await (const piece of stream.textStream) text += piece
  return { text, reason: await stream.finishReason }
}

interface Library {
  readonly library: string
  readonly read: (url: string) => Promise<Read>
  readonly reason: unknown
  /** A family whose tokens nobody here can count by themselves. */
  readonly model?: 'claude' | 'gemini'
}

const LIBRARIES: readonly Library[] = [
  {
    library: 'openai: chat',
    reason: 'length',
    async read(url) {
      const read = { text: '', reason: undefined as unknown }
      for await (const { choices } of await openai(url).chat.completions.create({
        model: 'gpt-4o',
        messages,
        stream: true,
      })) {
        read.text += choices[0]!.delta.content ?? ''
        read.reason = choices[0]!.finish_reason
      }
      return read
    },
  },
  {
    library: 'openai: chat, with its usage',
    reason: 'length, 12 and as many tokens as there are',
    async read(url) {
      const read = { text: '', reason: undefined as unknown }
      const asked = { model: 'gpt-4o', messages, stream: true, stream_options: { include_usage: true } } as const
      for await (const { choices, usage } of await openai(url).chat.completions.create(asked)) {
        read.text += choices[0]?.delta.content ?? ''
        if (choices[0]?.finish_reason != null) read.reason = choices[0].finish_reason
        if (usage == null) continue
        const isRight =
          usage.completion_tokens === tokensOf(read.text) &&
          usage.total_tokens - usage.prompt_tokens === usage.completion_tokens
        if (isRight) read.reason = `${String(read.reason)}, ${usage.prompt_tokens} and as many tokens as there are`
      }
      return read
    },
  },
  {
    library: 'openai: chat, by its stream helper',
    reason: 'length',
    async read(url) {
      const completion = await openai(url).chat.completions.stream({ model: 'gpt-4o', messages }).finalChatCompletion()
      const { choices } = completion
      return { text: choices[0]!.message.content!, reason: choices[0]!.finish_reason }
    },
  },
  {
    library: 'openai: responses',
    reason: 'incomplete, max_output_tokens',
    async read(url) {
      const read = { text: '', reason: undefined as unknown }
      for await (const event of await openai(url).responses.create({
        model: 'gpt-4o',
        input: 'Hello!',
        stream: true,
      })) {
        if (event.type === 'response.output_text.delta') read.text += event.delta
        if (event.type !== 'response.incomplete') continue
        read.reason = `${event.response.status}, ${event.response.incomplete_details?.reason}`
      }
      return read
    },
  },
  {
    library: '@anthropic-ai/sdk: messages, by its stream helper',
    model: 'claude',
    reason: 'max_tokens',
    async read(url) {
      const { content, stop_reason: reason, usage } = await anthropic(url).messages.stream(MESSAGE).finalMessage()
      expect(usage.output_tokens).to.be.above(QUOTA / 2)
      return { text: content.map((block) => (block.type === 'text' ? block.text : '')).join(''), reason }
    },
  },
  {
    library: '@google/genai: generateContentStream',
    model: 'gemini',
    reason: 'MAX_TOKENS',
    async read(url) {
      const read = { text: '', reason: undefined as unknown }
      const asked = { model: 'gemini-2.5-flash', contents: 'Tell me of rivers.' }
      for await (const { text, candidates } of await gemini(url).models.generateContentStream(asked)) {
        read.text += text ?? ''
        read.reason = candidates?.[0]?.finishReason ?? read.reason
      }
      return read
    },
  },
  {
    library: 'ai with @ai-sdk/openai, chat',
    reason: 'length',
    read: (url) => readByAi(createOpenAI({ apiKey: KEY, baseURL: `${url}/v1` }).chat('gpt-4o')),
  },
  {
    library: 'ai with @ai-sdk/openai, responses',
    reason: 'length',
    read: (url) => readByAi(createOpenAI({ apiKey: KEY, baseURL: `${url}/v1` })('gpt-4o')),
  },
  {
    library: 'ai with @ai-sdk/anthropic',
    model: 'claude',
    reason: 'length',
    read: (url) => readByAi(createAnthropic({ apiKey: KEY, baseURL: `${url}/v1` })('claude-sonnet-4-5')),
  },
  {
    library: 'ai with @ai-sdk/google',
    model: 'gemini',
    reason: 'length',
    read: (url) => readByAi(createGoogleGenerativeAI({ apiKey: KEY, baseURL: `${url}/v1beta` })('gemini-2.5-flash')),
  },
]

describe('a stream that is cut at its quota', () => {
  afterEach(closeTestBeds)

  for (const { library, read, reason, model } of LIBRARIES) {
    it(`${library}: ends as one that was too long, its provider is stopped, and the ledger holds what was sent`, async () => {
      const bed = await openTestBed(under())
      const got = await read(await streaming(bed))
      const endedAtMs = Date.now()
      expect(got.reason).to.equal(reason)
      const [entry, ...others] = await bed.entries()
      expect(others).to.deep.equal([])
      expect(entry).to.deep.include({ outcome: 'complete', status: 200, streamed: true })
      expect(entry!.usage!.flags).to.include('cut-at-quota')
      expect(entry!.usage!.basis).to.be.oneOf(['estimated', 'reported-partial', 'reported'])
      const { totalTokens = 0, outputTokens = 0 } = entry!.usage!
      expect(totalTokens).to.be.within(QUOTA - 10, QUOTA + AHEAD)
      if (model === undefined) expect(outputTokens).to.equal(tokensOf(got.text))
      const [received] = bed.provider.requests
      await until(() => received!.brokenOffAtMs !== undefined)
      expect(received!.brokenOffAtMs! - endedAtMs).to.be.below(500)
      expect(received!.sent).to.be.below(2_000)
      expect(await bed.used('t')).to.equal(entry!.usage!.totalTokens)
    })
  }
})
