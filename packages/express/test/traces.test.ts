import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { context, trace, SpanStatusCode } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { TracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace'
import { expect } from 'chai'
import express from 'express'
import { ask, closeTestBeds, HELLO, openTestBed } from './test-bed.ts'

const PLAN = {
  name: 'pro',
  limits: [{ name: 'calls', unit: 'requests', quota: 2, window: { kind: 'lifetime' } }],
} as const

describe('spans and metrics of calls, in a real SDK', () => {
  const spans = new InMemorySpanExporter()
  const tracerProvider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter: spans })] })
  const exported = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: exported, exportIntervalMillis: 3_600_000 })
  const meterProvider = new MeterProvider({ readers: [reader] })

  before(() => context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()))
  after(async () => {
    context.disable()
    await tracerProvider.shutdown()
    await meterProvider.shutdown()
  })
  afterEach(async () => {
    await closeTestBeds()
    spans.reset()
  })

  /** A server that has a span of its own for each request. */
  async function served(): Promise<{
    url: string
    found: () => Promise<ReadableSpan[]>
    inner: () => string | undefined
  }> {
    const bed = await openTestBed({
      plans: [PLAN],
      defaultPlans: ['pro'],
      telemetry: { tracerProvider, meterProvider },
    })
    bed.provider.script = { usage: { input: 100, output: 20, cached: 40, reasoning: 5 } }
    const host = tracerProvider.getTracer('host')
    let inner: string | undefined
    const app = express()
    app.use((_req, res, next) => {
      host.startActiveSpan('host request', (span) => {
        res.once('close', () => span.end())
        next()
      })
    })
    app.use(quotaMiddleware({ quota: bed.quota }), (_req, _res, next) => {
      inner = trace.getActiveSpan()?.spanContext().spanId
      next()
    })
    app.post('/own', (_req, res) => void res.send('of the host'))
    const url = await bed.serve(app.use(llmProxy({ target: bed.provider.url })))
    return {
      url,
      inner: () => inner,
      async found() {
        await bed.quota.drain()
        return spans.getFinishedSpans().filter(({ name }) => name !== 'host request')
      },
    }
  }

  it('a call is a child of the host’s span, and what it calls a child of the call', async () => {
    const { url, found, inner } = await served()
    await ask(url, { headers: { 'x-tallygate-parent': 'run-1' } })
    const [span, ...others] = await found()
    expect(others).to.deep.equal([])
    const [hostSpan] = spans.getFinishedSpans().filter(({ name }) => name === 'host request')
    expect(span!.parentSpanContext!.spanId).to.equal(hostSpan!.spanContext().spanId)
    expect(inner()).to.equal(span!.spanContext().spanId)
    expect(span!.name).to.equal('chat gpt-4o')
    expect(span!.attributes).to.deep.include({
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.response.model': 'gpt-4o',
      'gen_ai.usage.input_tokens': 100,
      'gen_ai.usage.output_tokens': 20,
      'gen_ai.usage.cache_read.input_tokens': 40,
      'gen_ai.usage.reasoning.output_tokens': 5,
      'http.response.status_code': 200,
      'tallygate.decision': 'admitted',
      'tallygate.limit': 'pro/calls',
      'tallygate.limit.remaining': 1,
      'tallygate.usage.basis': 'reported',
      'tallygate.outcome': 'complete',
      'tallygate.plan': 'pro',
      'tallygate.parent.id': 'run-1',
    })
    expect(span!.attributes['tallygate.subject']).to.match(/^key_/)
    expect(JSON.stringify(span!.attributes)).to.not.include('sk-a-key').and.not.include('Hello')
  })

  it('a refused call says so', async () => {
    const { url, found } = await served()
    for (let time = 0; time < 3; time += 1) await ask(url)
    const refused = (await found()).at(-1)!
    expect(refused.status.code).to.equal(SpanStatusCode.ERROR)
    expect(refused.attributes).to.deep.include({
      'tallygate.decision': 'refused',
      'tallygate.decision.reason': 'no-room',
      'tallygate.limit': 'pro/calls',
      'tallygate.limit.remaining': 0,
      'http.response.status_code': 429,
      'error.type': 'quota-exhausted',
    })
  })

  it('a route of no provider has no span of ours', async () => {
    const { url, found } = await served()
    await ask(`${url}/v1/unknown`, { body: HELLO })
    expect(await found()).to.deep.equal([])
  })

  it('a route of no provider that is counted has a span in hindsight', async () => {
    const { url, found } = await served()
    await ask(`${url}/own`)
    const [span, ...others] = await found()
    expect(others).to.deep.equal([])
    expect(span!.attributes).to.deep.include({ 'tallygate.decision': 'admitted', 'tallygate.outcome': 'complete' })
    expect(span!.parentSpanContext).not.to.equal(undefined)
  })

  it('metrics count tokens and entries, and each call’s decision once', async () => {
    const { url, found } = await served()
    const before = decisionsIn(await collected())
    for (let time = 0; time < 3; time += 1) await ask(url, { key: 'sk-for-metrics' })
    await found()
    const points = await collected()
    const decided = points('tallygate.decisions').map(({ attributes }) => attributes['tallygate.decision'])
    expect(decided).to.include.members(['admitted', 'refused'])
    expect(decisionsIn(points) - before).to.equal(3)
    const input = points('gen_ai.client.inference.usage.input_tokens')[0]!
    expect(input.value).to.be.a('number').that.is.at.least(200)
    expect(input.attributes).to.deep.include({ 'gen_ai.request.model': 'gpt-4o', 'gen_ai.provider.name': 'openai' })
    expect(points('gen_ai.client.token.usage')).to.have.length.at.least(2)
    expect(points('tallygate.entries')[0]!.attributes).to.deep.include({ 'tallygate.usage.basis': 'reported' })
  })

  interface Point {
    readonly value: unknown
    readonly attributes: Readonly<Record<string, unknown>>
  }

  /** The data points of each metric, by its name. */
  async function collected(): Promise<(name: string) => readonly Point[]> {
    exported.reset()
    await reader.forceFlush()
    const metrics = (exported.getMetrics()[0]?.scopeMetrics ?? []).flatMap(({ metrics: each }) => each)
    return (name) => metrics.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? []
  }

  function decisionsIn(points: (name: string) => readonly Point[]): number {
    return points('tallygate.decisions').reduce((sum, { value }) => sum + Number(value), 0)
  }
})
