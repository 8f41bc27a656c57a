import { tokenFamily } from '@tallygate/metering'
import { expect } from 'chai'

describe('tokenFamily', () => {
  const table: readonly (readonly [family: string, outputFactor: number, ...models: string[]])[] = [
    [
      'claude-newest',
      1.456,
      'claude-opus-4-7',
      'claude-opus-4-8-20260301',
      'anthropic/claude-opus-4.7',
      'claude-sonnet-5',
      'claude-opus-5-1',
    ],
    [
      'claude-4',
      1.146,
      'claude-sonnet-4-20250514',
      'claude-opus-4-1-20250805',
      'claude-haiku-4-5',
      'us.anthropic.claude-sonnet-4-6',
    ],
    [
      'claude-3',
      1.164,
      'claude-3-5-sonnet-20241022',
      'anthropic.claude-3-haiku-20240307-v1:0',
      'claude-2.1',
      'claude-instant-1.2',
    ],
    ['gemini-2', 1.049, 'gemini-2.5-flash', 'models/gemini-2.0-flash', 'gemini-1.5-pro', 'google/gemini-2.5-pro'],
    ['gemini-3', 1.036, 'gemini-3-pro-preview', 'gemini-flash-latest', 'gemma-3-27b'],
    [
      'mistral',
      1.079,
      'mistral-large-latest',
      'open-mixtral-8x22b',
      'ministral-8b',
      'codestral-2501',
      'magistral-medium',
      'devstral-small',
    ],
    ['llama-3', 1.053, 'llama-3.3-70b-versatile', 'meta.llama3-1-70b-instruct-v1:0'],
    ['llama-4', 1.042, 'meta-llama/llama-4-scout-17b-16e-instruct', 'llama4:latest'],
    ['grok', 0.994, 'grok-4', 'xai/grok-3-mini'],
    ['nova', 1.008, 'amazon.nova-pro-v1:0'],
    ['cohere', 1.086, 'command-r-plus', 'c4ai-aya-expanse-32b'],
    ['deepseek', 1.03, 'deepseek-chat', 'deepseek/deepseek-r1'],
    ['qwen', 1.061, 'qwen3-32b', 'qwen/qwq-32b'],
    ['kimi', 1.205, 'moonshotai/kimi-k2', 'moonshot-v1-8k'],
    ['openai-reasoning', 1, 'o1', 'o3-mini', 'openai/o4-mini', 'gpt-5', 'gpt-5.1-codex', 'ft:gpt-5:acme', 'GPT-5'],
    ['gpt-oss', 1, 'gpt-oss-120b', 'openai/gpt-oss-20b'],
    [
      'openai-cl100k',
      1,
      'gpt-4',
      'gpt-4-turbo',
      'gpt-4-0613',
      'gpt-3.5-turbo',
      'gpt-35-turbo',
      'ft:gpt-3.5-turbo:acme',
      'text-embedding-3-small',
    ],
    [
      'openai',
      1,
      'gpt-4o',
      'gpt-4.1-mini',
      'gpt-4.5-preview',
      'chatgpt-4o-latest',
      'ft:gpt-4o-mini:acme',
      'gpt-realtime',
    ],
    ['openai', 1, 'a-model-that-nobody-knows', '', '__proto__', '<|endoftext|>'],
  ]
  for (const [family, outputFactor, ...models] of table) {
    for (const model of models) {
      it(`takes ${model || 'an empty name'} for ${family}`, () => {
        expect(tokenFamily(model)).to.include({ name: family, outputFactor })
      })
    }
  }

  it('takes an absent name for a newer model of OpenAI', () => {
    expect(tokenFamily(undefined)).to.include({ name: 'openai', encoding: 'o200k_base' })
  })

  it('counts older models of OpenAI by their own encoding, all others by the newest', () => {
    expect(tokenFamily('gpt-4').encoding).to.equal('cl100k_base')
    for (const model of ['gpt-4o', 'o3', 'claude-3-opus', 'gemini-2.5-flash'])
      expect(tokenFamily(model).encoding).to.equal('o200k_base')
  })

  const prompts: readonly (readonly [model: string, factor: number, base: number, perMessage: number])[] = [
    ['claude-sonnet-4-5', 1.16, 5.6, 2],
    ['claude-3-opus', 1.06, 7, 5],
    ['gemini-2.5-flash', 1.04, 1, 1],
    ['gemini-3-pro', 1, 1, 1],
    ['gpt-oss-120b', 1, 67, 0],
    ['deepseek-chat', 0.92, 5, 1],
    // 3 for each message and 1 for its role, 3 for the answer's beginning; reasoning models one less.
    ['gpt-4o', 1, 7, 4],
    ['gpt-4', 1, 7, 4],
    ['o3', 1, 6, 4],
  ]
  for (const [model, factor, base, perMessage] of prompts) {
    it(`takes a prompt of ${model} for ${factor} times its text, and ${base} and ${perMessage} a message`, () => {
      expect(tokenFamily(model).prompt).to.deep.equal({ factor, base, perMessage })
    })
  }
})
