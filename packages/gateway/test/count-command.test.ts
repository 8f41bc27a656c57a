import { spawnSync } from 'node:child_process'
import { expect } from 'chai'
import { COMMAND } from './running-gateway.ts'

function count(
  input: string,
  ...args: readonly string[]
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(process.execPath, [COMMAND, 'count', ...args], { encoding: 'utf8', input })
}

describe('tallygate count', () => {
  const counted: readonly (readonly [what: string, request: unknown, args: readonly string[], printed: unknown])[] = [
    [
      'a chat, with the ceiling of all its answers',
      { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 100, n: 2 },
      ['--provider', 'openai', '--model', 'gpt-4o'],
      { inputTokens: 8, outputCeiling: 200, basis: 'estimated', encoding: 'o200k_base' },
    ],
    [
      'a request by the model that it names, without a ceiling',
      { model: 'gpt-4', messages: [{ role: 'user', content: 'Hello' }] },
      [],
      { inputTokens: 8, outputCeiling: null, basis: 'estimated', encoding: 'cl100k_base' },
    ],
    [
      'a request of Gemini',
      { contents: [{ parts: [{ text: 'Hello' }] }], generationConfig: { maxOutputTokens: 50 } },
      ['--model', 'gemini-2.5-flash', '--api', 'gemini-generate'],
      { inputTokens: 2, outputCeiling: 50, basis: 'estimated', encoding: 'o200k_base' },
    ],
  ]
  const known = [
    { messages: [{ role: 'user', content: '' }] },
    { input: [1, 2, 3] },
    { previous_response_id: 'r' },
    { inputText: 'Hello' },
    { message: 'Hello' },
  ]
  it('counts whatever a model reads something of', () => {
    for (const request of known)
      expect(count(JSON.stringify(request), '-m', 'gpt-4o')).to.include({ status: 0, stderr: '' })
  })

  for (const [what, request, args, printed] of counted) {
    it(`prints the estimate of ${what}`, () => {
      const { status, stdout, stderr } = count(JSON.stringify(request), ...args)
      expect([status, stderr]).to.deep.equal([0, ''])
      expect(JSON.parse(stdout)).to.deep.equal(printed)
    })
  }

  const refused: readonly (readonly [what: string, input: string, args: readonly string[], message: RegExp])[] = [
    ['nothing', '', ['-m', 'gpt-4o'], /^nothing came on standard input/],
    ['no JSON', '{"a"', ['-m', 'gpt-4o'], /no JSON\n$/],
    ['a list', '[]', ['-m', 'gpt-4o'], /no JSON object\n$/],
    ['two members of one name', '{"a":1,"a":2}', ['-m', 'gpt-4o'], /two members of one name/],
    [
      'a request with nothing to read',
      '{"model":"gpt-4o","messages":[],"tools":[]}',
      [],
      /^the request has nothing that a model reads, such as messages, input or contents: give it some/,
    ],
    ...(
      [
        ['openai-chat', '{"input":"Hello"}', 'messages: openai-chat needs them'],
        ['openai-responses', '{"messages":"Hello"}', '.*conversation: openai-responses needs one of them'],
        ['anthropic-messages', '{"system":"Hello","messages":null}', 'messages: anthropic-messages needs them'],
        ['gemini-generate', '{"messages":[{}]}', 'contents: gemini-generate needs them'],
      ] as const
    ).map(
      ([api, request, says]) =>
        [
          `no request of ${api}`,
          request,
          ['-m', 'gpt-4o', '-a', api],
          new RegExp(`^the request has no ${says}\n$`),
        ] as const,
    ),
    ['no model', '{}', [], /names no model: say it with --model\n$/],
    [
      'an operation that is not there',
      '{}',
      ['-m', 'o3', '-a', 'nope'],
      /^--api nope: no such operation; there are openai-chat/,
    ],
  ]
  for (const [what, input, args, message] of refused) {
    it(`exits 1 for ${what}, and says what to do`, () => {
      const { status, stdout, stderr } = count(input, ...args)
      expect([status, stdout]).to.deep.equal([1, ''])
      expect(stderr).to.match(message)
    })
  }
})
