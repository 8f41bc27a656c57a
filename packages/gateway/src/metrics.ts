import type { RequestHandler } from 'express'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'

/** Metrics of a gateway, and the page that a Prometheus reads. */
export interface Metrics {
  readonly meterProvider: MeterProvider
  readonly page: RequestHandler
  close(): Promise<void>
}

/** One set of instruments for `/metrics`; nothing listens by itself. */
export function createMetrics(): Metrics {
  // Who is asked, a Prometheus says by itself: the SDK knows only an unknown service.
  const exporter = new PrometheusExporter({ preventServerStart: true, withoutTargetInfo: true })
  const meterProvider = new MeterProvider({ readers: [exporter] })
  return {
    meterProvider,
    page: (req, res) => exporter.getMetricsRequestHandler(req, res),
    close: () => meterProvider.shutdown(),
  }
}
