import { tellAddress } from './tell-address.ts'
// #region telemetry
import { metrics } from '@opentelemetry/api'
import { ConsoleMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { quotaMiddleware } from '@tallygate/express'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

// Whatever SDK the server has registered already is used; this one prints every ten seconds.
const reader = new PeriodicExportingMetricReader({
  exporter: new ConsoleMetricExporter(),
  exportIntervalMillis: 10_000,
})
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }))

const app = express()
app.use(
  '/v1',
  quotaMiddleware({ limit: 100, windowMs: 60_000 }),
  createProxyMiddleware({ target: `${process.env['PROVIDER'] ?? 'https://api.openai.com'}/v1`, changeOrigin: true }),
)
// #endregion telemetry

const server = app.listen(Number(process.env['PORT'] ?? 3000))
tellAddress(server)
