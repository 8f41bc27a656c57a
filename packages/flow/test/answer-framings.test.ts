import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { MemoryLedger, type UsageEntry } from '@tallygate/core'
import { createQuota, type Call, type Quota } from '@tallygate/flow'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { chunkFrame, converseFrame } from '../../metering/test/aws-frames.ts'

const TRAP = '"usage":{"inputTokens":9,"prompt_eval_count":9,"promptTokenCount":9} 🙂'
const line = (document: unknown): Buffer => Buffer.from(`${JSON.stringify(document)}\n`)
const messages = [{ role: 'user', content: 'Hello!' }]

interface Answered {
  readonly what: string
  readonly url: string
  readonly request: unknown
  readonly type: string
  /** All but what ends the stream. */
  readonly before: readonly Buffer[]
  readonly last: Buffer
  readonly isStream: boolean
}

/** All state 20 tokens of input and 5 of output. */
const ANSWERS: readonly Answered[] = [
  {
    what: 'lines of Ollama',
    url: '/api/chat',
    request: { model: 'llama3', messages },
    type: 'application/x-ndjson',
    before: [line({ message: { content: TRAP }, done: false })],
    last: line({ message: { content: '' }, done: true, prompt_eval_count: 20, eval_count: 5 }),
    isStream: true,
  },
  {
    what: 'frames of ConverseStream',
    url: '/model/amazon.nova-lite-v1%3A0/converse-stream',
    request: { messages: [{ role: 'user', content: [{ text: 'Hello!' }] }] },
    type: 'application/vnd.amazon.eventstream',
    before: [
      converseFrame('contentBlockDelta', { delta: { text: TRAP } }),
      converseFrame('messageStop', { stopReason: 'end_turn' }),
    ],
    last: converseFrame('metadata', { usage: { inputTokens: 20, outputTokens: 5, totalTokens: 25 } }),
    isStream: true,
  },
  {
    what: 'frames of InvokeModelWithResponseStream',
    url: '/model/anthropic.claude-3-haiku/invoke-with-response-stream',
    request: { messages, max_tokens: 9 },
    type: 'application/vnd.amazon.eventstream',
    before: [
      chunkFrame({ type: 'message_start', message: { usage: { input_tokens: 20, output_tokens: 1 } } }),
      chunkFrame({ type: 'content_block_delta', delta: { text: TRAP } }),
      chunkFrame({ type: 'message_delta', usage: { output_tokens: 5 } }),
    ],
    last: chunkFrame({ type: 'message_stop', 'amazon-bedrock-invocationMetrics': { inputTokenCount: 20 } }),
    isStream: true,
  },
  {
    what: 'an array of generated content',
    url: '/v1beta/models/gemini-2.5-flash:streamGenerateContent',
    request: { contents: [{ parts: [{ text: 'Hello!' }] }] },
    type: 'application/json; charset=UTF-8',
    before: [
      Buffer.from(`[${JSON.stringify({ candidates: [{ content: { parts: [{ text: TRAP }] } }] })},\r\n`),
      Buffer.from(JSON.stringify({ usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 5 } })),
    ],
    last: Buffer.from(']'),
    isStream: true,
  },
  {
    what: 'an event stream that was announced as JSON',
    url: '/v1/chat/completions',
    request: { model: 'gpt-4o', messages, stream: true, stream_options: { include_usage: true } },
    type: 'application/json',
    before: [Buffer.from('data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":5}}\n\n')],
    last: Buffer.from('data: [DONE]\n\n'),
    isStream: true,
  },
]

let ledger: MemoryLedger
let quota: Quota

function begun({ url, request }: Answered): Call {
  const call = quota.begin({ method: 'POST', url, headers: {} })
  expect(call.read(Buffer.from(JSON.stringify(request)))).to.equal(undefined)
  call.meter()
  call.recordAtEnd()
  return call
}

async function entryOf(call: Call): Promise<UsageEntry> {
  await quota.drain()
  const filter = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  return (await ledger.entries(filter, { limit: 1_000 })).find(({ id }) => id === call.attemptId)!
}

/** Leads pieces through an answer. Returns what came out before its end, and all. */
async function through(
  call: Call,
  type: string,
  pieces: readonly Buffer[],
  coding?: string,
): Promise<{ readonly before: Buffer; readonly all: Buffer }> {
  const out: Buffer[] = []
  const answer = call.answer({ push: (bytes) => void out.push(bytes) })
  answer.head(200, { getHeader: (name) => ({ 'content-type': type, 'content-encoding': coding })[name] })
  for (const piece of pieces) answer.write(piece)
  const before = Buffer.concat(out)
  await answer.settled()
  const last = await answer.end()
  return { before, all: Buffer.concat([...out, ...(last === undefined ? [] : [last])]) }
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const edges = [0, ...at.map((place) => place % bytes.length).toSorted((a, b) => a - b), bytes.length]
  return edges.slice(1).map((edge, index) => Buffer.from(bytes.subarray(edges[index], edge)))
}

describe('Answer of every framing', () => {
  beforeEach(() => {
    ledger = new MemoryLedger()
    const pepper = 'a pepper for tests, long enough to be one'
    quota = createQuota({ pepper, ledger, durableWithinMs: 10_000, keepRawUsage: true })
  })
  afterEach(() => quota.close())

  for (const answered of ANSWERS) {
    const { what, type, before, last, isStream } = answered
    const whole = Buffer.concat([...before, last])

    it(`of ${what}: goes on byte for byte, and tells its usage, cut anywhere`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.nat(whole.length - 1), { maxLength: 8 }), async (at) => {
          const call = begun(answered)
          expect((await through(call, type, cut(whole, at))).all.equals(whole)).to.equal(true)
          const { usage, streamed, outcome } = await entryOf(call)
          expect(usage).to.deep.include({ basis: 'reported', inputTokens: 20, outputTokens: 5 })
          expect([streamed, outcome]).to.deep.equal([isStream, 'complete'])
        }),
        { numRuns: runs(30) },
      )
    })

    it(`of ${what}: only its end waits for the ledger`, async () => {
      const call = begun(answered)
      const { before: left } = await through(call, type, [...before, last])
      const kept = what.includes('array') ? whole.length : Buffer.concat(before).length
      // An array has no event that ends it: its end is the end of the message.
      expect(left.length).to.equal(kept)
    })

    for (const [coding, compressed] of [
      ['gzip', gzipSync(whole)],
      ['br', brotliCompressSync(whole)],
      ['zstd', zstdCompressSync(whole)],
    ] as const) {
      it(`of ${what}: goes on as it is in ${coding}, and tells its usage`, async () => {
        const call = begun(answered)
        expect((await through(call, type, cut(compressed, [5, 30]), coding)).all.equals(compressed)).to.equal(true)
        expect((await entryOf(call)).usage).to.deep.include({ basis: 'reported', inputTokens: 20, outputTokens: 5 })
      })
    }
  }

  it('tells a reader of lines that the provider broke off, also within a line', async () => {
    const answered = ANSWERS[0]!
    for (const [sent, begins] of [
      [answered.before[0]!, '{"error":"'],
      [answered.before[0]!.subarray(0, 20), '\n{"error":"'],
    ] as const) {
      const call = begun(answered)
      const answer = call.answer({ push: () => {} })
      answer.head(200, { getHeader: (name) => (name === 'content-type' ? answered.type : undefined) })
      answer.write(sent)
      const told = (await answer.fail())!.toString()
      expect(told.startsWith(begins) && told.endsWith('"}\n'), told).to.equal(true)
      expect(JSON.parse(told)).to.have.property('error')
      expect((await entryOf(call)).outcome).to.equal('failed')
    }
  })

  it('breaks the connection of frames whose provider broke off: their readers know no other way', async () => {
    const answered = ANSWERS[1]!
    const call = begun(answered)
    const answer = call.answer({ push: () => {} })
    answer.head(200, { getHeader: (name) => (name === 'content-type' ? answered.type : undefined) })
    answer.write(answered.before[0]!)
    expect(await answer.fail()).to.equal(undefined)
  })

  it('says that a frame was damaged, counts what it has, and lets every byte through', async () => {
    const answered = ANSWERS[1]!
    const { type, before, last } = answered
    const damaged = Buffer.from(last)
    damaged[damaged.length - 1] = damaged.at(-1)! ^ 1
    const whole = Buffer.concat([...before, damaged])
    const call = begun(answered)
    expect((await through(call, type, [whole])).all.equals(whole)).to.equal(true)
    const { usage } = await entryOf(call)
    expect(usage).to.include({ basis: 'estimated' })
    expect(usage!.flags).to.include('damaged-frame')
  })

  it('keeps the figures that the provider stated as it stated them, without texts', async () => {
    const answered = ANSWERS[4]!
    const text = 'what the model said, which is no figure and longer than any word of a provider can be'
    const usage = { prompt_tokens: 3, completion_tokens: 4, details: { cached_tokens: 1, note: text }, note: text }
    const call = begun(answered)
    const body = Buffer.from(JSON.stringify({ choices: [], usage }))
    await through(call, 'application/json', [body])
    expect((await entryOf(call)).usage!.raw).to.deep.equal({
      prompt_tokens: 3,
      completion_tokens: 4,
      details: { cached_tokens: 1, note: undefined },
    })
  })

  it('keeps nothing of an object that is too large, and none at all where nobody asked', async () => {
    const answered = ANSWERS[4]!
    const many = Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`figure_${index}`, index]))
    const body = Buffer.from(JSON.stringify({ usage: { prompt_tokens: 3, completion_tokens: 4, ...many } }))
    const call = begun(answered)
    await through(call, 'application/json', [body])
    const { usage } = await entryOf(call)
    expect(usage).to.include({ inputTokens: 3 })
    expect(usage).not.to.have.property('raw')
    await quota.close()
    ledger = new MemoryLedger()
    quota = createQuota({ pepper: 'a pepper for tests, long enough to be one', ledger, durableWithinMs: 10_000 })
    const other = begun(answered)
    await through(other, 'application/json', [Buffer.from('{"usage":{"prompt_tokens":3,"completion_tokens":4}}')])
    expect((await entryOf(other)).usage).not.to.have.property('raw')
  })
})
