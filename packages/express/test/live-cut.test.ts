import Anthropic from '@anthropic-ai/sdk'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { GoogleGenAI } from '@google/genai'
import { monotonicClock, type Limit, type UsageEntry } from '@tallygate/core'
import { fixedWindow, identifyKey, llmProxy, meterUsage, quotaMiddleware, settleUsage } from '@tallygate/express'
import type { QuotaOptions } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import { startRedis } from '@tallygate/testkit'
import { streamText } from 'ai'
import { expect } from 'chai'
import express, { type Express } from 'express'
import OpenAI from 'openai'
import { get_encoding } from 'tiktoken'
import { ask, closeTestBeds, openTestBed, type TestBed } from './test-bed.ts'

const KEY = 'sk-a-key'
const messages = [{ role: 'user' as const, content: 'Tell me of rivers.' }]
const QUOTA = 400
/** Bytes that may pass while it is counted what is left are tokens at most; see docs/overshoot.md. */
const AHEAD = 128
const TOKENS: Limit = { name: 't', unit: 'tokens', quota: QUOTA, window: { kind: 'lifetime' }, onStream: 'cut' }
/** Longer than any quota here, at a thousand events a second at most. */
const ENDLESS = {
  text: Array.from({ length: 30_000 }, (_, word) => `river${word % 10}`).join(' '),
  paceMs: 1,
}

const under = (limit: Partial<Limit> = {}): Partial<QuotaOptions> => ({
  plans: [{ name: 'p', limits: [{ ...TOKENS, ...limit }] }],
  defaultPlans: ['p'],
})

async function proxied(bed: TestBed, app: Express = express()): Promise<string> {
  bed.provider.script = ENDLESS
  return bed.serve(app.use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url })))
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const encoding = get_encoding('o200k_base')

function tokensOf(text: string): number {
  return encoding.encode_ordinary(text).length
}

interface Read {
  readonly text: string
  /** What the library says why the answer has ended. */
  readonly reason: unknown
}

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
      const got = await read(await proxied(bed))
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
      while (received!.brokenOffAtMs === undefined && Date.now() < endedAtMs + 2_000) await pause(5)
      expect(received!.brokenOffAtMs! - endedAtMs).to.be.below(500)
      expect(received!.sent).to.be.below(2_000)
      expect(await bed.used('t')).to.equal(entry!.usage!.totalTokens)
    })
  }
})

const CHAT = { model: 'gpt-4o', messages, stream: true }

/** Texts of a chat stream, and whether it came to a proper end. */
function readChat(body: string): Read {
  const events = body.split('\n\n').filter((event) => event !== '')
  const isEnded = events.at(-1) === 'data: [DONE]'
  const chunks = events.slice(0, isEnded ? -1 : undefined).map((event) => JSON.parse(event.slice(6)) as Chunk)
  const choices = chunks.flatMap((chunk) => chunk.choices)
  const text = choices.map(({ delta }) => delta.content ?? '').join('')
  return { text, reason: isEnded ? choices.at(-1)!.finish_reason : 'no end' }
}

interface Chunk {
  readonly choices: readonly { delta: { content?: string }; finish_reason: string | null }[]
}

describe('quotas that streams use up', () => {
  afterEach(closeTestBeds)

  it('are passed by no more than the bound, however many streams are under way, and nothing stays held', async () => {
    const quota = 6_000
    const streams = 20
    const bed = await openTestBed(under({ quota, per: [] }))
    const url = await proxied(bed)
    const answers = await Promise.all(
      Array.from({ length: streams }, (_, n) => ask(url, { key: `sk-key-${n}`, body: CHAT })),
    )
    const admitted = answers.filter(({ status }) => status === 200).map(({ text }) => readChat(text))
    expect(admitted.length).to.be.above(1)
    for (const { reason } of admitted) expect(reason).to.equal('length')
    const entries = await bed.entries()
    const written = admitted.reduce((sum, { text }) => sum + tokensOf(text), 0)
    const input = entries.reduce((sum, { usage }) => sum + usage!.inputTokens!, 0)
    expect(written + input).to.be.within(quota - 100, quota + admitted.length * AHEAD)
    expect(await bed.used('t', entries[0]!.subject)).to.equal(written + input)
    for (const { brokenOffAtMs } of bed.provider.requests) expect(brokenOffAtMs).to.be.a('number')
    expect(await openHolds(bed, entries)).to.equal(0)
  }).timeout(60_000)

  it('are shared by nodes through Redis, with what each node buys for its streams', async () => {
    const redis = await startRedis()
    const stores = await Promise.all([0, 1].map(() => RedisCounterStore.connect({ url: redis.url })))
    try {
      const quota = 3_000
      const nodes = await Promise.all(
        stores.map((store) => openTestBed({ ...under({ quota, per: [] }), store, clock: monotonicClock })),
      )
      const answers = await Promise.all(
        nodes.map(async (bed, node) => {
          const url = await proxied(bed)
          return Promise.all([0, 1, 2].map((n) => ask(url, { key: `sk-key-${node}-${n}`, body: CHAT })))
        }),
      )
      const read = answers.flat().map(({ text }) => readChat(text))
      for (const { reason } of read) expect(reason).to.equal('length')
      const entries = (await Promise.all(nodes.map((bed) => bed.entries()))).flat()
      const used = entries.reduce((sum, { usage }) => sum + usage!.totalTokens!, 0)
      expect(used).to.be.within(quota - 100, quota + read.length * AHEAD)
      expect(await nodes[0]!.used('t', entries[0]!.subject)).to.equal(used)
    } finally {
      await Promise.all(stores.map((store) => store.close()))
      await redis.stop()
    }
  }).timeout(60_000)

  it('let a stream go on that is topped up', async () => {
    const bed = await openTestBed(under())
    bed.provider.script = { ...ENDLESS, text: ENDLESS.text.slice(0, 6_000) }
    const url = await bed.serve(
      express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url })),
    )
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}` },
      body: JSON.stringify(CHAT),
    })
    const found = await bed.quota.identify({ headers: { authorization: `Bearer ${KEY}` }, url: '/v1/chat/completions' })
    if (found.outcome === 'refused') throw new Error(found.reason)
    await bed.quota.topUp(found.subject, 'p/t', 5_000)
    expect(readChat(await response.text())).to.deep.equal({
      text: ENDLESS.text.slice(0, 6_000).trimEnd(),
      reason: 'stop',
    })
    const [entry] = await bed.entries()
    expect(entry!.usage!.flags ?? []).to.not.include('cut-at-quota')
    expect(await bed.used('t')).to.equal(entry!.usage!.totalTokens)
  })

  for (const limit of [{ onStream: 'finish' }, { mode: 'shadow' }, { onTrip: 'flag' }] as const) {
    it(`cut nothing with ${JSON.stringify(limit)}`, async () => {
      const bed = await openTestBed(under({ ...limit, quota: 300 }))
      bed.provider.script = { ...ENDLESS, text: ENDLESS.text.slice(0, 4_000) }
      const url = await bed.serve(
        express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url })),
      )
      const { text } = await ask(url, { body: CHAT })
      expect(readChat(text)).to.deep.equal({ text: ENDLESS.text.slice(0, 4_000).trimEnd(), reason: 'stop' })
      const [entry] = await bed.entries()
      expect(entry!.usage!.flags ?? []).to.not.include('cut-at-quota')
      expect(entry!.overage).to.equal('onTrip' in limit)
      expect(await bed.used('t')).to.equal(entry!.usage!.totalTokens)
      expect(await openHolds(bed, [entry!])).to.equal(0)
    })
  }

  it('cut what a handler writes by itself: its writes go nowhere, and it hears that the response is closed', async () => {
    const bed = await openTestBed(under())
    let wrote = 0
    let isClosed = false
    const app = express().post('/v1/chat/completions', quotaMiddleware({ quota: bed.quota }), (_req, res) => {
      res.once('close', () => {
        isClosed = true
      })
      res.setHeader('content-type', 'text/event-stream')
      const write = (): void => {
        if (isClosed) return
        for (let event = 0; event < 20; event += 1) {
          const chunk = {
            id: 'own',
            object: 'chat.completion.chunk',
            created: 1,
            model: 'own',
            choices: [] as unknown[],
          }
          chunk.choices = [{ index: 0, delta: { content: ' word' }, finish_reason: null }]
          res.write(`data: ${JSON.stringify(chunk)}\n\n`)
          wrote += 1
        }
        setTimeout(write, 5)
      }
      write()
    })
    const { text } = await ask(await bed.serve(app), { body: CHAT })
    const read = readChat(text)
    expect(read.reason).to.equal('length')
    expect(isClosed).to.equal(true)
    expect(wrote).to.be.above(QUOTA / 2)
    const [entry] = await bed.entries()
    expect(entry!.usage).to.deep.include({ outputTokens: tokensOf(read.text) })
    expect(entry!.usage!.totalTokens).to.be.within(QUOTA - 10, QUOTA + AHEAD)
  })

  it('are counted once where the caller hangs up just when it is cut', async () => {
    const bed = await openTestBed(under())
    const url = await proxied(bed)
    await Promise.all(
      [0, 40, 80, 90, 95, 100].map(async (share, n) => {
        const abort = new AbortController()
        const response = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${KEY}-${n}` },
          body: JSON.stringify(CHAT),
          signal: abort.signal,
        })
        let text = ''
        try {
          for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
            text += bytes
            if (tokensOf(readChatSoFar(text)) >= (QUOTA * share) / 100) abort.abort()
          }
        } catch {
          // It was hung up.
        }
      }),
    )
    await until(() => bed.provider.requests.every(({ brokenOffAtMs }) => brokenOffAtMs !== undefined))
    const entries = await bed.entries()
    expect(entries).to.have.length(6)
    for (const entry of entries) {
      expect(entry.outcome).to.be.oneOf(['complete', 'aborted'])
      expect(entry.usage!.totalTokens).to.be.at.most(QUOTA + AHEAD)
      expect(await bed.used('t', entry.subject)).to.equal(entry.usage!.totalTokens)
    }
    expect(await openHolds(bed, entries)).to.equal(0)
  })

  it('cut an array of JSON behind a whole document, and a compressed stream in plain bytes', async () => {
    const bed = await openTestBed(under())
    const url = await proxied(bed)
    const body = {
      contents: [{ role: 'user', parts: [{ text: 'Hello!' }] }],
      generationConfig: { maxOutputTokens: 50 },
    }
    const path = '/v1beta/models/gemini-2.5-flash:streamGenerateContent'
    const { json } = await ask(`${url}${path}`, { headers: { 'x-goog-api-key': KEY }, key: '', body })
    expect(json.at(-1).candidates[0].finishReason).to.equal('MAX_TOKENS')
    expect(json.length).to.be.above(20)

    bed.provider.script = { text: ENDLESS.text, encoding: 'gzip' }
    const packed = await ask(url, { key: 'sk-another', body: CHAT })
    const { text, reason } = readChat(packed.text)
    expect(reason).to.equal('length')
    expect(tokensOf(text)).to.be.within(QUOTA - 20, QUOTA + AHEAD)
  })

  it('cut at the quota what may reserve more than that', async () => {
    const bed = await openTestBed(under({ trip: 'reached' }))
    const url = await proxied(bed)
    const { text } = await ask(url, { body: { ...CHAT, max_tokens: 50_000 } })
    expect(readChat(text).reason).to.equal('length')
    expect(await bed.used('t')).to.be.within(QUOTA - 10, QUOTA + AHEAD)
    expect((await ask(url, { body: CHAT })).status).to.equal(429)
  })

  it('cut for a limiter of its own as well', async () => {
    const bed = await openTestBed()
    bed.provider.script = ENDLESS
    const limiter = fixedWindow({ quota: bed.quota, unit: 'tokens', limit: QUOTA, onStream: 'cut' })
    const url = await bed.serve(
      express().use(
        identifyKey({ quota: bed.quota }),
        limiter,
        meterUsage(),
        settleUsage(),
        llmProxy({ target: bed.provider.url }),
      ),
    )
    const { text } = await ask(url, { body: CHAT })
    expect(readChat(text).reason).to.equal('length')
    expect((await bed.entries())[0]!.usage!.totalTokens).to.be.within(QUOTA - 10, QUOTA + AHEAD)
  })

  it('leave answers alone that are no streams', async () => {
    const bed = await openTestBed(under({ quota: 300 }))
    bed.provider.script = { text: ENDLESS.text.slice(0, 4_000) }
    const url = await bed.serve(
      express().use(quotaMiddleware({ quota: bed.quota }), llmProxy({ target: bed.provider.url })),
    )
    const { status, json } = await ask(url, { body: { ...CHAT, stream: false } })
    expect([status, json.choices[0].finish_reason]).to.deep.equal([200, 'stop'])
    expect((await bed.entries())[0]!.usage!.flags ?? []).to.not.include('cut-at-quota')
  })
})

function readChatSoFar(body: string): string {
  return readChat(body.slice(0, body.lastIndexOf('\n\n') + 2)).text
}

async function until(isSo: () => boolean): Promise<void> {
  for (const stopAtMs = Date.now() + 5_000; !isSo() && Date.now() < stopAtMs;) await pause(5)
}

/** Reservations that nobody has settled or given back, of what these calls held and of what they bought. */
async function openHolds(bed: TestBed, entries: readonly UsageEntry[]): Promise<number> {
  let open = 0
  for (const { id, charges } of entries) {
    const { owner } = charges[0]!
    for (const suffix of ['', ...Array.from({ length: 60 }, (_, number) => `+${number}`)]) {
      const state = await bed.store.holdState({ id: `${id}${suffix}`, owner })
      if (state?.state === 'reserved') open += 1
    }
  }
  return open
}
