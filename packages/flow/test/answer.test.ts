import { gzipSync } from 'node:zlib'
import { MemoryLedger, type UsageEntry } from '@tallygate/core'
import { createQuota, type Call, type Quota } from '@tallygate/flow'
import { startScriptedProvider, type ScriptedProvider, runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const TEXT = 'Rivers — 河 — carry stones; "usage":{"prompt_tokens":9} is only text. 🙂 '.repeat(3)
const messages = [{ role: 'user', content: 'Hello!' }]
const GEMINI = '/v1beta/models/gemini-2.5-flash'
const CALLS = [
  { api: 'chat, JSON', url: '/v1/chat/completions', body: { model: 'gpt-4o', messages } },
  { api: 'chat, streamed', url: '/v1/chat/completions', body: { model: 'gpt-4o', messages, stream: true } },
  { api: 'responses, JSON', url: '/v1/responses', body: { model: 'gpt-4.1', input: 'Hello!' } },
  { api: 'responses, streamed', url: '/v1/responses', body: { model: 'gpt-4.1', input: 'Hello!', stream: true } },
  { api: 'messages, JSON', url: '/v1/messages', body: { model: 'claude-opus-4-8', max_tokens: 99, messages } },
  {
    api: 'messages, streamed',
    url: '/v1/messages',
    body: { model: 'claude-opus-4-8', max_tokens: 99, messages, stream: true },
  },
  { api: 'generateContent', url: `${GEMINI}:generateContent`, body: { contents: [{ parts: [{ text: 'Hello!' }] }] } },
  {
    api: 'streamGenerateContent, SSE',
    url: `${GEMINI}:streamGenerateContent?alt=sse`,
    body: { contents: [{ parts: [{ text: 'Hello!' }] }] },
  },
  {
    api: 'streamGenerateContent, JSON',
    url: `${GEMINI}:streamGenerateContent`,
    body: { contents: [{ parts: [{ text: 'Hello!' }] }] },
  },
] as const

interface Recorded {
  readonly type: string
  readonly bytes: Buffer
}

let provider: ScriptedProvider
let ledger: MemoryLedger
let quota: Quota

/** What the provider answers to a body. */
async function answerTo(url: string, body: string): Promise<Recorded> {
  const response = await fetch(provider.url + url, { method: 'POST', body })
  return { type: response.headers.get('content-type')!, bytes: Buffer.from(await response.arrayBuffer()) }
}

/** Leads an answer, in these pieces, through a call. Returns what came out. */
async function through(
  call: Call,
  type: string,
  pieces: readonly Buffer[],
  headers: Record<string, string> = {},
): Promise<{ text: string; beforeTheEnd: string }> {
  const out: Buffer[] = []
  const answer = call.answer({ push: (bytes) => void out.push(bytes) })
  answer.head(200, { getHeader: (name) => ({ 'content-type': type, ...headers })[name] })
  for (const piece of pieces) answer.write(piece)
  await answer.settled()
  const beforeTheEnd = Buffer.concat(out).toString()
  const last = await answer.end()
  return { text: Buffer.concat([...out, ...(last === undefined ? [] : [last])]).toString(), beforeTheEnd }
}

function begun(url: string, body: unknown): { call: Call; forwarded: string } {
  const call = quota.begin({ method: 'POST', url, headers: {} })
  const text = JSON.stringify(body)
  expect(call.read(Buffer.from(text))).to.equal(undefined)
  call.meter()
  call.recordAtEnd()
  return { call, forwarded: call.bodyToForward()?.toString() ?? text }
}

/** The body that the provider gets. */
function forwardedBody(url: string, body: unknown): string {
  const { call, forwarded } = begun(url, body)
  call.release()
  return forwarded
}

async function entryOf(call: Call): Promise<UsageEntry> {
  await quota.drain()
  const entries = await ledger.entries(
    { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER },
    { limit: 1_000 },
  )
  return entries.find(({ id }) => id === call.attemptId)!
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const edges = [0, ...at.map((place) => place % bytes.length).toSorted((a, b) => a - b), bytes.length]
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge))
}

describe('Answer', () => {
  before(async () => {
    provider = await startScriptedProvider({ script: { text: TEXT, usage: { input: 321, output: 123, cached: 64 } } })
  })
  after(() => provider.close())
  beforeEach(() => {
    ledger = new MemoryLedger()
    quota = createQuota({ pepper: 'a pepper for tests, long enough to be one', ledger, durableWithinMs: 10_000 })
  })
  afterEach(() => quota.close())

  for (const { api, url, body } of CALLS) {
    it(`of ${api}: is what the caller would have got without us, and tells the same usage, cut anywhere`, async () => {
      const { bytes: plain, type } = await answerTo(url, JSON.stringify(body))
      const { bytes } = await answerTo(url, forwardedBody(url, body))
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(bytes.length - 1), { maxLength: 8 }), async (at) => {
          const { call } = begun(url, body)
          expect((await through(call, type, cut(bytes, at))).text).to.equal(plain.toString())
          const { usage, outcome } = await entryOf(call)
          expect(outcome).to.equal('complete')
          expect(usage).to.deep.include({ basis: 'reported', inputTokens: 321, outputTokens: 123, cacheReadTokens: 64 })
        }),
        { numRuns: runs(60) },
      )
    })
  }

  it('of a stream, cut at each single byte, tells the same usage', async () => {
    const { url, body } = CALLS[1]
    const { bytes, type } = await answerTo(url, forwardedBody(url, body))
    const cuts = Array.from({ length: bytes.length - 1 }, (_, index) => index + 1)
    await Promise.all(
      cuts.map((at) => through(begun(url, body).call, type, [bytes.subarray(0, at), bytes.subarray(at)])),
    )
    await quota.drain()
    const all = await ledger.sum({ filter: { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }, by: [] })
    expect(all.total).to.include({
      calls: cuts.length,
      estimated: 0,
      inputTokens: 321 * cuts.length,
      outputTokens: 123 * cuts.length,
    })
  }).timeout(60_000)

  it('does not end before the call is in the ledger', async () => {
    const { url, body } = CALLS[1]
    const { bytes, type } = await answerTo(url, forwardedBody(url, body))
    const append = ledger.append.bind(ledger)
    const { promise: mayWrite, resolve: write } = Promise.withResolvers<void>()
    ledger.append = async (entries) => {
      await mayWrite
      return append(entries)
    }
    const { call } = begun(url, body)
    const whole = through(call, type, [bytes])
    let isOver = false
    void whole.then(() => (isOver = true))
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate)
    expect(isOver).to.equal(false)
    write()
    const { text, beforeTheEnd } = await whole
    expect(beforeTheEnd).to.include('stones').and.not.include('[DONE]')
    expect(text).to.match(/data: \[DONE\]\n\n$/)
  })

  it('that was compressed although we asked for none is decoded where it must be changed', async () => {
    const { url, body } = CALLS[1]
    const { bytes: plain, type } = await answerTo(url, JSON.stringify(body))
    const { call, forwarded } = begun(url, body)
    const { bytes } = await answerTo(url, forwarded)
    const { text } = await through(call, type, cut(gzipSync(bytes), [7, 100]), { 'content-encoding': 'gzip' })
    expect(text).to.equal(plain.toString())
  })

  it('that can not be decoded to its end says so, and is no success', async () => {
    const { url, body } = CALLS[1]
    const { call, forwarded } = begun(url, body)
    const { bytes, type } = await answerTo(url, forwarded)
    const half = gzipSync(bytes).subarray(0, 200)
    const { text } = await through(call, type, [half], { 'content-encoding': 'gzip' })
    expect(text).to.match(/data: \{"error":\{"message":"The provider broke off/)
    expect(await entryOf(call)).to.include({ outcome: 'failed' })
  })

  it('in a coding that nobody knows goes on as it is, and its prompt is counted', async () => {
    const { url, body } = CALLS[0]
    const { call } = begun(url, body)
    const bytes = Buffer.from('whatever this is')
    const { text } = await through(call, 'application/json', [bytes], { 'content-encoding': 'aes128gcm' })
    expect(text).to.equal('whatever this is')
    expect((await entryOf(call)).usage).to.deep.include({ basis: 'estimated' })
  })

  it('without usage is counted, and says that it was estimated', async () => {
    const { url, body } = CALLS[1]
    const { call } = begun(url, body)
    const event = (content: string): string =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`
    const stream = `${event('Hello, ')}${event('world! <|endoftext|>')}data: [DONE]\n\n`
    await through(call, 'text/event-stream', [Buffer.from(stream)])
    const { usage } = await entryOf(call)
    expect(usage!.basis).to.equal('estimated')
    expect(usage!.outputTokens).to.be.within(8, 14)
    expect(usage!.inputTokens).to.be.within(7, 11)
  })

  it('of a response in the background leaves open what it will use', async () => {
    const call = quota.begin({ method: 'POST', url: '/v1/responses', headers: {} })
    call.read(Buffer.from('{"model":"gpt-4.1","input":"Hello!","background":true}'))
    call.meter()
    call.recordAtEnd()
    await through(call, 'application/json', [Buffer.from('{"id":"r","status":"queued","usage":null,"output":[]}')])
    expect((await entryOf(call)).usage).to.equal(undefined)
  })

  it('with an error counts no token', async () => {
    const { url, body } = CALLS[0]
    const { call } = begun(url, body)
    const out: Buffer[] = []
    const answer = call.answer({ push: (bytes) => void out.push(bytes) })
    answer.head(500, { getHeader: () => 'application/json' })
    await answer.end(Buffer.from('{"usage":{"prompt_tokens":5}}'))
    const entry = await entryOf(call)
    expect([entry.outcome, entry.usage]).to.deep.equal(['failed', undefined])
  })
})
