import { readUsage, type ReportedUsage, type UsageShape } from '@tallygate/metering'
import { expect } from 'chai'

type Row = readonly [what: string, raw: Readonly<Record<string, unknown>>, usage: ReportedUsage | undefined]

/** What is stated in each shape, one figure to be replaced. */
const FIGURES: Readonly<Partial<Record<UsageShape, readonly string[]>>> = {
  'openai-chat': ['prompt_tokens', 'completion_tokens', 'total_tokens'],
  'openai-responses': ['input_tokens', 'output_tokens', 'total_tokens'],
  anthropic: ['input_tokens', 'output_tokens'],
  gemini: ['promptTokenCount', 'candidatesTokenCount', 'totalTokenCount'],
}
const NO_FIGURES: readonly (readonly [what: string, value: unknown])[] = [
  ['null', null],
  ['a string', '12'],
  ['true', true],
  ['an object', { value: 12 }],
  ['an array', [12]],
  ['a number beyond all numbers', JSON.parse('1e999')],
]

describe('readUsage', () => {
  const table: Readonly<Partial<Record<UsageShape, readonly Row[]>>> = {
    'openai-chat': [
      [
        'cached and reasoning as parts',
        {
          prompt_tokens: 10,
          completion_tokens: 5,
          total_tokens: 15,
          prompt_tokens_details: { cached_tokens: 8, cache_write_tokens: 1 },
          completion_tokens_details: { reasoning_tokens: 4 },
        },
        { input: 10, output: 5, total: 15, cacheRead: 8, cacheWrite: 1, reasoning: 4 },
      ],
      [
        'zeros as zeros',
        { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0, prompt_tokens_details: { cached_tokens: 0 } },
        { input: 0, output: 0, total: 0, cacheRead: 0 },
      ],
      ['no total as the sum', { prompt_tokens: 10, completion_tokens: 5 }, { input: 10, output: 5, total: 15 }],
      [
        'details that are null as unknown',
        {
          prompt_tokens: 1,
          completion_tokens: 1,
          total_tokens: 2,
          prompt_tokens_details: null,
          completion_tokens_details: null,
        },
        { input: 1, output: 1, total: 2 },
      ],
      [
        'reasoning beside the completion as output',
        {
          prompt_tokens: 10,
          completion_tokens: 5,
          total_tokens: 115,
          completion_tokens_details: { reasoning_tokens: 100 },
        },
        { input: 10, output: 105, total: 115, reasoning: 100, flags: ['total-explained'] },
      ],
      [
        'audio beside the prompt as input',
        { prompt_tokens: 10, completion_tokens: 5, total_tokens: 40, prompt_tokens_details: { audio_tokens: 25 } },
        { input: 35, output: 5, total: 40, audioInput: 25, flags: ['total-explained'] },
      ],
      [
        'a gap that nothing explains as output, flagged',
        { prompt_tokens: 35, completion_tokens: 12, total_tokens: 109 },
        { input: 35, output: 74, total: 109, flags: ['total-gap'] },
      ],
      [
        'a total below the parts as it is',
        { prompt_tokens: 10, completion_tokens: 5, total_tokens: 3 },
        { input: 10, output: 5, total: 3, flags: ['total-mismatch'] },
      ],
      [
        'cache hits in their own member',
        {
          prompt_tokens: 10,
          completion_tokens: 5,
          total_tokens: 15,
          prompt_cache_hit_tokens: 7,
          prompt_cache_miss_tokens: 3,
        },
        { input: 10, output: 5, total: 15, cacheRead: 7 },
      ],
      [
        'a part larger than its whole as it is',
        { prompt_tokens: 208, completion_tokens: 1, total_tokens: 209, prompt_tokens_details: { cached_tokens: 314 } },
        { input: 208, output: 1, total: 209, cacheRead: 314 },
      ],
      [
        'a figure below 0 as it is',
        { prompt_tokens: 3, completion_tokens: -9, total_tokens: -6 },
        { input: 3, output: -9, total: -6 },
      ],
      [
        'a fraction as it is',
        { prompt_tokens: 1.5, completion_tokens: 2, total_tokens: 3.5 },
        { input: 1.5, output: 2, total: 3.5 },
      ],
      ['figures of something else as none', { topicPolicyUnits: 1 }, undefined],
      ['no figures as none', {}, undefined],
    ],
    'openai-responses': [
      [
        'cached and reasoning as parts',
        {
          input_tokens: 10,
          input_tokens_details: { cached_tokens: 8, cache_write_tokens: 2 },
          output_tokens: 5,
          output_tokens_details: { reasoning_tokens: 4 },
          total_tokens: 15,
        },
        { input: 10, output: 5, total: 15, cacheRead: 8, cacheWrite: 2, reasoning: 4 },
      ],
      [
        'a figure below 0 as it is',
        { input_tokens: 3, output_tokens: -9, total_tokens: -6 },
        { input: 3, output: -9, total: -6 },
      ],
      [
        'figures in the words of chat completions',
        { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
        { input: 10, output: 5, total: 15 },
      ],
      ['no figures as none', { type: 'tokens' }, undefined],
    ],
    anthropic: [
      [
        'what the cache read and wrote as input',
        {
          input_tokens: 1,
          cache_creation_input_tokens: 20,
          cache_read_input_tokens: 300,
          output_tokens: 4,
          output_tokens_details: { thinking_tokens: 3 },
        },
        { input: 321, output: 4, total: 325, cacheRead: 300, cacheWrite: 20, reasoning: 3 },
      ],
      [
        'a cache that is not mentioned as unused',
        { input_tokens: 1, output_tokens: 4 },
        { input: 1, output: 4, total: 5, cacheRead: 0, cacheWrite: 0 },
      ],
      ['no output as unknown', { input_tokens: 7 }, { input: 7, total: 7, cacheRead: 0, cacheWrite: 0 }],
      ['no input as unknown', { output_tokens: 7 }, { output: 7, total: 7, cacheRead: 0, cacheWrite: 0 }],
      [
        'runs that the sums leave out apart, as the sum of all',
        {
          input_tokens: 682,
          output_tokens: 10,
          iterations: [
            { type: 'compaction', input_tokens: 60_385, output_tokens: 500 },
            { type: 'message', input_tokens: 682, output_tokens: 10, cache_read_input_tokens: 5 },
          ],
        },
        {
          input: 682,
          output: 10,
          total: 692,
          cacheRead: 0,
          cacheWrite: 0,
          runs: {
            input: 61_072,
            output: 510,
            total: 61_582,
            cacheRead: 5,
            cacheWrite: 0,
            flags: ['iterations-summed'],
          },
        },
      ],
      [
        'iterations without compaction as included',
        {
          input_tokens: 10,
          output_tokens: 3,
          iterations: [
            { type: 'message', input_tokens: 6, output_tokens: 1 },
            { type: 'message', input_tokens: 4, output_tokens: 2 },
          ],
        },
        { input: 10, output: 3, total: 13, cacheRead: 0, cacheWrite: 0 },
      ],
      ['no figures as none', { service_tier: 'standard', cache_read_input_tokens: 5 }, undefined],
    ],
    gemini: [
      [
        'thoughts as output, what tools put in as input',
        {
          promptTokenCount: 11,
          candidatesTokenCount: 5,
          thoughtsTokenCount: 20,
          toolUsePromptTokenCount: 3,
          cachedContentTokenCount: 8,
          totalTokenCount: 39,
        },
        { input: 14, output: 25, total: 39, cacheRead: 8, reasoning: 20, toolUseInput: 3 },
      ],
      [
        'no candidates as no output',
        { promptTokenCount: 20, totalTokenCount: 20 },
        { input: 20, output: 0, total: 20 },
      ],
      [
        'no candidates but thoughts as those',
        { promptTokenCount: 20, thoughtsTokenCount: 7, totalTokenCount: 27 },
        { input: 20, output: 7, total: 27, reasoning: 7 },
      ],
      ['no total as the sum', { promptTokenCount: 20, candidatesTokenCount: 2 }, { input: 20, output: 2, total: 22 }],
      ['figures of something else as none', { trafficType: 'ON_DEMAND' }, undefined],
    ],
  }
  for (const shape of Object.keys(table) as UsageShape[]) {
    for (const [what, raw, usage] of table[shape] ?? []) {
      it(`takes ${what}, in ${shape}`, () => {
        const read = readUsage(shape, raw)
        expect(read && JSON.parse(JSON.stringify(read))).to.deep.equal(usage)
      })
    }

    for (const [what, value] of NO_FIGURES) {
      it(`takes ${what} for nothing said, never for 0, in ${shape}`, () => {
        const all = Object.fromEntries((FIGURES[shape] ?? []).map((name) => [name, value]))
        expect(readUsage(shape, all)).to.equal(undefined)
      })
    }
  }

  for (const [what, value] of NO_FIGURES.filter(([, value]) => value !== null)) {
    it(`takes ${what} in one place for nothing said there, never for 0`, () => {
      expect(readUsage('openai-responses', { input_tokens: 3, output_tokens: value })?.output).to.equal(undefined)
      expect(readUsage('anthropic', { input_tokens: 3, output_tokens: value })?.output).to.equal(undefined)
      expect(readUsage('anthropic', { input_tokens: value, output_tokens: 3 })?.input).to.equal(undefined)
      expect(readUsage('anthropic', { input_tokens: 3, cache_read_input_tokens: value })?.cacheRead).to.equal(undefined)
      expect(readUsage('gemini', { promptTokenCount: 3, candidatesTokenCount: value })?.output).to.equal(undefined)
    })
  }

  it('goes by the first of several places of a figure, in whatever order a provider writes them', () => {
    const parts = [
      ['prompt_tokens_details', { cached_tokens: 5 }],
      ['prompt_cache_hit_tokens', 3],
      ['cached_tokens', 2],
    ] as const
    for (const each of [parts, parts.toReversed()]) {
      const raw = { prompt_tokens: 10, completion_tokens: 1, ...Object.fromEntries(each) }
      expect(readUsage('openai-chat', raw)?.cacheRead).to.equal(5)
    }
  })
})
