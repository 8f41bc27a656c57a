import type { UsageEntry } from '@tallygate/core'
import type { Counter, Histogram, Meter } from '@opentelemetry/api'
import { ATTRIBUTE, DURATION_BOUNDARIES, METRIC, TOKEN_BOUNDARIES } from './names.ts'
import { cut, present } from './attributes.ts'
import type { CallDescription } from './telemetry.ts'

const TOKENS = { unit: '{token}' }
const TOKEN_FIGURES = ['inputTokens', 'outputTokens', 'cacheReadTokens', 'cacheWriteTokens', 'reasoningTokens'] as const

/** The instruments of one meter, and what is measured of a call. Labels never hold a key. */
export class Instruments {
  readonly decisions: Counter
  readonly delayed: Counter
  readonly #entries: Counter
  readonly #tokenUsage: Histogram
  readonly #duration: Histogram
  readonly #counters: Readonly<Record<(typeof TOKEN_FIGURES)[number], Counter>>

  constructor(meter: Meter) {
    this.decisions = meter.createCounter(METRIC.decisions, { unit: '{decision}', description: 'Decisions on calls' })
    this.delayed = meter.createCounter(METRIC.delayed, { description: 'What could not be written or settled at once' })
    this.#entries = meter.createCounter(METRIC.entries, { unit: '{entry}', description: 'Ledger entries' })
    this.#tokenUsage = meter.createHistogram(METRIC.tokenUsage, {
      ...TOKENS,
      description: 'Number of input and output tokens used',
      advice: { explicitBucketBoundaries: TOKEN_BOUNDARIES },
    })
    this.#duration = meter.createHistogram(METRIC.duration, {
      unit: 's',
      description: 'Duration of calls',
      advice: { explicitBucketBoundaries: DURATION_BOUNDARIES },
    })
    this.#counters = {
      inputTokens: meter.createCounter(METRIC.inputTokens, { ...TOKENS, description: 'Input tokens, cached included' }),
      outputTokens: meter.createCounter(METRIC.outputTokens, {
        ...TOKENS,
        description: 'Output tokens, reasoning included',
      }),
      cacheReadTokens: meter.createCounter(METRIC.cacheReadTokens, TOKENS),
      cacheWriteTokens: meter.createCounter(METRIC.cacheWriteTokens, TOKENS),
      reasoningTokens: meter.createCounter(METRIC.reasoningTokens, TOKENS),
    }
  }

  recorded(
    { operation, provider, model }: CallDescription,
    { usage, responseModel, outcome, durationMs }: UsageEntry,
  ): void {
    const labels = present({
      [ATTRIBUTE.operation]: operation,
      [ATTRIBUTE.provider]: provider,
      [ATTRIBUTE.requestModel]: cut(model),
      [ATTRIBUTE.responseModel]: cut(responseModel),
    })
    this.#entries.add(1, present({ [ATTRIBUTE.outcome]: outcome, [ATTRIBUTE.basis]: usage?.basis ?? 'none' }))
    this.#duration.record(durationMs / 1_000, labels)
    if (usage === undefined) return
    for (const figure of TOKEN_FIGURES) {
      const amount = usage[figure]
      if (amount !== undefined) this.#counters[figure].add(amount, labels)
    }
    for (const [type, amount] of [
      ['input', usage.inputTokens],
      ['output', usage.outputTokens],
    ] as const) {
      if (amount !== undefined) this.#tokenUsage.record(amount, { ...labels, [ATTRIBUTE.tokenType]: type })
    }
  }
}
