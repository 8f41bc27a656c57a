import { outputText, type UsageShape } from '@tallygate/metering'
import { expect } from 'chai'
import { events } from './provider-answers.ts'

type Row = readonly [
  what: string,
  shape: UsageShape,
  body: unknown,
  texts: readonly string[],
  toolCalls: readonly string[],
]
const call = (name: string | undefined, args: string, index?: number): unknown => ({
  index,
  function: { name, arguments: args },
})

describe('outputText', () => {
  const documents: readonly Row[] = [
    [
      'each answer apart',
      'openai-chat',
      {
        choices: [
          { index: 0, message: { content: 'a' } },
          { index: 1, message: { content: 'b' } },
        ],
      },
      ['a', 'b'],
      [],
    ],
    [
      'refusals, and reasoning apart',
      'openai-chat',
      { choices: [{ message: { content: null, refusal: 'no', reasoning_content: 'hm' } }] },
      ['no', 'hm'],
      [],
    ],
    [
      'tool calls',
      'openai-chat',
      { choices: [{ message: { content: null, tool_calls: [call('f', '{"x":1}'), call('g', '{}')] } }] },
      [],
      ['f{"x":1}', 'g{}'],
    ],
    ['legacy text', 'openai-chat', { choices: [{ text: 'a' }] }, ['a'], []],
    [
      'items',
      'openai-responses',
      {
        output: [
          { type: 'reasoning', summary: [{ text: 's' }] },
          { type: 'message', content: [{ text: 'a' }, { refusal: 'b' }] },
        ],
      },
      ['s', 'ab'],
      [],
    ],
    [
      'calls of functions and tools',
      'openai-responses',
      {
        output: [
          { name: 'f', arguments: '{}' },
          { name: 'g', input: 'i' },
        ],
      },
      [],
      ['f{}', 'gi'],
    ],
    [
      'blocks',
      'anthropic',
      {
        type: 'message',
        content: [
          { type: 'thinking', thinking: 'hm' },
          { type: 'text', text: 'a' },
        ],
      },
      ['hm', 'a'],
      [],
    ],
    [
      'uses of tools',
      'anthropic',
      {
        content: [
          { type: 'tool_use', name: 'f', input: { x: 1 } },
          { type: 'tool_use', name: 'g', input: {} },
        ],
      },
      [],
      ['f{"x":1}', 'g'],
    ],
    [
      'parts, and thoughts apart',
      'gemini',
      { candidates: [{ content: { parts: [{ text: 'hm', thought: true }, { text: 'a' }, { text: 'b' }] } }] },
      ['hm', 'ab'],
      [],
    ],
    [
      'calls of functions',
      'gemini',
      {
        candidates: [
          {
            content: {
              parts: [{ functionCall: { name: 'f', args: { x: 1 } } }, { functionCall: { name: 'f', args: {} } }],
            },
          },
        ],
      },
      [],
      ['f{"x":1}', 'f{}'],
    ],
    [
      'an array of documents',
      'gemini',
      ['a', 'b'].map((text) => ({ candidates: [{ content: { parts: [{ text }] } }] })),
      ['ab'],
      [],
    ],
    ['nothing of an error', 'openai-chat', { error: { message: 'a' } }, [], []],
    ['nothing of null', 'anthropic', null, [], []],
  ]
  for (const [what, shape, body, texts, toolCalls] of documents) {
    it(`takes ${what} out of a document of ${shape}`, () => {
      const { texts: found, toolCalls: calls } = outputText(shape, 'json', JSON.stringify(body))
      expect({ texts: found, toolCalls: calls }).to.deep.equal({ texts, toolCalls })
    })
  }

  const streams: readonly (readonly [
    what: string,
    shape: UsageShape,
    documents: readonly unknown[],
    texts: readonly string[],
    toolCalls: readonly string[],
  ])[] = [
    [
      'deltas that interleave',
      'openai-chat',
      [
        [0, 'a'],
        [1, 'x'],
        [0, 'b'],
        [1, 'y'],
      ].map(([index, content]) => ({ choices: [{ index, delta: { content } }] })),
      ['ab', 'xy'],
      [],
    ],
    [
      'tool calls that interleave',
      'openai-chat',
      [
        call('f', '', 0),
        call('g', '{', 1),
        call(undefined, '{"x":', 0),
        call(undefined, '}', 1),
        call(undefined, '1}', 0),
      ].map((each) => ({ choices: [{ index: 0, delta: { tool_calls: [each] } }] })),
      [],
      ['f{"x":1}', 'g{}'],
    ],
    [
      'deltas, not what repeats them',
      'openai-responses',
      [
        {
          type: 'response.output_item.added',
          output_index: 1,
          item: { type: 'function_call', name: 'f', arguments: '' },
        },
        { type: 'response.reasoning_summary_text.delta', output_index: 0, delta: 'hm' },
        { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'a' },
        { type: 'response.output_text.delta', output_index: 0, content_index: 0, delta: 'b' },
        { type: 'response.output_text.done', output_index: 0, content_index: 0, text: 'ab' },
        { type: 'response.function_call_arguments.delta', output_index: 1, delta: '{}' },
        { type: 'response.completed', response: { output: [{ content: [{ text: 'ab' }] }] } },
      ],
      ['hm', 'ab'],
      ['f{}'],
    ],
    [
      'deltas of blocks',
      'anthropic',
      [
        { type: 'message_start', message: { content: [] } },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'a' } },
        { type: 'content_block_start', index: 1, content_block: { type: 'tool_use', name: 'f', input: {} } },
        { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: '{"x"' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'b' } },
        { type: 'content_block_delta', index: 1, delta: { type: 'input_json_delta', partial_json: ':1}' } },
        { type: 'message_delta', delta: { stop_reason: 'tool_use' } },
      ],
      ['ab'],
      ['f{"x":1}'],
    ],
    ['parts', 'gemini', ['a', 'b'].map((text) => ({ candidates: [{ content: { parts: [{ text }] } }] })), ['ab'], []],
  ]
  for (const [what, shape, each, texts, toolCalls] of streams) {
    it(`takes ${what} out of a stream of ${shape}`, () => {
      const { texts: found, toolCalls: calls } = outputText(shape, 'sse', events(...each, '[DONE]'))
      expect(found.filter((text) => text !== '')).to.deep.equal(texts)
      expect(calls).to.deep.equal(toolCalls)
    })
  }

  it('takes the events before the one at which a stream is cut off', () => {
    const text = events({ choices: [{ delta: { content: 'a' } }] }, { choices: [{ delta: { content: 'b' } }] })
    expect(outputText('openai-chat', 'sse', text.slice(0, -10)).texts).to.deep.equal(['a'])
  })

  it('takes a document that is cut off as it is, rather than not at all', () => {
    const body = '{"choices":[{"message":{"content":"a lot of te'
    expect(outputText('openai-chat', 'json', body)).to.deep.equal({ texts: [body], toolCalls: [], toolNames: [] })
  })

  const unknown: readonly (readonly [
    what: string,
    documents: readonly unknown[],
    texts: readonly string[],
    calls: readonly string[],
  ])[] = [
    [
      'Bedrock',
      [
        {
          output: {
            message: {
              role: 'assistant',
              content: [{ text: 'a' }, { toolUse: { toolUseId: 'i', name: 'f', input: { x: 1 } } }],
            },
          },
        },
      ],
      ['a'],
      ['f{"x":1}'],
    ],
    [
      'a stream of Bedrock',
      [
        { contentBlockDelta: { contentBlockIndex: 0, delta: { text: 'a' } } },
        { contentBlockDelta: { contentBlockIndex: 0, delta: { text: 'b' } } },
        { metadata: { usage: { outputTokens: 2 }, text: 'no' } },
      ],
      ['ab'],
      [],
    ],
    ['Ollama', [{ message: { content: 'a' } }, { message: { content: 'b' }, done: true }], ['ab'], []],
    ['generations', [{ response: 'a' }, { response: 'b', done: true }], ['ab'], []],
    [
      'Cohere',
      [
        {
          message: {
            content: [{ type: 'text', text: 'a' }],
            tool_calls: [{ function: { name: 'f', arguments: '{}' } }],
          },
        },
      ],
      ['a'],
      ['f{}'],
    ],
    ['Titan', [{ results: [{ outputText: 'a' }] }], ['a'], []],
  ]
  for (const [what, each, texts, calls] of unknown) {
    for (const [how, body] of [
      ['lines', each.map((document) => JSON.stringify(document)).join('\n')],
      ['an array', JSON.stringify(each)],
      ['an array that is cut off', JSON.stringify([...each, { x: 1 }]).slice(0, -3)],
    ] as const) {
      it(`looks through ${how} of ${what}, whose shape has no row`, () => {
        const found = outputText('no such shape' as UsageShape, 'json', body)
        expect(found.texts).to.deep.equal(texts)
        expect(found.toolCalls).to.deep.equal(calls)
      })
    }
  }

  it('takes names of calls apart, and parts of text', () => {
    const body = { choices: [{ message: { content: [{ type: 'text', text: 'a' }], tool_calls: [call('f', '{}')] } }] }
    const expected = { texts: ['a'], toolCalls: ['f{}'], toolNames: ['f'] }
    expect(outputText('openai-chat', 'json', JSON.stringify(body))).to.deep.equal(expected)
  })

  it('throws nothing, whatever stands where something else belongs', () => {
    for (const wrong of [null, 1, 'x', [], {}, [null], [1], [[]], true]) {
      const body = {
        choices: wrong,
        output: wrong,
        content: wrong,
        candidates: wrong,
        delta: wrong,
        message: wrong,
        item: wrong,
        content_block: wrong,
      }
      for (const shape of ['openai-chat', 'openai-responses', 'anthropic', 'gemini', 'none' as UsageShape] as const) {
        for (const document of [
          body,
          { choices: [body] },
          { choices: [{ message: body, delta: { tool_calls: wrong } }] },
          { candidates: [body] },
          { output: [body] },
        ])
          expect(outputText(shape, 'json', JSON.stringify(document)).toolCalls).to.deep.equal([])
      }
    }
  })
})
