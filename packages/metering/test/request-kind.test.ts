import { requestKind, type Raw } from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const TOOL = { type: 'function', function: { name: 'weather' } }
const schema = { type: 'json_schema', json_schema: { name: 'a', schema: {} } }

describe('requestKind', () => {
  const table: readonly (readonly [what: string, kind: string, body: Raw])[] = [
    ['a chat', 'text', { messages: [{ role: 'user', content: 'Hi' }], tools: [] }],
    ['a prompt', 'text', { prompt: 'Hi' }],
    ['nothing', 'text', {}],
    ['members of other types', 'text', { messages: 5, tools: 'all', response_format: [], generationConfig: 'x' }],
    ['a chat with tools', 'tools', { messages: [{ role: 'user', content: 'Hi' }], tools: [TOOL] }],
    ['functions', 'tools', { functions: [{ name: 'weather' }] }],
    ['Converse with tools', 'tools', { messages: [], toolConfig: { tools: [{ toolSpec: {} }] } }],
    ['a call of a tool', 'history', { messages: [{ role: 'assistant', content: null, tool_calls: [TOOL] }] }],
    ['no calls of tools', 'text', { messages: [{ role: 'assistant', content: 'a', tool_calls: [] }] }],
    ['a result of a tool', 'tools+history', { messages: [{ role: 'tool', content: '5' }], tools: [TOOL] }],
    ["Anthropic's result", 'history', { messages: [{ role: 'user', content: [{ type: 'tool_result' }] }] }],
    ["Gemini's call", 'history', { contents: [{ role: 'model', parts: [{ functionCall: { name: 'a' } }] }] }],
    ["Converse's call", 'history', { messages: [{ role: 'assistant', content: [{ toolUse: { name: 'a' } }] }] }],
    ["responses' call", 'history', { input: [{ type: 'function_call', name: 'a' }] }],
    ['a schema', 'schema', { messages: [], response_format: schema }],
    ['JSON without a schema', 'text', { messages: [], response_format: { type: 'json_object' } }],
    ["responses' schema", 'schema', { input: 'Hi', text: { format: schema } }],
    ["Gemini's schema", 'tools+schema', { tools: [{}, TOOL], generationConfig: { responseSchema: {} } }],
    ['an image', 'media', { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] }],
    ["Gemini's image", 'media', { contents: [{ parts: [{ text: 'What?' }, { inlineData: {} }] }] }],
    ['an earlier answer', 'state', { input: 'And now?', previous_response_id: 'resp_1' }],
    ['no earlier answer', 'text', { input: 'And now?', previous_response_id: null }],
  ]
  for (const [what, kind, body] of table) {
    it(`takes ${what} for ${kind}`, () => expect(requestKind(body)).to.equal(kind))
  }

  it('has one of 32 answers to any body', () => {
    const kinds = new Set<string>()
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.constantFrom('tools', 'messages', 'input', 'text', 'contents', 'conversation'),
          fc.jsonValue(),
        ),
        (body) => {
          kinds.add(requestKind(body))
        },
      ),
      { numRuns: runs(300) },
    )
    expect(kinds.size).to.be.at.most(32)
  })
})
