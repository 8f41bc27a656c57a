import {
  NANOS_PER_DOLLAR,
  type Admitted,
  type Decision,
  type LimitStatus,
  type Subject,
  type UsageEntry,
} from '@tallygate/core'
import {
  context,
  createNoopMeter,
  isSpanContextValid,
  metrics,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type MeterProvider,
  type Span,
  type Tracer,
  type TracerProvider,
} from '@opentelemetry/api'
import { cut, present } from './attributes.ts'
import { Instruments } from './instruments.ts'
import { ATTRIBUTE } from './names.ts'

export interface TelemetryOptions {
  /** Default: the one registered with `@opentelemetry/api`, whenever that happens. */
  readonly tracerProvider?: TracerProvider
  /** Default: the one registered with `@opentelemetry/api`, whenever that happens. */
  readonly meterProvider?: MeterProvider
}

/** What a call's span is told of the call itself. */
export interface CallDescription {
  readonly attemptId: string
  readonly callId: string
  readonly parentId?: string | undefined
  readonly operation?: string | undefined
  readonly provider?: string | undefined
  readonly model?: string | undefined
  readonly subject?: Subject | undefined
}

const NAME = '@tallygate/telemetry'
const NAME_OF_SPAN = 'gen_ai call'
const KIND = { kind: SpanKind.CLIENT } as const

/**
 * Spans and metrics of calls, on the OpenTelemetry API alone. Without an SDK nothing is recorded and next to nothing is
 * spent. Never sees a prompt or a secret.
 */
export class Telemetry {
  readonly #tracerProvider: TracerProvider | undefined
  readonly #meterProvider: MeterProvider | undefined
  #instruments: Instruments | undefined
  #instrumented: MeterProvider | undefined

  constructor({ tracerProvider, meterProvider }: TelemetryOptions = {}) {
    this.#tracerProvider = tracerProvider
    this.#meterProvider = meterProvider
  }

  /**
   * Begins the span of a call, as a child of the span that is active here.
   *
   * @param isCall Whether the request is for a provider. Of any other a span begins, in hindsight, only if it is recorded.
   */
  start(isCall = true): CallTelemetry {
    return new CallTelemetry((this.#tracerProvider ?? trace).getTracer(NAME), isCall, this.#metrics())
  }

  /** Counts what could not be written or settled at once. */
  delayed(what: 'entry' | 'settlement', count = 1): void {
    this.#metrics()?.delayed.add(count, { [ATTRIBUTE.reason]: what })
  }

  /** Counts what was given up. */
  dropped(what: 'settlement', count = 1): void {
    this.#metrics()?.dropped.add(count, { [ATTRIBUTE.reason]: what })
  }

  /** From now on this node takes its counter store for away, or for back. */
  storeAway(isAway: boolean): void {
    this.#metrics()?.storeAway.record(isAway ? 1 : 0)
  }

  /** Whether anybody reads metrics. */
  get measures(): boolean {
    return this.#metrics() !== undefined
  }

  /** Counts units that a call used beyond a quota. */
  overshot(limit: string, effect: 'refuse' | 'flag' | 'shadow', units: number): void {
    this.#metrics()?.overshoot.add(units, { [ATTRIBUTE.limit]: limit, [ATTRIBUTE.effect]: effect })
  }

  /** Counts a stream that was cut at a quota, or would have been, as the effect of its limit says. */
  streamCut(limit: string, effect: 'refuse' | 'flag' | 'shadow'): void {
    this.#metrics()?.cuts.add(1, { [ATTRIBUTE.limit]: limit, [ATTRIBUTE.effect]: effect })
  }

  /** Counts counters that were seeded from the ledger. */
  rebuilt(counters: number): void {
    this.#metrics()?.rebuilt.add(counters)
  }

  /** Notes by how much a counter differs from the ledger. Calls under way make a difference, too. */
  drifted(limit: string, units: number): void {
    this.#metrics()?.drift.record(units, { [ATTRIBUTE.limit]: limit })
  }

  /** Instruments of the provider in force; none where that is the API's own, which records nothing. */
  #metrics(): Instruments | undefined {
    const provider = this.#meterProvider ?? metrics.getMeterProvider()
    if (provider !== this.#instrumented) {
      this.#instrumented = provider
      const meter = provider.getMeter(NAME)
      this.#instruments = meter === createNoopMeter() ? undefined : new Instruments(meter)
    }
    return this.#instruments
  }
}

/** The span and the measurements of one call. Each method may be called when the call gets so far, in this order. */
export class CallTelemetry {
  readonly #tracer: Tracer
  readonly #parent: Context
  readonly #metrics: Instruments | undefined
  readonly #startedAtMs: number
  #span: Span | undefined
  #decided: Attributes | undefined
  /** The last word on the call, which is counted when it ends, once. */
  #counted: Attributes | undefined

  constructor(tracer: Tracer, isCall: boolean, instruments: Instruments | undefined) {
    this.#tracer = tracer
    this.#parent = context.active()
    this.#metrics = instruments
    this.#startedAtMs = isCall ? 0 : Date.now()
    if (isCall) this.#span = tracer.startSpan(NAME_OF_SPAN, KIND)
  }

  /** Whether anybody is told. */
  get isOn(): boolean {
    return this.#isTraced || this.#metrics !== undefined
  }

  /** Runs the rest of a call as part of its span, so that what it calls becomes a child of it. */
  run<T>(work: () => T): T {
    const span = this.#span
    // Also one that is not sampled: what the call does must not be sampled either.
    if (span === undefined || !isSpanContextValid(span.spanContext())) return work()
    return context.with(trace.setSpan(this.#parent, span), work)
  }

  /** The decision on the call: its own answer, the limit that is nearest, and what is left in it. */
  decided(decision: Decision): void {
    const nearest = decision.admitted ? nearestLimit(decision.statuses) : decision.binding
    const name = nearest === undefined ? undefined : nearest.bound.counter.name
    const said = decision.admitted ? admissionOf(decision) : 'refused'
    const reason = decision.admitted ? undefined : decision.reason
    // An admission without limits does not take back what an earlier decision said of some.
    const isWord = said !== 'admitted' || name !== undefined
    if ((this.#isTraced || this.#span === undefined) && (isWord || this.#decided === undefined)) {
      const remaining = nearest?.remaining ?? undefined
      this.#decided = present({
        [ATTRIBUTE.decision]: said,
        [ATTRIBUTE.reason]: reason,
        [ATTRIBUTE.limit]: name,
        [ATTRIBUTE.remaining]: remaining,
      })
    }
    if (this.#metrics !== undefined && (isWord || this.#counted === undefined)) {
      this.#counted = present({ [ATTRIBUTE.decision]: said, [ATTRIBUTE.reason]: reason, [ATTRIBUTE.limit]: name })
    }
    if (decision.admitted && this.#metrics !== undefined) {
      for (const { bound } of decision.tripped) {
        const would = bound.limit.definition.mode === 'shadow' ? 'shadow-refused' : 'flagged'
        this.#metrics.decisions.add(1, { [ATTRIBUTE.decision]: would, [ATTRIBUTE.limit]: bound.counter.name })
      }
    }
  }

  /** The call was answered by ourselves; ends the span. */
  denied(call: CallDescription, status: number, problem: string): void {
    this.#countDecision()
    const span = this.#span
    if (span === undefined || !span.isRecording()) return span?.end()
    this.#describe(span, call)
    span.setAttributes({ [ATTRIBUTE.status]: status, [ATTRIBUTE.errorType]: problem })
    span.setStatus({ code: SpanStatusCode.ERROR, message: problem })
    span.end()
  }

  /** The call has ended with this entry; ends the span. */
  recorded(call: CallDescription, entry: UsageEntry): void {
    this.#countDecision()
    this.#metrics?.recorded(call, entry)
    const span =
      this.#span ?? this.#tracer.startSpan(NAME_OF_SPAN, { ...KIND, startTime: this.#startedAtMs }, this.#parent)
    if (span.isRecording()) {
      this.#describe(span, call)
      const { usage } = entry
      span.setAttributes(
        present({
          [ATTRIBUTE.responseModel]: cut(entry.responseModel),
          [ATTRIBUTE.inputTokens]: usage?.inputTokens,
          [ATTRIBUTE.outputTokens]: usage?.outputTokens,
          [ATTRIBUTE.cacheReadTokens]: usage?.cacheReadTokens,
          [ATTRIBUTE.cacheWriteTokens]: usage?.cacheWriteTokens,
          [ATTRIBUTE.reasoningTokens]: usage?.reasoningTokens,
          [ATTRIBUTE.cost]: usage?.costNanos === undefined ? undefined : usage.costNanos / NANOS_PER_DOLLAR,
          [ATTRIBUTE.seconds]: usage?.seconds,
          [ATTRIBUTE.images]: usage?.images,
          [ATTRIBUTE.searches]: usage?.searches,
          [ATTRIBUTE.basis]: usage?.basis,
          [ATTRIBUTE.flags]: usage?.flags && [...usage.flags],
          [ATTRIBUTE.outcome]: entry.outcome,
          [ATTRIBUTE.overage]: entry.overage,
          [ATTRIBUTE.status]: entry.status,
          [ATTRIBUTE.plan]: entry.plans.map(({ name }) => name).join('+') || undefined,
        }),
      )
      if (entry.outcome === 'failed') {
        span.setAttribute(ATTRIBUTE.errorType, errorTypeOf(entry))
        span.setStatus({ code: SpanStatusCode.ERROR, message: 'provider failed' })
      }
    }
    span.end()
  }

  /** The call ended without an entry and without an answer of ours; ends the span. */
  ended(): void {
    this.#countDecision()
    if (this.#decided !== undefined) this.#span?.setAttributes(this.#decided)
    this.#span?.end()
  }

  #countDecision(): void {
    if (this.#counted === undefined) return
    this.#metrics?.decisions.add(1, this.#counted)
    this.#counted = undefined
  }

  get #isTraced(): boolean {
    return this.#span?.isRecording() === true
  }

  #describe(span: Span, { attemptId, callId, parentId, operation, provider, model, subject }: CallDescription): void {
    if (operation !== undefined) span.updateName(model === undefined ? operation : `${operation} ${cut(model)}`)
    span.setAttributes(
      present({
        ...this.#decided,
        [ATTRIBUTE.attempt]: attemptId,
        [ATTRIBUTE.call]: callId,
        [ATTRIBUTE.parent]: parentId,
        [ATTRIBUTE.operation]: operation,
        [ATTRIBUTE.provider]: provider,
        [ATTRIBUTE.requestModel]: cut(model),
        [ATTRIBUTE.subject]: subject?.id,
        [ATTRIBUTE.tenant]: subject?.tenant,
      }),
    )
  }
}

function admissionOf({ counted, withoutStore }: Admitted): 'admitted' | 'uncounted' | 'local' {
  if (counted) return 'admitted'
  return withoutStore === 'local' ? 'local' : 'uncounted'
}

/** The limit of which the smallest share is left. */
function nearestLimit(statuses: readonly LimitStatus[]): LimitStatus | undefined {
  let nearest: LimitStatus | undefined
  let least = Infinity
  for (const status of statuses) {
    if (status.quota === null || status.remaining === null) continue
    const share = status.quota === 0 ? 0 : status.remaining / status.quota
    if (share < least) {
      least = share
      nearest = status
    }
  }
  return nearest
}

/** The status of an answer that is an error; else the answer broke off, or there was none. */
function errorTypeOf({ status }: UsageEntry): string {
  return status !== undefined && status >= 400 ? String(status) : 'provider-broke-off'
}
