import { tokenFamily } from '@tallygate/metering'
import { expect } from 'chai'

describe('tokenFamily', () => {
  const table: readonly (readonly [family: string, ...models: string[]])[] = [
    ['claude-newest', 'claude-opus-4-7', 'claude-opus-4-8-20260301', 'anthropic/claude-opus-4.7', 'claude-sonnet-5'],
    [
      'claude-4',
      'claude-sonnet-4-20250514',
      'claude-opus-4-1-20250805',
      'claude-haiku-4-5',
      'us.anthropic.claude-sonnet-4-6',
    ],
    [
      'claude-3',
      'claude-3-5-sonnet-20241022',
      'anthropic.claude-3-haiku-20240307-v1:0',
      'claude-2.1',
      'claude-instant-1.2',
    ],
    ['gemini-2', 'gemini-2.5-flash', 'models/gemini-2.0-flash', 'gemini-1.5-pro', 'google/gemini-2.5-pro'],
    ['gemini-3', 'gemini-3-pro-preview', 'gemini-flash-latest'],
    ['gemma', 'gemma-3-27b'],
    [
      'mistral',
      'mistral-large-latest',
      'open-mixtral-8x22b',
      'ministral-8b',
      'codestral-2501',
      'magistral-medium',
      'devstral-small',
    ],
    ['llama-3', 'llama-3.3-70b-versatile', 'meta.llama3-1-70b-instruct-v1:0'],
    ['llama-4', 'meta-llama/llama-4-scout-17b-16e-instruct', 'llama4:latest'],
    ['grok', 'grok-4', 'xai/grok-3-mini'],
    ['nova', 'amazon.nova-pro-v1:0'],
    ['cohere', 'command-r-plus', 'c4ai-aya-expanse-32b'],
    ['deepseek', 'deepseek-chat', 'deepseek/deepseek-r1'],
    ['qwen', 'qwen3-32b', 'qwen/qwq-32b'],
    ['kimi', 'moonshotai/kimi-k2', 'moonshot-v1-8k'],
    ['glm', 'z-ai/glm-4.5'],
    ['gpt-oss', 'gpt-oss-120b', 'openai/gpt-oss-20b'],
    ['openai', 'gpt-4', 'o3', 'gpt-5.1-codex', 'ft:gpt-4o-mini:acme', 'gpt-realtime', 'GPT-5'],
    ['openai', 'a-model-that-nobody-knows', '', '__proto__', '<|endoftext|>', 'x'.repeat(1_000_000)],
  ]
  for (const [family, ...models] of table) {
    for (const model of models) {
      it(`takes ${model.slice(0, 60) || 'an empty name'} for ${family}`, () => {
        expect(tokenFamily(model).name).to.equal(family)
      })
    }
  }

  it('takes an absent name for a newer model of OpenAI, and knows that it does not know it', () => {
    expect(tokenFamily(undefined)).to.include({ name: 'openai', encoding: 'o200k_base', isKnown: false })
    expect(tokenFamily('my-deployment').isKnown).to.equal(false)
    expect(tokenFamily('gpt-4o').isKnown).to.equal(true)
  })

  it('counts older models of OpenAI by their own encoding, all others by the newest', () => {
    for (const model of [
      'gpt-4',
      'gpt-4-turbo',
      'gpt-3.5-turbo',
      'gpt-35-turbo',
      'text-embedding-3-small',
      'gpt-4-0613',
    ])
      expect(tokenFamily(model).encoding).to.equal('cl100k_base')
    for (const model of [
      'gpt-4o',
      'gpt-4.1-mini',
      'gpt-4.5-preview',
      'o3',
      'gpt-5',
      'claude-3-opus',
      'gemini-2.5-flash',
    ])
      expect(tokenFamily(model).encoding).to.equal('o200k_base')
  })

  it('has figures for each family that are of the order of tokens', () => {
    for (const [, ...models] of table) {
      for (const model of models) {
        const { calibrated } = tokenFamily(model)
        if (calibrated === undefined) continue
        const { prompt, output } = calibrated
        for (const factor of [prompt.factor, output.factor]) expect(factor).to.be.within(0.8, 1.6)
        expect(prompt.base).to.be.within(-10, 700)
      }
    }
  })
})
