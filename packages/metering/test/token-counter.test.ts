import { runs } from '@tallygate/testkit'
import { TokenCounter, tokenFamily, type TokenTask, type UsageShape } from '@tallygate/metering'
import { expect } from 'chai'
import fc from 'fast-check'
import { tiktokenCount } from './tiktoken-count.ts'
import { outputOf, promptOf } from './token-tasks.ts'

/** Counted by the model's own tokenizer, to its end. */
const SURE = { isComplete: true, confidence: 'high', isLowerBound: false } as const

/** Long enough that only a text which takes quadratic time could come to it. */
const GENEROUS_MS = 10_000

describe('TokenCounter', () => {
  let counter: TokenCounter
  before(() => {
    counter = new TokenCounter({ deadlineMs: GENEROUS_MS })
  })
  after(() => counter.close())

  const known: readonly (readonly [text: string, tokens: number])[] = [
    ['', 0],
    ['hello world', 2],
    ['The quick brown fox jumps over the lazy dog.', 10],
    ['antidisestablishmentarianism', 6],
    ["I'm sure you've seen it: 12345678", 10],
    ['你好，世界', 3],
    ['🙂👩‍👩‍👧', 9],
    ['<|endoftext|>', 7],
    ['<|endofprompt|><|im_start|>', 12],
    [' \n\n\t ', 2],
  ]
  for (const [text, tokens] of known) {
    it(`counts ${JSON.stringify(text)} as ${tokens}`, async () => {
      expect(tiktokenCount('o200k_base', text)).to.equal(tokens)
      expect(await counter.count(outputOf(text))).to.deep.equal({ tokens, bound: tokens, ...SURE })
    })
  }

  it('counts any text as tiktoken does', async () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.lorem({ maxCount: 30 }), fc.string({ unit: 'grapheme' }))
    await fc.assert(
      fc.asyncProperty(text, async (written) => {
        const tokens = tiktokenCount('o200k_base', written)
        expect(await counter.count(outputOf(written))).to.deep.equal({ tokens, bound: tokens, ...SURE })
      }),
      { numRuns: runs(200) },
    )
  })

  const json = JSON.stringify(
    Array.from({ length: 3_000 }, (_, at) => ({ id: at, name: `it's_n${at}`, tags: ['a', "b's"] })),
  )
  const long: readonly (readonly [what: string, text: string])[] = [
    ['words', 'The quick brown fox jumps; over the lazy dog, they said. '.repeat(1_500)],
    ['words without a space at the cuts', `${'word'.repeat(20)} `.repeat(1_000)],
    ['compact JSON', json],
    ['Chinese', '今天天气很好，我们去公园散步。你觉得怎么样？'.repeat(2_000)],
    ['one letter before characters of two units', `x${'🙂'.repeat(30_000)}`],
    ['lines', 'const a = 1\n\n  return a\n'.repeat(2_000)],
  ]
  for (const [what, text] of long) {
    it(`counts a long text the same in slices as in one piece: ${what}`, async () => {
      expect(text.length).to.be.greaterThan(40_000)
      // Uncut, tiktoken takes quadratic time for some of them: their tokens are those of their parts.
      const tokens = text.startsWith('x') ? 30_001 : tiktokenCount('o200k_base', text)
      expect(await counter.count(outputOf(text))).to.deep.equal({ tokens, bound: tokens, ...SURE })
    })
  }

  it('counts older models by their own encoding', async () => {
    const text = 'Straßenbahnhaltestelle 你好 internationalization'
    const tokens = tiktokenCount('cl100k_base', text)
    expect(tokens).not.to.equal(tiktokenCount('o200k_base', text))
    expect(await counter.count(outputOf(text, 'gpt-4'))).to.include({ tokens })
  })

  for (const model of ['claude-sonnet-4-5', 'claude-opus-4-7', 'gemini-2.5-flash', 'grok-4']) {
    it(`counts for ${model} as many times as its family takes more`, async () => {
      const text = 'The quick brown fox jumps over the lazy dog. '.repeat(20)
      const { factor, base } = tokenFamily(model).calibrated!.output
      const { tokens, bound, confidence } = await counter.count(outputOf(text, model))
      expect(tokens).to.equal(Math.round(tiktokenCount('o200k_base', text) * factor + base))
      expect(bound).to.be.at.least(tokens)
      // Of those, the two last think without showing it.
      expect(confidence).to.equal(/gemini|grok/.test(model) ? 'low' : 'medium')
    })
  }

  const call = ['get_weather', '{"city":"Paris"}'] as const
  const written = (text: string, calls: number): TokenTask['body'] =>
    Buffer.from(
      JSON.stringify({
        texts: [text],
        toolCalls: Array.from({ length: calls }, () => call.join('')),
        toolNames: Array.from({ length: calls }, () => call[0]),
      }),
    )
  const inCall = tiktokenCount('o200k_base', call.join(''))
  const tools = [{ type: 'function', function: { name: 'get_weather', parameters: {} } }]
  const forced = { tools, tool_choice: { type: 'function', function: { name: 'get_weather' } }, messages: [] }
  const answers: readonly (readonly [
    what: string,
    shape: UsageShape,
    model: string,
    text: string,
    calls: number,
    request: unknown,
    tokens: number,
  ])[] = [
    ['a text of a chat as it is', 'openai-chat', 'gpt-4o', 'hello world', 0, undefined, 2],
    ['one more beside tools', 'openai-chat', 'gpt-4o', 'hello world', 0, { tools, messages: [] }, 3],
    [
      'five more beside tools and a schema',
      'openai-chat',
      'gpt-4o',
      'hello world',
      0,
      { tools, messages: [], response_format: { type: 'json_schema', json_schema: {} } },
      7,
    ],
    ['one more for a response', 'openai-responses', 'gpt-4o', 'hello world', 0, undefined, 3],
    [
      'no more than its ceiling',
      'openai-responses',
      'gpt-4o',
      'hello world',
      0,
      { max_output_tokens: 2, input: '' },
      2,
    ],
    ['7 beside a call', 'openai-chat', 'gpt-4o', '', 1, undefined, inCall + 7],
    ['8 beside a call of a response', 'openai-responses', 'gpt-4o', '', 1, undefined, inCall + 8],
    ['28 beside two calls at once', 'openai-chat', 'gpt-4o', '', 2, undefined, 2 * inCall + 28],
    [
      'the arguments alone of a call that had to be',
      'openai-chat',
      'gpt-4o',
      '',
      1,
      forced,
      inCall - tiktokenCount('o200k_base', call[0]),
    ],
    ['6 more for a response of gpt-5', 'openai-responses', 'gpt-5-mini', 'hello world', 0, undefined, 8],
    ['nothing of nothing', 'openai-responses', 'gpt-5', '', 0, undefined, 0],
  ]
  for (const [what, shape, model, text, calls, request, tokens] of answers) {
    it(`counts ${what}`, async () => {
      const task = { kind: 'written', shape, model, body: written(text, calls) } as const
      const bytes = request === undefined ? undefined : Buffer.from(JSON.stringify(request))
      expect(await counter.count({ ...task, request: bytes })).to.include({ tokens, isComplete: true })
    })
  }

  it('counts 4 for each message of a prompt and 3 for the beginning of its answer', async () => {
    const messages = [
      { role: 'system', content: 'You are helpful.' },
      { role: 'user', content: 'Hello' },
    ]
    const text = tiktokenCount('o200k_base', 'You are helpful.') + tiktokenCount('o200k_base', 'Hello')
    expect(await counter.count(promptOf({ messages }))).to.include({ tokens: text + 2 * 4 + 3, isComplete: true })
    expect(await counter.count(promptOf({ messages }, 'o3'))).to.include({ tokens: text + 2 * 4 + 2 })
  })

  const hostile: readonly (readonly [what: string, text: string, tokens?: number])[] = [
    ['one letter', 'a'.repeat(200_000), 25_000],
    ['spaces', ' '.repeat(200_000)],
    ['line ends', '\n'.repeat(200_000), 12_500],
    ['emoji', '🙂'.repeat(50_000), 50_000],
    ['joined emoji', '👩‍'.repeat(20_000)],
    ['one Chinese character', '中'.repeat(66_000), 66_000],
    ['symbols with marks', '==\u0301'.repeat(50_000)],
    ['symbols with byte order marks', '=\ufeff'.repeat(50_000)],
    ['white space that JavaScript does not know', ' \u0085'.repeat(60_000)],
    ['slashes and line ends behind a symbol', `=${'\n/'.repeat(100_000)}`],
    ['words just short of a run', `${'a'.repeat(399)} `.repeat(500)],
    ['lone surrogates', '\ud83d'.repeat(60_000)],
  ]
  for (const [what, text, tokens] of hostile) {
    it(`counts 200 kB of ${what} to its end`, async () => {
      const count = await counter.count(outputOf(text))
      expect(count).to.include({ isComplete: true, bound: count.tokens })
      expect(count.tokens).to.be.within(1, Buffer.byteLength(text))
      if (tokens !== undefined) expect(count.tokens).to.equal(tokens)
    })
  }

  it('guesses from the bytes what its deadline leaves, and bounds it by them', async () => {
    const late = new TokenCounter({ deadlineMs: -1 })
    const expected = { tokens: 250, bound: 1_000, isComplete: false, confidence: 'low' }
    expect(await late.count(outputOf('a'.repeat(1_000)))).to.include(expected)
    await late.close()
  })

  it('never guesses more than its bound, wherever its deadline falls', async () => {
    const chinese = Array.from({ length: 60_000 }, (_, at) =>
      String.fromCharCode(0x4e00 + ((at * 7_919) % 20_000)),
    ).join('')
    for (const deadlineMs of [1, 5, 20]) {
      const hasty = new TokenCounter({ deadlineMs })
      const { tokens, bound } = await hasty.count(outputOf(chinese + 'word '.repeat(100_000)))
      expect(tokens).to.be.at.most(bound)
      await hasty.close()
    }
  })
})
