import {
  UsageCollector,
  USAGE_SHAPES,
  JsonPicker,
  type Raw,
  type ReportedUsage,
  type UsageShape,
} from '@tallygate/metering'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const SHAPES = Object.keys(USAGE_SHAPES) as UsageShape[]
const names = fc.constantFrom(
  'usage',
  'usageMetadata',
  'message',
  'response',
  'meta',
  'tokens',
  'billed_units',
  'choices',
  'results',
  'predictions',
  'details',
  'prompt_tokens',
  'completion_tokens',
  'input_tokens',
  'output_tokens',
  'total_tokens',
  'inputTokens',
  'promptTokenCount',
  'iterations',
  'prompt_tokens_details',
  'cached_tokens',
  'data',
  'duration',
  'type',
  'status',
  'model',
  '__proto__',
  'constructor',
)
const { document } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, -1, 1.5, 1e308, 7, 'text', ''),
    fc.array(tie('value'), { maxLength: 3 }),
    { weight: 3, arbitrary: tie('document') },
  ),
  document: fc.dictionary(names, tie('value'), { maxKeys: 6, noNullPrototype: true }),
}))

function read(shape: UsageShape, documents: readonly unknown[]): UsageCollector {
  const collector = new UsageCollector(shape)
  for (const each of documents) collector.absorb(each as Raw)
  return collector
}

describe('UsageCollector', () => {
  for (const shape of SHAPES) {
    it(`of ${shape} throws nothing and states numbers, whatever comes`, () => {
      fc.assert(
        fc.property(fc.array(document, { maxLength: 3 }), (documents) => {
          const parsed = documents.map((each): unknown => JSON.parse(JSON.stringify(each)))
          const { reported, shown } = read(shape, parsed).reading
          for (const usage of [reported, shown]) expectFigures(usage)
          const collector = new UsageCollector(shape)
          for (const each of parsed) {
            const picker = new JsonPicker(USAGE_SHAPES[shape].picks, collector)
            picker.write(Buffer.from(JSON.stringify(each)))
            picker.end()
          }
          expectFigures(collector.reading.reported)
        }),
        { numRuns: runs(300) },
      )
    })

    it(`of ${shape} takes nothing for usage that stands in text, tools or metadata`, () => {
      const usage = {
        prompt_tokens: 9,
        completion_tokens: 9,
        input_tokens: 9,
        output_tokens: 9,
        promptTokenCount: 9,
        inputTokens: 9,
      }
      const trap = { usage, usageMetadata: usage, text: JSON.stringify({ usage }) }
      const answer = {
        choices: [{ message: { content: JSON.stringify(trap), tool_calls: [{ function: { arguments: trap } }] } }],
        content: [{ type: 'tool_use', input: trap }],
        output: [trap],
        candidates: [{ content: { parts: [{ functionCall: { args: trap } }] } }],
        trace: { guardrail: { inputAssessment: { g: { invocationMetrics: trap } } } },
        'amazon-bedrock-trace': { guardrail: { input: { g: { invocationMetrics: trap } } } },
        error: trap,
        input: trap,
        request: trap,
      }
      const isInteractions = shape === 'interactions' || shape === 'converse' || shape === 'invoke'
      const more = isInteractions ? {} : { metadata: trap }
      expect(read(shape, [{ ...answer, ...more }]).reading.reported).to.equal(undefined)
    })
  }

  it('lets no member of an answer reach the prototype of objects', () => {
    read('openai-chat', [JSON.parse('{"usage":{"__proto__":{"polluted":1},"prompt_tokens":1}}')])
    expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined)
  })

  it('keeps figures where a later event has null in their place, and none of what text is', () => {
    const long = 'x'.repeat(1_000)
    const { reported, raw } = read('anthropic', [
      { message: { usage: { input_tokens: 5, cache_read_input_tokens: 7, output_tokens: 1, note: long } } },
      { usage: { input_tokens: null, output_tokens: 9 } },
    ]).reading
    expect(reported).to.include({ input: 12, output: 9, cacheRead: 7 })
    expect(JSON.stringify(raw)).to.not.include(long)
  })

  it('says that a response goes on in the background until it does not', () => {
    const collector = new UsageCollector('openai-responses')
    collector.absorb({ status: 'queued', usage: null })
    expect(collector.reading.isPending).to.equal(true)
    collector.absorb({ status: 'completed', usage: { input_tokens: 1, output_tokens: 1 } })
    expect(collector.reading.isPending).to.equal(false)
  })

  it('does not take a stream that is under way for a response in the background', () => {
    const collector = new UsageCollector('interactions')
    collector.absorb({ event_type: 'interaction.status_update', interaction_id: 'a', status: 'in_progress' })
    expect(collector.reading.isPending).to.equal(false)
  })

  it('states what headers say only where nothing else does', () => {
    const collector = new UsageCollector('invoke')
    collector.absorbHeaders((name) => (name === 'x-amzn-bedrock-input-token-count' ? '8' : undefined))
    expect(collector.reading.reported).to.include({ input: 8 })
    collector.absorb({ usage: { input_tokens: 7, output_tokens: 2 } })
    expect(collector.reading.reported).to.include({ input: 7, output: 2 })
  })

  it('changes no document that it takes, nor what it has given of one', () => {
    const start = { message: { usage: { input_tokens: 3, output_tokens: 1 } } }
    const collector = read('anthropic', [start])
    const { raw } = collector.reading
    collector.absorb({ usage: { output_tokens: 9 } })
    expect(collector.reading.raw).to.deep.equal({ input_tokens: 3, output_tokens: 9 })
    expect(start.message.usage).to.deep.equal({ input_tokens: 3, output_tokens: 1 })
    expect(raw).to.deep.equal({ input_tokens: 3, output_tokens: 1 })
  })

  it('adds what each answer of a session states, also of one that is its first again', () => {
    const done = {
      type: 'response.done',
      response: { usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 } },
    }
    const twice = { ...done, usage: { input_tokens: 10, output_tokens: 5, total_tokens: 15 } }
    expect(read('realtime', [done, twice, done]).reading.reported).to.include({ input: 30, output: 15, total: 45 })
  })
})

function expectFigures(usage: ReportedUsage | undefined): void {
  for (const [name, value] of Object.entries(usage ?? {})) {
    if (typeof value === 'number') expect(Number.isNaN(value), name).to.equal(false)
  }
}
