import { mostMediaTokens } from '@tallygate/metering'
import { expect } from 'chai'

function bound(body: object, model = 'gpt-4o'): number {
  return mostMediaTokens(JSON.parse(JSON.stringify(body)) as Record<string, unknown>, model)
}

const URL = 'https://example.com/a.png'
const chat = (...content: readonly object[]): object => ({ messages: [{ role: 'user', content }] })

describe('mostMediaTokens', () => {
  const image = { type: 'image_url', image_url: { url: URL } }
  const table: readonly (readonly [what: string, body: object, model: string, expected: number])[] = [
    ['nothing in text', chat({ type: 'text', text: 'hi' }), 'gpt-4o', 0],
    ['nothing in text that speaks of images and files', chat({ type: 'text', text: 'an image_url file' }), 'gpt-4o', 0],
    [
      'nothing in the schemas of tools',
      { messages: [], tools: [{ function: { parameters: { properties: { image: { type: 'string' } } } } }] },
      'gpt-4o',
      0,
    ],
    ['eight tiles of an image', chat(image), 'gpt-4o', 85 + 170 * 8],
    ['each of several', chat(image, image, image), 'gpt-4o', 3 * (85 + 170 * 8)],
    ['the dear tiles of a small model', chat(image), 'gpt-4o-mini', 2_833 + 5_667 * 8],
    ['patches', chat(image), 'gpt-4.1-mini', Math.ceil(1_536 * 1.62)],
    [
      'Anthropic’s, by its address',
      chat({ type: 'image', source: { type: 'url', url: URL } }),
      'claude-sonnet-4-5',
      1_600,
    ],
    ['a file that its provider has', chat({ type: 'file', file: { file_id: 'f' } }), 'claude-sonnet-4-5', 1_600],
    [
      'Gemini’s, of which only the address is there',
      { contents: [{ parts: [{ fileData: { fileUri: URL } }, { text: 'x' }] }] },
      'gemini-2.5-flash',
      258 * 16,
    ],
    ['each of Ollama’s', { messages: [{ role: 'user', content: 'x', images: ['aGk=', 'aGk='] }] }, 'llava', 3_200],
  ]
  for (const [what, body, model, expected] of table)
    it(`is ${what}`, () => {
      expect(bound(body, model)).to.equal(expected)
    })

  it('takes bounded time for bodies of many, deep or odd values', () => {
    const many = { messages: Array.from({ length: 200_000 }, () => ({ image: 1, file: [] })) }
    let deep: object = { image_url: 1 }
    for (let at = 0; at < 1_000; at += 1) deep = { file: [deep] }
    for (const body of [many, deep, { image: null, images: {}, file_id: [] }]) {
      const startedAtMs = performance.now()
      mostMediaTokens(body as Record<string, unknown>, undefined)
      expect(performance.now() - startedAtMs).to.be.below(150)
    }
  })
})
