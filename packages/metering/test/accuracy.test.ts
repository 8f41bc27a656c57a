import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'

const COMMAND = join(import.meta.dirname, '../bench/accuracy.ts')

interface Line {
  readonly id: string
  readonly set: string
  readonly estimated: { readonly input: number; readonly output: number }
  readonly reported: { readonly input: number; readonly output: number }
}

function run(...args: readonly string[]): {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
} {
  return spawnSync(process.execPath, [COMMAND, ...args], { encoding: 'utf8', maxBuffer: 64 * 1_048_576 })
}

function lines(pairs: string): readonly Line[] {
  const { stdout, status } = run('--pairs', pairs, '--json')
  expect(status).to.equal(0)
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

const user = { role: 'user', content: 'Hello' }
const pair = (id: string, provider: string, api: string, request: unknown): unknown => ({
  id,
  provider,
  api,
  model: 'gpt-4o',
  request,
  output: { text: 'Hi there', reasoningText: '', toolCalls: [], other: false },
  reported: { input: 8, output: 2, reasoning: 0 },
})

describe('npm run accuracy', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-accuracy-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('prints a line for each pair that is counted, with its set, and leaves out what nobody can count', () => {
    const file = join(folder, 'pairs.jsonl')
    const tools = [{ type: 'function', function: { name: 'f' } }]
    const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }
    const pairs = [
      pair('text', 'openai', 'chat.completions', { model: 'gpt-4o', messages: [user] }),
      pair('tools', 'azure', 'chat.completions', { model: 'gpt-4o', messages: [user], tools }),
      pair('history', 'openai', 'chat.completions', {
        model: 'gpt-4o',
        messages: [user, { role: 'tool', content: '' }],
        tools,
      }),
      pair('schema', 'openai', 'chat.completions', {
        model: 'gpt-4o',
        messages: [user],
        response_format: { type: 'json_schema', json_schema: {} },
      }),
      pair('response', 'openai', 'responses', { model: 'gpt-4o', input: 'Hello' }),
      pair('other', 'anthropic', 'messages', { model: 'claude-3-opus', messages: [user] }),
      pair('media', 'openai', 'chat.completions', { model: 'gpt-4o', messages: [{ role: 'user', content: [image] }] }),
      pair('state', 'openai', 'responses', { model: 'gpt-4o', input: 'Hello', previous_response_id: 'r' }),
      pair('hosted', 'openai', 'responses', { model: 'gpt-4o', input: 'Hello', tools: [{ type: 'web_search' }] }),
    ]
    writeFileSync(file, pairs.map((each) => `${JSON.stringify(each)}\n`).join(''))
    const found = lines(file)
    expect(found.map(({ id, set }) => [id, set])).to.deep.equal([
      ['text', 'chat-text'],
      ['tools', 'chat-tools'],
      ['history', 'chat-history'],
      ['schema', 'chat-schema'],
      ['response', 'responses-text'],
      ['other', 'claude-3'],
    ])
    expect(found[0]).to.deep.equal({
      id: 'text',
      set: 'chat-text',
      estimated: { input: 8, output: 2 },
      reported: { input: 8, output: 2 },
    })
    expect(run('--pairs', file).stdout).to.contain('| chat-text | 1 | 100.0 | 0.0 | 0.0 |')
  })

  it('says how it is called', () => {
    expect(run()).to.deep.include({ status: 2, stderr: 'usage: npm run accuracy -- --pairs <pairs.jsonl> [--json]\n' })
  })

  const recordings = join(process.env['TALLYGATE_RECORDINGS'] ?? '', 'pairs-open.jsonl')
  if (process.env['TALLYGATE_RECORDINGS'] && existsSync(recordings)) {
    /** What is reached, less a little: below it, a rule was broken. */
    const floors: readonly (readonly [set: string, exact: number, p95: number])[] = [
      ['chat-text', 97, 1],
      ['chat-tools', 90, 3],
      ['chat-history', 85, 4],
      ['chat-schema', 65, 8],
      ['responses-text', 94, 1],
      ['responses-tools', 75, 70],
      ['responses-schema', 85, 4],
      ['completions', 95, 1],
      ['embeddings', 90, 1],
    ]
    it('finds prompts of recorded pairs as well as it did', () => {
      const all = lines(recordings)
      for (const [set, exact, p95] of floors) {
        const errors = all
          .filter((line) => line.set === set)
          .map(
            ({ estimated, reported }) =>
              (100 * Math.abs(estimated.input - reported.input)) / Math.max(1, reported.input),
          )
          .toSorted((a, b) => a - b)
        const right = (100 * errors.filter((error) => error === 0).length) / errors.length
        expect(right, set).to.be.at.least(exact)
        expect(errors[Math.floor(0.95 * errors.length)], set).to.be.at.most(p95)
      }
    }).timeout(120_000)
  }
})
