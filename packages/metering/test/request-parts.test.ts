import { requestParts } from '@tallygate/metering'
import { expect } from 'chai'

type Row = readonly [
  what: string,
  shape: string,
  body: Record<string, unknown>,
  texts: readonly string[],
  media?: number,
]

describe('requestParts', () => {
  const table: readonly Row[] = [
    [
      'one text for each message',
      'openai-chat',
      {
        model: 'm',
        messages: [
          { role: 'system', content: 'a' },
          { role: 'user', content: 'b' },
        ],
      },
      ['a', 'b'],
    ],
    [
      'parts and names',
      'openai-chat',
      {
        messages: [
          {
            role: 'user',
            name: 'n',
            content: [
              { type: 'text', text: 'a' },
              { type: 'text', text: 'b' },
            ],
          },
        ],
      },
      ['nab'],
    ],
    [
      'images as media',
      'openai-chat',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'a' },
              { type: 'image_url', image_url: { url: 'data:,' } },
            ],
          },
        ],
      },
      ['a'],
      1,
    ],
    [
      'tool calls without their ids',
      'openai-chat',
      {
        messages: [
          { role: 'assistant', tool_calls: [{ id: 'i', type: 'function', function: { name: 'f', arguments: '{}' } }] },
          { role: 'tool', tool_call_id: 'i', content: 'r' },
        ],
      },
      ['f{}', 'r'],
    ],
    ['a prompt', 'openai-chat', { prompt: ['a', 'b'] }, ['a', 'b']],
    ['a text as input', 'openai-responses', { input: 'a' }, ['a']],
    [
      'instructions and items',
      'openai-responses',
      {
        instructions: 'i',
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: 'a' },
              { type: 'input_image', image_url: 'data:,' },
            ],
          },
        ],
      },
      ['i', 'a'],
      1,
    ],
    [
      'reasoning without what the provider encrypted',
      'openai-responses',
      { input: [{ type: 'reasoning', summary: [{ type: 'summary_text', text: 's' }], encrypted_content: 'xxxx' }] },
      ['s'],
    ],
    [
      'system and messages',
      'anthropic',
      {
        system: [{ type: 'text', text: 's', cache_control: { type: 'ephemeral' } }],
        messages: [{ role: 'user', content: 'a' }],
      },
      ['s', 'a'],
    ],
    [
      'images and documents as media',
      'anthropic',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image', source: { type: 'base64', data: 'x' } },
              { type: 'document', source: { type: 'url', url: 'u' } },
            ],
          },
        ],
      },
      [''],
      2,
    ],
    [
      'documents of text as text',
      'anthropic',
      {
        messages: [
          {
            role: 'user',
            content: [
              { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'a' } },
              { type: 'document', source: { type: 'content', content: [{ type: 'text', text: 'b' }] } },
            ],
          },
        ],
      },
      ['ab'],
    ],
    [
      'uses and results of tools',
      'anthropic',
      {
        messages: [
          {
            role: 'assistant',
            content: [
              { type: 'thinking', thinking: 't', signature: 'x' },
              { type: 'tool_use', id: 'i', name: 'f', input: { city: 'b' } },
            ],
          },
          { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'i', content: 'r' }] },
        ],
      },
      ['tf{"city":"b"}', 'r'],
    ],
    [
      'instruction and contents',
      'gemini',
      {
        systemInstruction: { parts: [{ text: 's' }] },
        contents: [{ role: 'user', parts: [{ text: 'a' }, { inlineData: { mimeType: 'm', data: 'x' } }] }],
      },
      ['s', 'a'],
      1,
    ],
    [
      'one content that is no array',
      'gemini',
      { system_instruction: { parts: { text: 's' } }, contents: { parts: [{ text: 'a' }] } },
      ['s', 'a'],
    ],
    [
      'calls and answers of functions',
      'gemini',
      {
        contents: [
          { parts: [{ functionCall: { name: 'f', args: { n: 1, b: true } }, thoughtSignature: 'x' }] },
          { parts: [{ functionResponse: { name: 'f', response: { r: 'x' } } }] },
        ],
      },
      ['f{"n":1,"b":true}', 'f{"r":"x"}'],
    ],
    ['nothing', 'openai-chat', {}, []],
    ['nothing of null', 'anthropic', { messages: null }, []],
  ]
  for (const [what, shape, body, texts, media = 0] of table) {
    it(`takes ${what} out of a request of ${shape}`, () => {
      const found = requestParts(body)
      expect(found.texts).to.deep.equal(texts)
      expect(found.media).to.have.lengthOf(media)
      expect(found.tools).to.deep.equal([])
    })
  }

  const tools: readonly (readonly [whose: string, body: Record<string, unknown>])[] = [
    [
      'OpenAI',
      { tools: [{ type: 'function', function: { name: 'f', description: 'd', parameters: { type: 'object' } } }] },
    ],
    ['responses', { tools: [{ type: 'function', name: 'f', description: 'd', parameters: { type: 'object' } }] }],
    ['legacy functions', { functions: [{ name: 'f', description: 'd', parameters: { type: 'object' } }] }],
    ['Anthropic', { tools: [{ name: 'f', description: 'd', input_schema: { type: 'object' } }] }],
    [
      'Gemini',
      { tools: [{ functionDeclarations: [{ name: 'f', description: 'd', parameters: { type: 'object' } }] }] },
    ],
    [
      'Bedrock',
      {
        toolConfig: {
          tools: [{ toolSpec: { name: 'f', description: 'd', inputSchema: { json: { type: 'object' } } } }],
        },
      },
    ],
  ]
  for (const [whose, body] of tools) {
    it(`finds the tools of ${whose}`, () => {
      const expected = [{ name: 'f', description: 'd', parameters: { type: 'object' }, format: '' }]
      expect(requestParts(body)).to.deep.include({ tools: expected, hasServerState: false })
    })
  }

  const state: readonly (readonly [what: string, body: Record<string, unknown>])[] = [
    ['an earlier answer', { input: 'a', previous_response_id: 'r' }],
    ['a conversation', { input: 'a', conversation: 'c' }],
    ['a stored prompt', { prompt: { id: 'p' } }],
    ['a tool that the provider runs', { input: 'a', tools: [{ type: 'web_search' }] }],
    ["one of Gemini's", { contents: [], tools: [{ googleSearch: {} }] }],
    ['a cache', { contents: [], cachedContent: 'c' }],
    ['an item by its id', { input: [{ type: 'item_reference', id: 'i' }] }],
  ]
  for (const [what, body] of state) {
    it(`tells that the provider has more of it: ${what}`, () => {
      expect(requestParts(body).hasServerState).to.equal(true)
    })
  }

  const schemas: readonly Record<string, unknown>[] = [
    { response_format: { type: 'json_schema', json_schema: { schema: { x: 1 } } } },
    { text: { format: { type: 'json_schema', schema: { x: 1 } } } },
    { generationConfig: { responseSchema: { x: 1 } } },
    { output_format: { type: 'json_schema', schema: { x: 1 } } },
  ]
  for (const body of schemas) {
    it(`finds a schema in ${Object.keys(body)[0]!}`, () => {
      expect(requestParts(body).schema).to.equal('{"x":1}')
    })
  }

  it('finds a schema that is a text', () => {
    const textFormat = { structure: { jsonSchema: { schema: '{"type":"object"}' } } }
    expect(requestParts({ outputConfig: { textFormat } }).schema).to.equal('{"type":"object"}')
    expect(requestParts({ format: 'json' }).schema).to.equal('')
  })

  it("leaves out Claude's thoughts of turns before, and keeps those of this one", () => {
    const user = (content: unknown): unknown => ({ role: 'user', content })
    const thought = (thinking: string): unknown => ({
      role: 'assistant',
      content: [
        { type: 'thinking', thinking, signature: 's' },
        { type: 'text', text: 'b' },
      ],
    })
    const result = user([{ type: 'tool_result', tool_use_id: 't', content: 'd' }])
    const { texts } = requestParts({ messages: [user('a'), thought('old'), user('c'), thought('new'), result] })
    expect(texts).to.deep.equal(['a', 'b', 'c', 'newb', 'd'])
    const reasoningContent = { reasoningText: { text: 'old', signature: 's' } }
    const ofBedrock = { role: 'assistant', content: [{ reasoningContent }, { text: 'b' }] }
    expect(requestParts({ messages: [ofBedrock, user([{ text: 'c' }])] }).texts).to.deep.equal(['b', 'c'])
    const ofMistral = { role: 'assistant', content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'x' }] }] }
    expect(requestParts({ messages: [ofMistral, user('c')] }).texts).to.deep.equal(['x', 'c'])
  })

  it('counts what the caller encoded itself', () => {
    expect(requestParts({ input: [[1, 2, 3], [4]] }).encoded).to.equal(4)
    expect(requestParts({ prompt: [1, 2] }).encoded).to.equal(2)
  })

  it('throws nothing, whatever stands where something else belongs', () => {
    for (const wrong of [null, 1, 'x', [], {}, [null], [1], [[]], true]) {
      const body = {
        messages: wrong,
        input: wrong,
        contents: wrong,
        system: wrong,
        instructions: wrong,
        systemInstruction: wrong,
      }
      expect(requestParts(body).media).to.deep.equal([])
    }
  })

  it('goes through a message that is nested 100,000 levels deep', () => {
    let content: unknown = 'a'
    for (let depth = 0; depth < 100_000; depth += 1) content = [content]
    expect(requestParts({ messages: [{ content }] }).texts).to.deep.equal(['a'])
  })

  it('goes through a message of 500,000 parts', () => {
    const content = Array.from({ length: 500_000 }, () => 'a')
    expect(requestParts({ messages: [{ content }] }).texts[0]).to.have.lengthOf(500_000)
  })
})
