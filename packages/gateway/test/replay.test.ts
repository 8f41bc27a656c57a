import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isQuotaError } from '@tallygate/core'
import { TokenCounter } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import { converseFrame } from '../../metering/test/aws-frames.ts'
import { readBody, readRecordings, type Recording } from '../src/recordings.ts'
import { replayCommand, type ReplayCommandOptions } from '../src/replay-command.ts'
import { cutBySeed, replay } from '../src/replay.ts'

const CLI = join(import.meta.dirname, '../bin/tallygate.js')
/** Recorded interactions of others' are no part of this project: a folder of them is named from outside. */
const RECORDINGS = process.env['TALLYGATE_RECORDINGS'] ?? ''

const JSON_TYPE = { 'content-type': 'application/json' }
const CHAT = { provider: 'openai', api: 'chat.completions', url: 'https://api.openai.com/v1/chat/completions' }
const usage = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13 }
const realtime = [
  { direction: 'sent', data: { type: 'response.done', response: { usage: { input_tokens: 99, output_tokens: 99 } } } },
  {
    direction: 'received',
    data: { type: 'response.done', response: { usage: { input_tokens: 3, output_tokens: 1 } } },
  },
  { direction: 'received', data: '{"type":"response.done","response":{"usage":{"input_tokens":4,"output_tokens":1}}}' },
]

/** Recordings made for these tests. */
const ROWS: readonly (readonly [row: Partial<Recording>, body: string | Buffer])[] = [
  [
    { ...CHAT, id: 'json', headers: JSON_TYPE, expected: { input: 9, output: 4, total: 13, cost: 1 } },
    JSON.stringify({ model: 'gpt-4o', choices: [{ message: { content: '"usage":{"prompt_tokens":1}' } }], usage }),
  ],
  [
    { ...CHAT, id: 'sse', headers: { 'content-type': 'text/event-stream' }, expected: { input: 9, output: 4 } },
    `data: {"choices":[{"delta":{"content":"é🙂"}}]}\n\ndata: ${JSON.stringify({ choices: [], usage })}\n\ndata: [DONE]\n\n`,
  ],
  [{ ...CHAT, id: 'none', headers: JSON_TYPE, expected: null }, '{"choices":[]}'],
  [{ ...CHAT, id: 'error', status: 500, headers: JSON_TYPE, expected: null }, JSON.stringify({ usage })],
  [
    {
      id: 'by-hint',
      provider: 'bedrock',
      api: 'converse',
      url: 'https://bedrock/converse',
      headers: {},
      expected: { input: 20, output: 5, total: 25 },
    },
    converseFrame('metadata', { usage: { inputTokens: 20, outputTokens: 5, totalTokens: 25 } }),
  ],
  [
    {
      id: 'batch',
      provider: 'anthropic',
      api: 'batches',
      url: 'https://api.anthropic.com/v1/messages/batches',
      headers: JSON_TYPE,
      expected: null,
    },
    '{"usage":{"input_tokens":5,"output_tokens":5}}',
  ],
  [
    {
      id: 'count',
      provider: 'anthropic',
      api: 'count_tokens',
      url: 'https://api.anthropic.com/v1/messages/count_tokens',
      headers: JSON_TYPE,
      expected: { input: 14 },
    },
    '{"input_tokens":14}',
  ],
  [
    {
      id: 'kept-response',
      provider: 'openai',
      api: 'responses',
      url: 'https://api.openai.com/v1/responses/resp_123',
      headers: JSON_TYPE,
      expected: { input: 2, output: 3, total: 5 },
    },
    '{"id":"resp_123","status":"completed","usage":{"input_tokens":2,"output_tokens":3,"total_tokens":5}}',
  ],
  [
    {
      id: 'session',
      provider: 'openai',
      api: 'realtime',
      url: 'wss://openai/realtime',
      headers: { 'content-type': 'application/x-ws-jsonl' },
      responsePath: 'bodies/session.ws.jsonl',
      expected: { input: 7, output: 2 },
    },
    realtime.map((message) => JSON.stringify(message)).join('\n'),
  ],
  [
    {
      id: 'searches',
      provider: 'cohere',
      api: 'rerank',
      url: 'https://api.cohere.com/v2/rerank',
      headers: JSON_TYPE,
      expected: { searchUnits: 1 },
    },
    '{"results":[],"meta":{"billed_units":{"search_units":1}}}',
  ],
]

let folder: string
let index: string

function write(rows: typeof ROWS): void {
  const lines = rows.map(([row, body]) => {
    const responsePath = row.responsePath ?? `bodies/${row.id}`
    writeFileSync(join(folder, responsePath), body)
    return JSON.stringify({ status: 200, responsePath, ...row })
  })
  writeFileSync(index, `${lines.join('\n')}\n`)
}

async function run(
  options: ReplayCommandOptions,
  of = index,
): Promise<{ readonly isRight: boolean; readonly lines: readonly string[]; readonly mistakes: readonly string[] }> {
  const lines: string[] = []
  const mistakes: string[] = []
  const output = { line: (text: string) => lines.push(text), mistake: (text: string) => mistakes.push(text) }
  return { isRight: await replayCommand(of, options, output as never), lines, mistakes }
}

async function failure(options: ReplayCommandOptions, of = index): Promise<string> {
  try {
    await run(options, of)
  } catch (error) {
    if (isQuotaError(error, 'ERR_QUOTA_CONFIG')) return error.message
    throw error
  }
  throw new Error('did not fail')
}

const byteForByte = (body: Buffer): readonly Buffer[] => Array.from(body, (byte) => Buffer.of(byte))

describe('tallygate replay', () => {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-replay-'))
    mkdirSync(join(folder, 'bodies'))
    index = join(folder, 'index.jsonl')
    write(ROWS)
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const ways: readonly ReplayCommandOptions[] = [
    {},
    { rechunk: '1' },
    { compress: 'gzip' },
    { compress: 'br' },
    { compress: 'zstd', rechunk: '7' },
  ]
  for (const options of ways) {
    it(`reads what recordings state, and lets their bytes through (${JSON.stringify(options)})`, async () => {
      const { isRight, lines, mistakes } = await run({ ...options, json: true })
      expect(mistakes).to.deep.equal([])
      expect(isRight).to.equal(true)
      const printed = lines.map((line): unknown => JSON.parse(line))
      expect(printed.slice(0, 4)).to.deep.equal([
        { id: 'json', usage: { input: 9, output: 4, total: 13 }, basis: 'reported' },
        { id: 'sse', usage: { input: 9, output: 4, total: 13 }, basis: 'reported' },
        { id: 'none', usage: null, basis: null },
        { id: 'error', usage: null, basis: null },
      ])
      expect(printed.at(-1)).to.deep.equal({ id: 'searches', usage: {}, basis: 'reported' })
    })
  }

  it('prints a table of providers and APIs, and can be asked for some', async () => {
    const { lines } = await run({})
    expect(lines.at(-1)).to.match(/^all +10 +7 +0$/)
    const some = await run({ json: true, provider: 'openai', api: 'chat.completions' })
    expect(some.lines).to.have.length(4)
  })

  it('names what is not as expected, and then is not right', async () => {
    write([
      [{ ...CHAT, id: 'other', headers: JSON_TYPE, expected: { input: 8, output: 4 } }, JSON.stringify({ usage })],
      [{ ...CHAT, id: 'too-much', headers: JSON_TYPE, expected: null }, JSON.stringify({ usage })],
      [{ ...CHAT, id: 'too-little', headers: JSON_TYPE, expected: { input: 1 } }, '{}'],
    ])
    const { isRight, mistakes } = await run({})
    expect(isRight).to.equal(false)
    expect(mistakes).to.deep.equal([
      'other (openai chat.completions): input is 9, expected 8',
      'too-much (openai chat.completions): usage is {"input":9,"output":4,"total":13}, expected none',
      'too-little (openai chat.completions): usage is not found, expected {"input":1}',
    ])
    const { status, stderr } = spawnSync(process.execPath, [CLI, 'replay', index, '--json'], { encoding: 'utf8' })
    expect(status).to.equal(1)
    expect(stderr).to.include('other (openai chat.completions): input is 9, expected 8')
  })

  it('tells what of its options and files can not be used', async () => {
    expect(await failure({ rechunk: 'x' })).to.include('--rechunk is x')
    expect(await failure({ rechunk: '-1' })).to.include('--rechunk is -1')
    expect(await failure({ compress: 'lzma' })).to.include('--compress is lzma: use one of gzip, br, zstd')
    expect(await failure({ provider: 'nobody' })).to.include('has no recording')
    expect(await failure({}, join(folder, 'gone.jsonl'))).to.include('gone.jsonl can not be read (ENOENT)')
    writeFileSync(index, '\n{"id":\n')
    expect(await failure({})).to.include('index.jsonl:2: is no JSON')
    writeFileSync(index, '[]')
    expect(await failure({})).to.include('index.jsonl:1: the line is []')
    writeFileSync(index, JSON.stringify({ id: 'a', provider: 'b', api: 'c', status: '200' }))
    expect(await failure({})).to.include('index.jsonl:1: status is "200"')
    write([[{ ...CHAT, id: 'gone', headers: {}, expected: null }, '']])
    rmSync(join(folder, 'bodies/gone'))
    expect(await failure({})).to.include('it is the body of gone')
    write([[{ ...CHAT, id: 'spoilt', headers: {}, responsePath: 'bodies/spoilt.ws.jsonl', expected: null }, '{"dir']])
    expect(await failure({})).to.include('spoilt: message 1 is no JSON')
    const { status, stderr } = spawnSync(process.execPath, [CLI, 'replay', index, '--compress', 'x'], {
      encoding: 'utf8',
    })
    expect([status, stderr.split('\n').length]).to.deep.equal([1, 2])
  })

  it('cuts in the same way for the same seed, and never loses a byte', () => {
    const body = Buffer.from('0123456789'.repeat(500))
    const lengths = (seed: number): number[] => cutBySeed(seed)(body).map(({ length }) => length)
    expect(lengths(5)).to.deep.equal(lengths(5)).and.not.to.deep.equal(lengths(6))
    for (let seed = 0; seed < 50; seed += 1)
      expect(Buffer.concat([...cutBySeed(seed)(body)]).equals(body)).to.equal(true)
  })
})

if (RECORDINGS !== '') {
  const recorded = join(RECORDINGS, 'core-open.jsonl')
  const seeds = Array.from({ length: Math.min(20, runs(3)) }, (_, seed) => ({ rechunk: String(seed + 1) }))
  const codings = ['gzip', 'br', 'zstd'].map((compress) => ({ compress }))

  describe('tallygate replay of recorded interactions', () => {
    for (const options of [{}, ...seeds, ...codings]) {
      it(`reads all that providers stated, and nothing else (${JSON.stringify(options)})`, async () => {
        const { isRight, lines, mistakes } = await run({ ...options, json: true }, recorded)
        expect(mistakes).to.deep.equal([])
        expect(isRight).to.equal(true)
        expect(lines).to.have.length(readRecordings(recorded).length)
      }).timeout(120_000)
    }

    if (runs(1) > 1) {
      it('reads the same byte for byte', async () => {
        const counter = new TokenCounter()
        try {
          for (const recording of readRecordings(recorded)) {
            const { mistakes } = await replay(recording, readBody(recorded, recording), { cut: byteForByte, counter })
            expect(mistakes, recording.id).to.deep.equal([])
          }
        } finally {
          await counter.close()
        }
      }).timeout(600_000)
    }
  })
}
