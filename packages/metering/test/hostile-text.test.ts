import { monitorEventLoopDelay } from 'node:perf_hooks'
import { runs } from '@tallygate/testkit'
import { TokenCounter, type TokenTask } from '@tallygate/metering'
import { expect } from 'chai'

const MEGABYTE = 1_048_576

let seed = 7
/** The same on each run. */
function random(): number {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
  return seed / 2_147_483_648
}

const HOSTILE: readonly (readonly [what: string, text: string])[] = [
  ['one letter', 'a'.repeat(MEGABYTE)],
  ['spaces', ' '.repeat(MEGABYTE)],
  ['one Chinese character', '中'.repeat(MEGABYTE / 3)],
  ['emoji', '🙂'.repeat(MEGABYTE / 4)],
  ['base64', Buffer.from(Array.from({ length: (MEGABYTE * 3) / 4 }, () => random() * 256)).toString('base64')],
  ['random letters', Array.from({ length: MEGABYTE }, () => String.fromCharCode(97 + random() * 26)).join('')],
  ['special tokens', '<|endoftext|>'.repeat(MEGABYTE / 13)],
]

/** As a message, as the description of a tool, and as an answer: all that is counted of callers and providers. */
const BODIES: readonly (readonly [where: string, taskOf: (text: string) => TokenTask])[] = [
  ['a message', (text) => promptOf({ messages: [{ role: 'user', content: text }] })],
  ['a tool', (text) => promptOf({ messages: [], tools: [{ function: { name: 'f', description: text } }] })],
  [
    'an answer',
    (text) => ({
      kind: 'output',
      shape: 'openai-chat',
      framing: 'json',
      model: 'gpt-4o',
      body: bytesOf({ choices: [{ message: { content: text } }] }),
    }),
  ],
]

function promptOf(body: unknown): TokenTask {
  return { kind: 'prompt', model: 'gpt-4o', body: bytesOf(body) }
}

function bytesOf(value: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(JSON.stringify(value)))
}

describe('hostile texts of 1 MB', () => {
  const counter = new TokenCounter()
  before(() => counter.count(promptOf({ messages: [] })))
  after(() => counter.close())

  for (const [where, taskOf] of BODIES) {
    for (const [what, text] of HOSTILE) {
      it(`are counted, or bounded at the deadline: ${what} in ${where}`, async () => {
        const { tokens, bound, isComplete, confidence } = await counter.count(taskOf(text))
        expect(tokens).to.be.within(1, bound)
        expect(bound).to.be.at.most(Buffer.byteLength(text) + 64)
        // Where not all of it was counted, the figure says so.
        expect(confidence).to.equal(isComplete ? 'high' : 'low')
      })
    }
  }

  const refer = (to: number): unknown => ({
    type: 'object',
    properties: Object.fromEntries(
      Array.from({ length: 50 }, (_, at) => [`p${at}`, { $ref: `#/$defs/d${(to * 7 + at) % 200}` }]),
    ),
  })
  const circles = {
    type: 'object',
    properties: { a: { $ref: '#/$defs/d0' } },
    $defs: Object.fromEntries(Array.from({ length: 200 }, (_, at) => [`d${at}`, refer(at)])),
  }
  const crowded: readonly (readonly [what: string, body: unknown])[] = [
    ['30,000 messages', { messages: Array.from({ length: 30_000 }, () => ({ role: 'user', content: 'x' })) }],
    [
      '10,000 tools',
      { messages: [], tools: Array.from({ length: 10_000 }, (_, at) => ({ function: { name: `f${at}` } })) },
    ],
    ['schemas that refer to each other', { messages: [], tools: [{ function: { name: 'f', parameters: circles } }] }],
    [
      '15,000 calls at once',
      { input: Array.from({ length: 15_000 }, () => ({ type: 'function_call', name: 'f', arguments: '{}' })) },
    ],
    [
      'a description of line ends',
      { messages: [], tools: [{ function: { name: 'f', description: '\n'.repeat(MEGABYTE) } }] },
    ],
  ]
  for (const [what, body] of crowded) {
    it(`are no worse than requests of ${what}`, async () => {
      for (const model of ['gpt-4o', 'gpt-5', 'claude-3-opus']) {
        const { tokens, bound } = await counter.count({ kind: 'prompt', model, body: bytesOf(body) })
        expect(tokens).to.be.within(1, bound)
      }
    })
  }

  it('take no longer in the worker than their deadline and a slice, by its own clock', async () => {
    for (const [, text] of HOSTILE) {
      // A deadline that is over leaves everything to the bound, without a single slice.
      const hasty = new TokenCounter({ deadlineMs: 0 })
      const { isComplete, bound } = await hasty.count(promptOf({ messages: [{ role: 'user', content: text }] }))
      expect(isComplete).to.equal(false)
      expect(bound).to.be.at.least(text.length / 4)
      await hasty.close()
    }
  })

  it('are answered within 250 ms of their turn, and block the event loop for less than 10 ms', async () => {
    const delays = monitorEventLoopDelay({ resolution: 1 })
    for (const [what, text] of HOSTILE) {
      const task = promptOf({ messages: [{ role: 'user', content: text }] })
      const tries: { answeredMs: number; blockedMs: number }[] = []
      // By the best of some, as neighbours take the processor from each: the bounds are not theirs.
      for (let at = 0; at < 8 && !tries.some((each) => each.answeredMs < 250 && each.blockedMs < 10); at += 1) {
        delays.reset()
        delays.enable()
        const startedAtMs = performance.now()
        await counter.count(task)
        const answeredMs = performance.now() - startedAtMs
        await new Promise((resolve) => setTimeout(resolve, 5))
        delays.disable()
        tries.push({ answeredMs, blockedMs: delays.max / 1e6 })
      }
      expect(Math.min(...tries.map(({ answeredMs }) => answeredMs)), what).to.be.below(250)
      expect(Math.min(...tries.map(({ blockedMs }) => blockedMs)), what).to.be.below(10)
    }
  })

  it('leave memory flat, however many come', async () => {
    const round = async (): Promise<void> => {
      for (const [, text] of HOSTILE) await counter.count(promptOf({ messages: [{ role: 'user', content: text }] }))
    }
    await round()
    await round()
    const before = process.memoryUsage.rss()
    for (let at = 0; at < runs(3); at += 1) await round()
    expect(process.memoryUsage.rss() - before).to.be.below(128 * MEGABYTE)
  }).timeout(600_000)
})
