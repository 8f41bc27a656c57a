import type { RequestHandler } from 'express'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import type { SqliteLedger } from '@tallygate/store-sql'

/** Metrics of a gateway, and the page that a Prometheus reads. */
export interface Metrics {
  readonly meterProvider: MeterProvider
  readonly page: RequestHandler
  /** Measures from now on how many entries the database of a ledger has not taken. */
  watch(ledger: Pick<SqliteLedger, 'waiting'>): void
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
    watch(ledger) {
      const description = 'Entries in the journal of the ledger that its database has not taken'
      const gauge = meterProvider.getMeter('@tallygate/gateway').createObservableGauge('tallygate.ledger.waiting', {
        unit: '{entry}',
        description,
      })
      gauge.addCallback((result) => result.observe(ledger.waiting))
    },
    close: () => meterProvider.shutdown(),
  }
}
