import { NANOS_PER_DOLLAR, type UsageEntry } from '@tallygate/core'
import type { Counter, Gauge, Histogram, Meter } from '@opentelemetry/api'
import { ATTRIBUTE, DURATION_BOUNDARIES, METRIC, TOKEN_BOUNDARIES } from './names.ts'
import { cut, present } from './attributes.ts'
import type { CallDescription } from './telemetry.ts'

const TOKENS = { unit: '{token}' }
const MOST_MODELS = 200
const OTHER_MODEL = '_OTHER'
const FIGURES = [
  'inputTokens',
  'outputTokens',
  'cacheReadTokens',
  'cacheWriteTokens',
  'reasoningTokens',
  'seconds',
  'images',
  'searches',
] as const

/** The instruments of one meter, and what is measured of a call. Labels never hold a key. */
export class Instruments {
  readonly decisions: Counter
  readonly delayed: Counter
  readonly dropped: Counter
  readonly storeAway: Gauge
  readonly overshoot: Counter
  readonly cuts: Counter
  readonly drift: Histogram
  readonly rebuilt: Counter
  readonly #entries: Counter
  readonly #tokenUsage: Histogram
  readonly #duration: Histogram
  readonly #cost: Counter
  readonly #models = new Set<string>()
  readonly #counters: Readonly<Record<(typeof FIGURES)[number], Counter>>

  constructor(meter: Meter) {
    this.decisions = meter.createCounter(METRIC.decisions, { unit: '{decision}', description: 'Decisions on calls' })
    this.delayed = meter.createCounter(METRIC.delayed, { description: 'What could not be written or settled at once' })
    this.dropped = meter.createCounter(METRIC.dropped, { description: 'What was given up' })
    this.storeAway = meter.createGauge(METRIC.storeAway, { description: 'Whether the counters are away' })
    this.overshoot = meter.createCounter(METRIC.overshoot, { description: 'Units that calls used beyond a quota' })
    this.cuts = meter.createCounter(METRIC.cuts, { unit: '{stream}', description: 'Streams cut at a quota' })
    this.rebuilt = meter.createCounter(METRIC.rebuilt, { description: 'Counters seeded from the ledger' })
    this.drift = meter.createHistogram(METRIC.drift, { description: 'Units counted less units in the ledger' })
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
    this.#cost = meter.createCounter(METRIC.cost, { description: 'What calls cost by the price book' })
    this.#counters = {
      inputTokens: meter.createCounter(METRIC.inputTokens, { ...TOKENS, description: 'Input tokens, cached included' }),
      outputTokens: meter.createCounter(METRIC.outputTokens, {
        ...TOKENS,
        description: 'Output tokens, reasoning included',
      }),
      cacheReadTokens: meter.createCounter(METRIC.cacheReadTokens, TOKENS),
      cacheWriteTokens: meter.createCounter(METRIC.cacheWriteTokens, TOKENS),
      reasoningTokens: meter.createCounter(METRIC.reasoningTokens, TOKENS),
      seconds: meter.createCounter(METRIC.seconds, { unit: 's', description: 'Seconds of audio' }),
      images: meter.createCounter(METRIC.images, { unit: '{image}', description: 'Images that were made' }),
      searches: meter.createCounter(METRIC.searches, {
        unit: '{search}',
        description: 'Searches, and units of ranking',
      }),
    }
  }

  /** A name that a caller made up is no label: each would be a time series of its own, for ever. */
  #modelLabel(model: string | undefined, isSuccess: boolean): string | undefined {
    const label = cut(model)
    if (label === undefined || this.#models.has(label)) return label
    if (!isSuccess || this.#models.size >= MOST_MODELS) return OTHER_MODEL
    this.#models.add(label)
    return label
  }

  recorded(
    { operation, provider, model }: CallDescription,
    { usage, responseModel, outcome, durationMs, status }: UsageEntry,
  ): void {
    const isSuccess = status !== undefined && status >= 200 && status < 300
    const labels = present({
      [ATTRIBUTE.operation]: operation,
      [ATTRIBUTE.provider]: provider,
      [ATTRIBUTE.requestModel]: this.#modelLabel(model, isSuccess),
      [ATTRIBUTE.responseModel]: this.#modelLabel(responseModel, isSuccess),
    })
    this.#entries.add(1, present({ [ATTRIBUTE.outcome]: outcome, [ATTRIBUTE.basis]: usage?.basis ?? 'none' }))
    this.#duration.record(durationMs / 1_000, labels)
    if (usage === undefined) return
    if (usage.costNanos !== undefined) this.#cost.add(usage.costNanos / NANOS_PER_DOLLAR, labels)
    for (const figure of FIGURES) {
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
