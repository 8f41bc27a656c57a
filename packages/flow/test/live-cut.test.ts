import type { Limit, Plan, Subject } from '@tallygate/core'
import type { Call } from '@tallygate/flow'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { get_encoding } from 'tiktoken'
import { QuotaBed, subject } from './quota-bed.ts'

const encoding = get_encoding('o200k_base')
const tokensOf = (text: string): number => encoding.encode_ordinary(text).length
/** What may pass, at one token a byte, while it is counted what is left; these texts can be as dense as that. */
const MOST_AHEAD = 1_024 + 2_048

const QUOTA = 400

const plan = (limit: Partial<Limit> = {}): Plan => ({
  name: 'p',
  limits: [
    { name: 'tokens', unit: 'output-tokens', quota: 200, window: { kind: 'lifetime' }, onStream: 'cut', ...limit },
  ],
})

type Framing = 'sse' | 'ndjson' | 'array'
const ROUTES = {
  sse: { url: '/v1/chat/completions', type: 'text/event-stream' },
  ndjson: { url: '/api/chat', type: 'application/x-ndjson' },
  array: { url: '/v1beta/models/gemini-2.5-flash:streamGenerateContent', type: 'application/json' },
} as const

function documentOf(framing: Framing, text: string): unknown {
  if (framing === 'ndjson') return { model: 'llama3', message: { role: 'assistant', content: text }, done: false }
  if (framing === 'array') return { candidates: [{ content: { parts: [{ text }], role: 'model' }, index: 0 }] }
  const choices = [{ index: 0, delta: { content: text }, finish_reason: null }]
  return { id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o', choices }
}

function eventsOf(framing: Framing, texts: readonly string[]): string[] {
  return texts.map((text, index) => {
    const json = JSON.stringify(documentOf(framing, text))
    if (framing === 'ndjson') return `${json}\n`
    return framing === 'array' ? `${index === 0 ? '[' : ',\n'}${json}` : `data: ${json}\n\n`
  })
}

interface Stream {
  readonly texts: readonly string[]
  readonly reasons: readonly unknown[]
  readonly bytes: string
  readonly isCut: boolean
}

/** An event of a chat completion, of Ollama, or of Gemini. */
interface StreamedDocument {
  readonly choices?: readonly [{ readonly delta: { readonly content?: string }; readonly finish_reason?: unknown }]
  readonly message?: { readonly content?: string }
  readonly done_reason?: unknown
  readonly candidates?: readonly [
    { readonly content: { readonly parts: readonly [Text] }; readonly finishReason?: unknown },
  ]
}
interface Text {
  readonly text?: string
}

/** What a reader makes of all bytes that left; throws where they can't be parsed. */
function readStream(framing: Framing, bytes: string, isCut: boolean): Stream {
  const documents =
    framing === 'array'
      ? (JSON.parse(bytes) as StreamedDocument[])
      : bytes
          .split(framing === 'sse' ? '\n\n' : '\n')
          .filter((event) => event !== '' && event !== 'data: [DONE]')
          .map((event) => JSON.parse(framing === 'sse' ? event.slice(6) : event) as StreamedDocument)
  const texts: string[] = []
  const reasons: unknown[] = []
  for (const { choices: [choice] = [], candidates: [candidate] = [], message, done_reason: reason } of documents) {
    texts.push(choice?.delta.content ?? message?.content ?? candidate?.content.parts[0].text ?? '')
    reasons.push(choice?.finish_reason ?? reason ?? candidate?.finishReason)
  }
  return { texts, reasons: reasons.filter((reason) => reason != null), bytes, isCut }
}

/** An answer in these pieces, with a turn of the event loop between them, as it leaves. */
async function answerOf(call: Call, framing: Framing, pieces: readonly Buffer[]): Promise<Stream> {
  const left: Buffer[] = []
  let ending: Promise<Buffer | undefined> | undefined
  const answer = call.answer({
    push: (bytes) => void left.push(bytes),
    cut(last) {
      ending = last
    },
  })
  answer.head(200, { getHeader: (name) => (name === 'content-type' ? ROUTES[framing].type : undefined) })
  for (const piece of pieces) {
    if (ending !== undefined) break
    answer.write(piece)
    await new Promise((resolve) => setImmediate(resolve))
    if (answer.isBusy) await answer.settled()
  }
  const last = ending === undefined ? await answer.end() : undefined
  const closing = ending === undefined ? last : await (ending as Promise<Buffer | undefined>)
  if (closing !== undefined) left.push(closing)
  const bytes = Buffer.concat(left).toString('utf8')
  return readStream(framing, bytes, ending !== undefined)
}

async function begin(bed: QuotaBed, framing: Framing, key = 'alice', ceiling = 1): Promise<Call> {
  const call = bed.quota.begin({ method: 'POST', url: ROUTES[framing].url, headers: {} })
  call.identifyAs(subject(key))
  await call.resolvePlans()
  const body = {
    model: 'gpt-4o',
    stream: true,
    messages: [{ role: 'user', content: 'Hello!' }],
    contents: [],
    max_tokens: ceiling,
    generationConfig: { maxOutputTokens: ceiling },
    options: { num_predict: ceiling },
  }
  const denial = call.read(Buffer.from(JSON.stringify(body))) ?? (await call.admit())
  expect(denial).to.equal(undefined)
  call.meter()
  call.recordAtEnd()
  return call
}

/** Uses up so many output tokens of a caller's quota. */
async function spend(bed: QuotaBed, outputTokens: number, who: Subject): Promise<void> {
  const call = await bed.begin(who, { maxTokens: outputTokens })
  if (typeof call === 'number') throw new Error(`refused with ${call}`)
  call.record({ outputTokens })
  await call.finishUnmetered('complete', 200)
  await bed.quota.drain()
}

function cutAt(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0, n = 0; at < bytes.length; n += 1) {
    const size = sizes[n % sizes.length]!
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

const text = fc.oneof(
  fc.constantFrom(' river', ' and', '\n', ' "usage":{"total_tokens":9}', '海', ' \\"', '{', '🌊', ' data: [DONE]\n\n'),
  fc.string({ maxLength: 12 }),
)

describe('LiveCut', () => {
  let bed: QuotaBed
  afterEach(() => bed.quota.close(1_000))

  it('whatever the stream, its pieces and the quota: whole events leave, then an end that can be read', async () => {
    const framing = fc.constantFrom<Framing>('sse', 'ndjson', 'array')
    const texts = fc.array(text, { minLength: 1, maxLength: 150 })
    const size = fc.oneof(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 1, max: 90 }))
    const sizes = fc.array(size, { minLength: 1, maxLength: 5 })
    const quota = fc.oneof(fc.integer({ min: 1, max: QUOTA }), fc.constant(QUOTA))
    const held = fc.oneof(fc.integer({ min: 1, max: QUOTA }), fc.constant(QUOTA))
    // One for all: each would start a tokenizer of its own.
    bed = new QuotaBed({ plans: [plan({ quota: QUOTA })], defaultPlans: ['p'], injectUsage: 'never' })
    let key = 0
    await fc.assert(
      fc.asyncProperty(framing, texts, sizes, quota, held, async (framing, texts, sizes, quota, held) => {
        key += 1
        const who = subject(`key-${key}`)
        await spend(bed, QUOTA - quota, who)
        const events = eventsOf(framing, texts)
        const whole = Buffer.from(events.join('') + (framing === 'array' ? ']' : ''))
        const call = await begin(bed, framing, who.id, Math.min(quota, held))
        const stream = await answerOf(call, framing, cutAt(whole, sizes))
        await bed.quota.drain()
        const entry = (await bed.entries()).find(({ id }) => id === call.attemptId)
        if (!stream.isCut) {
          expect(stream.bytes).to.equal(whole.toString('utf8'))
          expect(entry!.usage!.flags ?? []).to.not.include('cut-at-quota')
          return
        }
        const sent = stream.texts.slice(0, -1)
        expect(sent).to.deep.equal(texts.slice(0, sent.length))
        expect(stream.bytes.startsWith(events.slice(0, sent.length).join(''))).to.equal(true)
        // Before anything has left there is nothing to end: then it is an error.
        if (sent.length === 0) expect(stream.bytes).to.include('"error":')
        else expect(stream.reasons).to.deep.equal([framing === 'array' ? 'MAX_TOKENS' : 'length'])
        expect(entry!.usage!.flags).to.include('cut-at-quota')
        expect(entry!.outcome).to.equal('complete')
        expect(tokensOf(sent.join(''))).to.be.at.most(quota + MOST_AHEAD)
        expect(await bed.used(who)).to.deep.equal({ 'p/tokens': QUOTA - quota + entry!.usage!.outputTokens! })
      }),
      { numRuns: runs(60) },
    )
  }).timeout(120_000)

  it('counts all of an event that is too long to be held, wherever it ends', async () => {
    const quota = 600_000
    bed = new QuotaBed({ plans: [plan({ quota })], defaultPlans: ['p'], injectUsage: 'never' })
    const texts = [' a'.repeat(250_000), ...Array.from({ length: 1_000 }, () => ' a'.repeat(500))]
    const whole = Buffer.from(eventsOf('sse', texts).join(''))
    const stream = await answerOf(await begin(bed, 'sse', 'alice', quota), 'sse', cutAt(whole, [16_384]))
    expect(stream.isCut).to.equal(true)
    expect(stream.texts.join('').length / 2).to.be.within(quota - 5_000, quota + MOST_AHEAD)
  }).timeout(60_000)

  it('lets a provider that writes faster than anybody counts pass no further than the bound', async () => {
    bed = new QuotaBed({ plans: [plan({ quota: 200 })], defaultPlans: ['p'], injectUsage: 'never' })
    const words = Array.from({ length: 5_000 }, (_, n) => ` river ${n % 10}`)
    const left: Buffer[] = []
    const ended = Promise.withResolvers<Buffer | undefined>()
    const answer = (await begin(bed, 'sse')).answer({
      push: (bytes) => void left.push(bytes),
      cut: (ending) => void ending.then(ended.resolve, ended.reject),
    })
    answer.head(200, { getHeader: (name) => (name === 'content-type' ? ROUTES.sse.type : undefined) })
    // All in one turn of the event loop: no count can come in between.
    for (const event of eventsOf('sse', words)) answer.write(Buffer.from(event))
    expect(answer.isBusy).to.equal(true)
    left.push((await ended.promise)!)
    const { texts, reasons } = readStream('sse', Buffer.concat(left).toString('utf8'), true)
    expect(reasons).to.deep.equal(['length'])
    expect(tokensOf(texts.join(''))).to.be.within(100, 200 + 48 + 4)
  })

  it('waits for the end of an event that has begun to leave, and not longer than a moment', async () => {
    for (const isFinished of [true, false]) {
      bed = new QuotaBed({ plans: [plan({ quota: 300 })], defaultPlans: ['p'], injectUsage: 'never' })
      const call = await begin(bed, 'sse', 'alice', 300)
      const left: Buffer[] = []
      const ended = Promise.withResolvers<Buffer | undefined>()
      const answer = call.answer({
        push: (bytes) => void left.push(bytes),
        cut: (ending) => void ending.then(ended.resolve, ended.reject),
      })
      answer.head(200, { getHeader: (name) => (name === 'content-type' ? ROUTES.sse.type : undefined) })
      const [first, long, last] = eventsOf('sse', [' a', ' river'.repeat(20_000), ' never']).map((event) =>
        Buffer.from(event),
      )
      answer.write(first!)
      // Too long to be held back: its beginning leaves before anybody knows how much it is.
      answer.write(long!.subarray(0, 80_000))
      await answer.settled()
      if (isFinished) for (const rest of [long!.subarray(80_000), last!]) answer.write(rest)
      const ending = (await ended.promise)!.toString('utf8')
      const bytes = Buffer.concat(left).toString('utf8')
      expect(bytes).to.equal(
        Buffer.concat(isFinished ? [first!, long!] : [first!, long!.subarray(0, 80_000)]).toString(),
      )
      expect(ending.endsWith('data: [DONE]\n\n')).to.equal(true)
      expect(ending.startsWith('\n\n')).to.equal(!isFinished)
      await bed.quota.close(1_000)
    }
  })

  for (const { quota, purchases, what } of [
    { quota: 215, purchases: [214], what: 'all that is left' },
    { quota: 100_000, purchases: [3_124], what: 'a share of what is left' },
  ]) {
    it(`buys ${what} before its first event, and asks for no more as long as that does`, async () => {
      bed = new QuotaBed({ plans: [plan({ quota })], defaultPlans: ['p'], injectUsage: 'never' })
      const asked: number[] = []
      const reserve = bed.store.reserve.bind(bed.store)
      bed.store.reserve = (request) => {
        asked.push(request.charges[0]!.amount)
        return reserve(request)
      }
      const call = await begin(bed, 'sse')
      asked.length = 0
      const answer = call.answer({ push: () => {}, cut: () => {} })
      answer.head(200, { getHeader: (name) => (name === 'content-type' ? ROUTES.sse.type : undefined) })
      await answer.settled()
      expect(asked).to.deep.equal(purchases)
      for (const event of eventsOf(
        'sse',
        Array.from({ length: 150 }, () => ' river'),
      )) {
        answer.write(Buffer.from(event))
        await answer.settled()
      }
      await answer.end()
      expect(asked).to.deep.equal(purchases)
    })
  }

  it('takes back what it has bought beyond what was used', async () => {
    bed = new QuotaBed({ plans: [plan({ quota: 100_000_000 })], defaultPlans: ['p'] })
    const call = await begin(bed, 'sse')
    const events = eventsOf(
      'sse',
      Array.from({ length: 500 }, () => ' river'),
    )
    const usage = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 8, completion_tokens: 500, total_tokens: 508 } })}\n\n`
    const stream = await answerOf(
      call,
      'sse',
      [...events, usage, 'data: [DONE]\n\n'].map((event) => Buffer.from(event)),
    )
    expect(stream.isCut).to.equal(false)
    await bed.quota.drain()
    expect((await bed.entries())[0]!.usage).to.include({ basis: 'reported', outputTokens: 500 })
    expect(await bed.used()).to.deep.equal({ 'p/tokens': 500 })
  })
})
