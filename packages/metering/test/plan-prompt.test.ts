import { planPrompt, TokenCounter, tokenFamily } from '@tallygate/metering'
import { expect } from 'chai'
import { tiktokenCount } from './tiktoken-count.ts'

const system = { role: 'system', content: 'You are helpful.' }
const user = { role: 'user', content: 'Hello' }
const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const weather = { name: 'get_weather', description: 'Weather now', parameters }
const chatTools = [{ type: 'function', function: weather }]
const responsesTools = [{ type: 'function', ...weather }]
const RENDERED = [
  'namespace functions {',
  '',
  '// Weather now',
  'type get_weather = (_: { city: string }) => any;',
  '',
  '} // namespace functions',
].join('\n')
const schema = {
  name: 'Answer',
  schema: { type: 'object', properties: { x: { type: 'string' } }, required: ['x'], additionalProperties: false },
}
const FORMAT = '# Response Formats\n\n## Answer\n\n{"type":"object","properties":{"x":{"type":"string"}}}'
const call = { id: 'c1', type: 'function', function: { name: 'get_weather', arguments: '{"city": "Paris"}' } }
const CALL = ['functions.get_weather', '{"city":"Paris"}']

const RAW = '{"city": "Paris"}'
const known = { call_id: 'call_0123456789abcdefABCDEF01' }
const toolsOf5 = { input: [user], tools: responsesTools }
const later = { type: 'additional_tools', role: 'developer', tools: responsesTools }

/** A call as an item of a response's input, and with its result. */
function itemOf(call: Record<string, unknown>): Record<string, unknown> {
  return { type: 'function_call', name: 'get_weather', arguments: RAW, ...call }
}

function items(call: Record<string, unknown>): readonly Record<string, unknown>[] {
  return [itemOf(call), { type: 'function_call_output', call_id: call['call_id'], output: 'sunny' }]
}

function ofCall(overhead: number, given = '{"city":"Paris"}'): readonly [readonly string[], number] {
  return [['Hello', 'functions.get_weather', given, 'sunny', 'get_weather'], 3 + 3 * 4 + overhead + 2]
}

function ofCallOf5(overhead: number, given = '{"city":"Paris"}'): readonly [readonly string[], number] {
  return [['Hello', 'functions.get_weather', given, 'sunny', 'functions.get_weather'], 2 + 3 * 4 + overhead + 1]
}

/** Texts of a request, by hand, and the tokens that none of them shows. */
type Row = readonly [
  what: string,
  model: string,
  body: Record<string, unknown>,
  texts: readonly string[],
  overhead: number,
]

const ROWS: readonly Row[] = [
  ['a chat', 'gpt-4o', { messages: [system, user] }, ['You are helpful.', 'Hello'], 3 + 2 * 4],
  ['one of a model that thinks', 'o3', { messages: [user] }, ['Hello'], 2 + 4],
  [
    'an answer to gpt-5',
    'gpt-5',
    { messages: [user, { role: 'assistant', content: 'Hi' }, user] },
    ['Hello', 'Hi', 'Hello'],
    2 + 3 * 4 + 2,
  ],
  [
    'parts of text',
    'gpt-4o',
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
    },
    ['ab'],
    7,
  ],
  ['a name', 'gpt-4o', { messages: [{ ...user, name: 'Ann' }] }, ['Hello', 'Ann'], 7 + 1],
  ['a name that is the role', 'gpt-4o', { messages: [{ ...user, name: 'user' }] }, ['Hello', 'user'], 7],
  ['a search model, the text alone', 'gpt-4o-search-preview', { messages: [user] }, ['Hello'], 0],
  ['tools', 'gpt-4o', { messages: [user], tools: chatTools }, ['Hello', RENDERED], 7 + 9],
  [
    'tools behind instructions',
    'gpt-4o',
    { messages: [system, user], tools: chatTools },
    ['You are helpful.\n', 'Hello', RENDERED],
    11 + 9 - 4,
  ],
  ['legacy functions', 'gpt-3.5-turbo', { messages: [user], functions: [weather] }, ['Hello', RENDERED], 7 + 9],
  ['tools of gpt-5', 'gpt-5-mini', { messages: [user], tools: chatTools }, ['Hello', RENDERED], 6 + 91],
  [
    'a tool that must be called',
    'gpt-4o',
    { messages: [user], tools: chatTools, tool_choice: { type: 'function', function: { name: 'get_weather' } } },
    ['Hello', RENDERED, 'get_weather'],
    7 + 9 + 7,
  ],
  [
    'tools that must not',
    'gpt-4o',
    { messages: [user], tools: chatTools, tool_choice: 'none' },
    ['Hello', RENDERED],
    7 + 9 + 1,
  ],
  [
    'a call and its result',
    'gpt-4o',
    {
      messages: [
        user,
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      ],
    },
    ['Hello', ...CALL, 'sunny', 'get_weather'],
    3 + 3 * 4 + 2 + 2,
  ],
  [
    'two calls at once, and their results',
    'gpt-4o',
    {
      messages: [
        user,
        { role: 'assistant', tool_calls: [call, { ...call, id: 'c2' }] },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny!' },
        { role: 'tool', tool_call_id: 'c2', content: 'rainy!' },
      ],
    },
    [
      'Hello',
      JSON.stringify({
        tool_uses: [1, 2].map(() => ({ recipient_name: 'functions.get_weather', parameters: { city: 'Paris' } })),
      }),
      'sunny!\n',
      'rainy!\n',
    ],
    3 + 4 + 20 + 4 + 2 * -1,
  ],
  [
    'several tools that may not be called at once',
    'gpt-4o',
    { messages: [user], functions: [weather, { name: 'ping' }], parallel_tool_calls: false },
    ['Hello', RENDERED.replace('} //', 'type ping = () => any;\n\n} //')],
    7 + 9 + 16,
  ],
  [
    'one tool that may not be called at once',
    'gpt-4o',
    { messages: [user], tools: chatTools, parallel_tool_calls: false },
    ['Hello', RENDERED],
    7 + 9,
  ],
  [
    'a call and its result to gpt-5',
    'gpt-5',
    {
      messages: [
        user,
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'c1', content: 'sunny' },
      ],
    },
    ['Hello', ...CALL, 'sunny', 'functions.get_weather'],
    2 + 3 * 4 + 2 + 6 + 1,
  ],
  [
    'a schema',
    'gpt-4o',
    { messages: [user], response_format: { type: 'json_schema', json_schema: schema } },
    ['Hello', FORMAT],
    7 + 7,
  ],
  ['a response', 'gpt-4o', { input: 'Hello' }, ['Hello'], 7],
  ['instructions', 'gpt-4o', { instructions: 'You are helpful.', input: [user] }, ['You are helpful.', 'Hello'], 11],
  ['tools of a response', 'gpt-4o', { input: [user], tools: responsesTools }, ['Hello', RENDERED], 7 + 3],
  ['of gpt-5', 'gpt-5', { input: [user], tools: responsesTools }, ['Hello', RENDERED], 6 + 9],
  ['of a large gpt-5 with a ceiling', 'gpt-5', { ...toolsOf5, max_output_tokens: 9 }, ['Hello', RENDERED], 6 + 9 + 3],
  ['of a small gpt-5 with a ceiling', 'gpt-5-mini', { ...toolsOf5, max_output_tokens: 9 }, ['Hello', RENDERED], 6 + 9],
  [
    'of gpt-5, no two of them at once',
    'gpt-5-nano',
    { input: 'Hello', tools: [...responsesTools, { type: 'function', name: 'ping' }], parallel_tool_calls: false },
    ['Hello', RENDERED.replace('} //', 'type ping = () => any;\n\n} //')],
    6 + 9 + 78,
  ],
  ['a call that OpenAI has', 'gpt-4o', { input: [user, ...items({ ...known, status: 'completed' })] }, ...ofCall(3)],
  ['a call without a status', 'gpt-4o', { input: [user, ...items(known)] }, ...ofCall(0, RAW)],
  [
    "a client's own call",
    'gpt-4o',
    { input: [user, ...items({ call_id: 'c1', status: 'completed' })] },
    ...ofCall(0, RAW),
  ],
  ['a call of gpt-5 without a status', 'gpt-5', { input: [user, ...items(known)] }, ...ofCallOf5(9)],
  ["a client's own call to gpt-5", 'gpt-5', { input: [user, ...items({ call_id: 'c1' })] }, ...ofCallOf5(6, RAW)],
  ["a client's own call to gpt-5.4", 'gpt-5.4', { input: [user, ...items({ call_id: 'c1' })] }, ...ofCallOf5(9)],
  [
    'a call in a namespace',
    'gpt-5.4',
    { input: [user, ...items({ call_id: 'c1', namespace: 'sky' })] },
    ['Hello', 'sky.get_weather', '{"city":"Paris"}', 'sunny', 'sky.get_weather'],
    2 + 3 * 4 + 9 + 1,
  ],
  [
    'calls at once that OpenAI has',
    'gpt-4o',
    { input: [{ ...itemOf({ ...known, status: 'completed' }) }, { ...itemOf({ ...known, status: 'completed' }) }] },
    [...CALL, ...CALL],
    3 + 2 * 4,
  ],
  [
    'tools that come later, behind others',
    'gpt-5.4',
    { input: [user, later], tools: [{ type: 'function', name: 'ping', description: 'Pong' }] },
    [
      'Hello',
      'namespace functions {\n\n// Pong\ntype ping = () => any;\n\n} // namespace functions',
      RENDERED,
      'get_weather',
    ],
    6 + 9 + 90,
  ],
  ['tools that come later, alone', 'gpt-5.4', { input: [user, later] }, ['Hello', RENDERED, 'get_weather'], 6 + 87],
  ['an empty answer', 'gpt-4o', { input: [user, { role: 'assistant', content: '' }] }, ['Hello'], 3 + 2 * 4],
  ['an answer without parts', 'gpt-4o', { input: [user, { role: 'assistant', content: [] }] }, ['Hello'], 3 + 4],
  [
    'a schema of a response',
    'gpt-4o',
    { input: 'Hello', text: { format: { type: 'json_schema', ...schema } } },
    ['Hello', FORMAT],
    7 + 1,
  ],
  [
    'what was compacted instead of what was before it',
    'gpt-4o',
    { input: [user, { type: 'compaction', encrypted_content: '' }, user] },
    ['Hello'],
    7,
  ],
  ['a legacy completion', 'gpt-3.5-turbo-instruct', { prompt: ['Hello', 'You'] }, ['Hello', 'You'], 0],
  ['texts to embed', 'text-embedding-3-small', { input: ['Hello', 'You'] }, ['Hello', 'You'], 0],
  ['one text to embed', 'text-embedding-3-small', { model: 'text-embedding-3-small', input: 'Hello' }, ['Hello'], 0],
  ['tokens to embed', 'text-embedding-3-small', { input: [[1, 2, 3]] }, [], 3],
]

describe('planPrompt', () => {
  const counter = new TokenCounter({ deadlineMs: 10_000 })
  after(() => counter.close())

  for (const [what, model, body, texts, overhead] of ROWS) {
    it(`counts ${what}`, async () => {
      const { encoding } = tokenFamily(model)
      const tokens = texts.reduce((sum, text) => sum + tiktokenCount(encoding, text), overhead)
      const count = await counter.count({ kind: 'prompt', model, body: Buffer.from(JSON.stringify(body)) })
      expect(count).to.include({ tokens, isComplete: true })
    })
  }

  it('counts other families by their figures', async () => {
    const model = 'claude-sonnet-4-5'
    const { prompt } = tokenFamily(model).calibrated!
    const texts = ['You are helpful.', 'Hello there, how are you today?']
    const body = { system: texts[0], messages: [{ role: 'user', content: texts[1] }] }
    const tokens = texts.reduce((sum, text) => sum + tiktokenCount('o200k_base', text), 0)
    const count = await counter.count({ kind: 'prompt', model, body: Buffer.from(JSON.stringify(body)) })
    const expected = Math.round(tokens * prompt.factor + prompt.base + prompt.perMessage)
    expect(count).to.include({ tokens: expected, confidence: 'medium' })
  })

  it('counts digits one by one for families that do', () => {
    const { overhead } = planPrompt({ contents: [{ parts: [{ text: '123456' }] }] }, { model: 'gemini-2.5-flash' })
    const { overhead: ofWords } = planPrompt(
      { contents: [{ parts: [{ text: 'words' }] }] },
      { model: 'gemini-2.5-flash' },
    )
    expect(overhead - ofWords).to.be.closeTo(4, 0.001)
  })

  it("adds what a host's templates add", () => {
    const body = { messages: [user] }
    const plain = planPrompt(body, { model: 'gemini-2.5-flash' })
    const hosted = planPrompt(body, { model: 'gemini-2.5-flash', provider: 'openrouter' })
    expect(hosted.overhead).not.to.equal(plain.overhead)
    expect(planPrompt(body, { model: 'gemini-2.5-flash', provider: '__proto__' })).to.deep.equal(plain)
  })

  it('adds what a ceiling costs beside tools of a large gpt-5, also at the host that passes chats on as responses', () => {
    const body = { messages: [user], tools: chatTools }
    const added = (model: string, provider: string): number =>
      planPrompt({ ...body, max_tokens: 9 }, { model, provider }).overhead -
      planPrompt(body, { model, provider }).overhead
    expect(added('openai/gpt-5-codex', 'openrouter')).to.equal(3)
    expect(added('openai/gpt-5-mini', 'openrouter')).to.equal(0)
    expect(added('gpt-5', 'openai')).to.equal(0)
  })

  it("adds what a host's template of one model adds", () => {
    const body = { messages: [user], tools: chatTools }
    const model = 'meta-llama/llama-4-scout-17b-16e-instruct'
    const ofHost = (provider: string): number => planPrompt(body, { model, provider }).overhead
    expect(ofHost('groq') - ofHost('cerebras')).to.equal(660)
  })

  it('adds what Claude is told about thinking with a budget, and nothing without', () => {
    const overheadOf = (more: Record<string, unknown>, model = 'claude-sonnet-4-5'): number =>
      planPrompt({ messages: [user], ...more }, { model }).overhead
    const without = overheadOf({})
    const { prompt } = tokenFamily('claude-sonnet-4-5').calibrated!
    const thinking = { type: 'enabled', budget_tokens: 1024 }
    expect(overheadOf({ thinking })).to.equal(without + prompt.thinking!)
    expect(overheadOf({ additionalModelRequestFields: { thinking } })).to.equal(without + prompt.thinking!)
    for (const other of [{ type: 'disabled' }, { type: 'adaptive' }, 'enabled', null])
      expect(overheadOf({ thinking: other })).to.equal(without)
    expect(overheadOf({ thinking }, 'glm-4.6')).to.equal(overheadOf({}, 'glm-4.6'))
  })

  it('leaves tools out that must not be called, where they are not told', () => {
    const body = { messages: [user], tools: chatTools }
    const none = planPrompt({ ...body, tool_choice: 'none' }, { model: 'mistral-small-latest' })
    expect(none).to.deep.equal(planPrompt({ messages: [user] }, { model: 'mistral-small-latest' }))
    const ofClaude = planPrompt({ ...body, tool_choice: { type: 'none' } }, { model: 'claude-haiku-4-5' })
    expect(ofClaude).to.deep.equal(planPrompt(body, { model: 'claude-haiku-4-5' }))
  })

  it("adds what a model's choice of a tool adds to its family's", () => {
    const body = { messages: [user], tools: chatTools }
    const added = (model: string, choice: unknown): number =>
      planPrompt({ ...body, tool_choice: choice }, { model }).overhead - planPrompt(body, { model }).overhead
    const { prompt } = tokenFamily('claude-haiku-4-5').calibrated!
    expect(added('claude-haiku-4-5', { type: 'any' })).to.be.closeTo(prompt.must + 60, 1e-6)
    expect(added('claude-haiku-4-5', { type: 'tool', name: 'get_weather' })).to.be.closeTo(prompt.named + 110, 1e-6)
    expect(added('claude-sonnet-4-0', { type: 'any' })).to.be.closeTo(prompt.must, 1e-6)
  })

  it('says that what only the provider has is not in it, and what it had to guess', () => {
    expect(planPrompt({ input: 'a', previous_response_id: 'r' }, { model: 'gpt-4o' }).isLowerBound).to.equal(true)
    const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }
    const { isGuess } = planPrompt({ messages: [{ role: 'user', content: [image] }] }, { model: 'gpt-4o' })
    expect(isGuess).to.equal(true)
  })

  it('throws nothing, whatever stands where something else belongs', () => {
    const names = [
      'messages',
      'input',
      'contents',
      'prompt',
      'tools',
      'functions',
      'tool_choice',
      'response_format',
      'text',
      'system',
    ]
    for (const wrong of [null, 1, 'x', [], {}, [null], [1], [[]], [{}], true]) {
      for (const model of ['gpt-4o', 'gpt-5', 'claude-3-opus', 'gemini-3-pro', undefined]) {
        for (const name of names)
          planPrompt({ messages: [{ role: 'assistant', content: wrong, tool_calls: wrong }], [name]: wrong }, { model })
        planPrompt(
          { input: [{ type: wrong, role: wrong, content: wrong, arguments: wrong, output: wrong }] },
          { model },
        )
        planPrompt(
          { messages: [{ role: 'tool', tool_call_id: wrong, content: wrong, name: wrong }], toolConfig: wrong },
          { model },
        )
      }
    }
  })
})
