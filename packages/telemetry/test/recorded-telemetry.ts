import { context, metrics, trace, type Attributes } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { MeterProvider, MetricReader, type MetricData } from '@opentelemetry/sdk-metrics'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider, type Sampler } from '@opentelemetry/sdk-trace'

class PulledReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** A real SDK that keeps in memory what it is told. */
export class RecordedTelemetry {
  readonly #exporter = new InMemorySpanExporter()
  readonly #reader = new PulledReader()
  readonly tracerProvider: TracerProvider
  readonly meterProvider: MeterProvider

  constructor(sampler?: Sampler) {
    const spanProcessors = [new SimpleSpanProcessor({ exporter: this.#exporter })]
    this.tracerProvider = new TracerProvider(sampler === undefined ? { spanProcessors } : { spanProcessors, sampler })
    this.meterProvider = new MeterProvider({ readers: [this.#reader] })
  }

  /** Makes it that of the whole process, until {@link stop}. */
  register(): this {
    trace.setGlobalTracerProvider(this.tracerProvider)
    metrics.setGlobalMeterProvider(this.meterProvider)
    return this
  }

  /** Spans that have ended. */
  get spans(): ReturnType<InMemorySpanExporter['getFinishedSpans']> {
    return this.#exporter.getFinishedSpans()
  }

  /** Names of the meters that something was measured with. */
  async scopes(): Promise<string[]> {
    return (await this.#reader.collect()).resourceMetrics.scopeMetrics.map(({ scope }) => scope.name)
  }

  /** What was measured, by the names of the metrics. */
  async metrics(): Promise<ReadonlyMap<string, MetricData>> {
    const { scopeMetrics } = (await this.#reader.collect()).resourceMetrics
    return new Map(scopeMetrics.flatMap(({ metrics }) => metrics.map((metric) => [metric.descriptor.name, metric])))
  }

  /** The values of one metric with their labels; of a histogram, the sums. */
  async values(name: string): Promise<readonly { labels: Attributes; value: unknown }[]> {
    const points = (await this.metrics()).get(name)?.dataPoints ?? []
    return points.map(({ attributes, value }) => ({
      labels: attributes,
      value: typeof value === 'number' ? value : value.sum,
    }))
  }

  async stop(): Promise<void> {
    trace.disable()
    metrics.disable()
    await Promise.all([this.tracerProvider.shutdown(), this.meterProvider.shutdown()])
  }
}

/** Lets spans be active across asynchronous work. Returns how to undo that. */
export function keepContext(): () => void {
  const manager = new AsyncLocalStorageContextManager().enable()
  context.setGlobalContextManager(manager)
  return () => {
    context.disable()
    manager.disable()
  }
}
