import { context, type HrTime, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api'
import { AlwaysOffSampler, ParentBasedSampler } from '@opentelemetry/sdk-trace'
import { Telemetry } from '@tallygate/telemetry'
import { expect } from 'chai'
import { keepContext, RecordedTelemetry } from './recorded-telemetry.ts'
import { CALL, decisionOn, decisionWithoutStore, ENTRY, perDay } from './told.ts'

describe('Telemetry', () => {
  describe('without an SDK', () => {
    it('is off, and does all the same', async () => {
      const telemetry = new Telemetry()
      const call = telemetry.start()
      expect(call.isOn).to.equal(false)
      call.decided(await decisionOn([perDay('requests', 1)], { requests: 1 }))
      call.denied(CALL, 429, 'rate-limited')
      call.recorded(CALL, ENTRY)
      call.ended()
      telemetry.delayed('entry')
    })

    it('runs work as it is: no span, no other context, its own errors', () => {
      const call = new Telemetry().start()
      const before = context.active()
      expect(call.run(() => [trace.getActiveSpan(), context.active() === before])).to.deep.equal([undefined, true])
      expect(() => call.run(() => void JSON.parse('x'))).to.throw(SyntaxError)
    })
  })

  describe('with an SDK', () => {
    let sdk: RecordedTelemetry
    let telemetry: Telemetry
    let forgetContext: () => void
    beforeEach(() => {
      forgetContext = keepContext()
      sdk = new RecordedTelemetry()
      telemetry = new Telemetry(sdk)
    })
    afterEach(async () => {
      await sdk.stop()
      forgetContext()
    })

    it('makes one span of a call, with the names of the conventions', async () => {
      const call = telemetry.start()
      expect(call.isOn).to.equal(true)
      call.decided(
        await decisionOn([perDay('requests', 10), perDay('tokens', 1_000, { unit: 'tokens' })], {
          requests: 1,
          tokens: 400,
        }),
      )
      call.recorded(CALL, ENTRY)
      expect(sdk.spans).to.have.lengthOf(1)
      expect(sdk.spans[0]).to.deep.include({
        name: 'chat gpt-4o',
        kind: SpanKind.CLIENT,
        status: { code: SpanStatusCode.UNSET },
      })
      expect(sdk.spans[0]?.attributes).to.deep.equal({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'gpt-4o',
        'gen_ai.response.model': 'gpt-4o-2024',
        'gen_ai.usage.input_tokens': 120,
        'gen_ai.usage.output_tokens': 30,
        'gen_ai.usage.cache_read.input_tokens': 100,
        'gen_ai.usage.cache_write.input_tokens': 0,
        'gen_ai.usage.reasoning.output_tokens': 12,
        'http.response.status_code': 200,
        'tallygate.decision': 'admitted',
        'tallygate.limit': 'free/tokens',
        'tallygate.limit.remaining': 600,
        'tallygate.usage.basis': 'reported',
        'tallygate.outcome': 'complete',
        'tallygate.overage': false,
        'tallygate.tenant': 'acme',
        'tallygate.subject': 'key:k1',
        'tallygate.plan': 'free+extra',
        'tallygate.attempt.id': 'a1',
        'tallygate.call.id': 'c1',
        'tallygate.parent.id': 'run-7',
      })
    })

    it('leaves out what nobody knows', () => {
      const { usage: _, status: __, responseModel: ___, ...unknown } = ENTRY
      telemetry.start().recorded({ attemptId: 'a1', callId: 'c1' }, { ...unknown, plans: [], outcome: 'aborted' })
      expect(sdk.spans[0]?.name).to.equal('gen_ai call')
      expect(sdk.spans[0]?.attributes).to.deep.equal({
        'tallygate.attempt.id': 'a1',
        'tallygate.call.id': 'c1',
        'tallygate.outcome': 'aborted',
        'tallygate.overage': false,
      })
    })

    it('keeps no more than 128 characters of names that come from outside', () => {
      const [model, responseModel] = ['m'.repeat(500), 'r'.repeat(500)]
      telemetry.start().recorded({ ...CALL, model }, { ...ENTRY, responseModel })
      expect(sdk.spans[0]?.name).to.equal(`chat ${'m'.repeat(128)}`)
      expect(sdk.spans[0]?.attributes).to.include({
        'gen_ai.request.model': 'm'.repeat(128),
        'gen_ai.response.model': 'r'.repeat(128),
      })
    })

    it('makes the span a child of the one that is active, and what the call does children of it', async () => {
      const tracer = sdk.tracerProvider.getTracer('host')
      await tracer.startActiveSpan('request', async (request) => {
        const call = telemetry.start()
        await call.run(async () => {
          await Promise.resolve()
          tracer.startSpan('store').end()
        })
        call.recorded(CALL, ENTRY)
        expect(trace.getActiveSpan()).to.equal(request)
        request.end()
      })
      const [store, call, request] = sdk.spans
      expect([store?.name, call?.name, request?.name]).to.deep.equal(['store', 'chat gpt-4o', 'request'])
      expect(store?.parentSpanContext?.spanId).to.equal(call?.spanContext().spanId)
      expect(call?.parentSpanContext?.spanId).to.equal(request?.spanContext().spanId)
      expect(request?.parentSpanContext).to.equal(undefined)
    })

    it('gives back what the work gives, and its errors', async () => {
      const call = telemetry.start()
      expect(call.run(() => 7)).to.equal(7)
      expect(() => call.run(() => void JSON.parse('x'))).to.throw(SyntaxError)
      call.ended()
      expect(sdk.spans).to.have.lengthOf(1)
    })

    it('marks a denial as an error, of its kind', async () => {
      const call = telemetry.start()
      call.decided(await decisionOn([perDay('requests', 1)], { requests: 1 }, { requests: 1 }))
      call.denied(CALL, 429, 'rate-limited')
      expect(sdk.spans).to.have.lengthOf(1)
      expect(sdk.spans[0]).to.deep.include({
        name: 'chat gpt-4o',
        status: { code: SpanStatusCode.ERROR, message: 'rate-limited' },
      })
      expect(sdk.spans[0]?.attributes).to.include({
        'tallygate.decision': 'refused',
        'tallygate.decision.reason': 'no-room',
        'tallygate.limit': 'free/requests',
        'tallygate.limit.remaining': 0,
        'http.response.status_code': 429,
        'error.type': 'rate-limited',
        'tallygate.subject': 'key:k1',
      })
    })

    const ends: readonly (readonly [
      what: string,
      entry: Partial<typeof ENTRY>,
      code: SpanStatusCode,
      type?: string,
    ])[] = [
      ['an answer of a provider that is an error', { outcome: 'failed', status: 500 }, SpanStatusCode.ERROR, '500'],
      ['a provider that broke off', { outcome: 'failed', status: 200 }, SpanStatusCode.ERROR, 'provider-broke-off'],
      [
        'a provider that did not answer',
        { outcome: 'failed', status: undefined },
        SpanStatusCode.ERROR,
        'provider-broke-off',
      ],
      ['a caller who hung up', { outcome: 'aborted' }, SpanStatusCode.UNSET],
      ['an answer that is complete', { outcome: 'complete' }, SpanStatusCode.UNSET],
    ]
    for (const [what, entry, code, type] of ends) {
      it(`${code === SpanStatusCode.ERROR ? 'takes' : 'does not take'} ${what} for an error`, () => {
        telemetry.start().recorded(CALL, { ...ENTRY, ...entry })
        expect(sdk.spans[0]?.status.code).to.equal(code)
        expect(sdk.spans[0]?.attributes['error.type']).to.equal(type)
      })
    }

    it('tells an uncounted admission and an unreachable store apart', async () => {
      for (const onUnavailable of ['admit', { local: 0.5 }, 'refuse'] as const) {
        const call = telemetry.start()
        call.decided(await decisionWithoutStore([perDay('requests', 2, { onUnavailable })]))
        call.ended()
      }
      expect(
        sdk.spans.map(({ attributes }) => [attributes['tallygate.decision'], attributes['tallygate.decision.reason']]),
      ).to.deep.equal([
        ['uncounted', undefined],
        ['local', undefined],
        ['refused', 'unavailable'],
      ])
    })

    it('tells the decision also on a call that ends without an entry', async () => {
      const call = telemetry.start()
      call.decided(await decisionOn([perDay('requests', 5)], { requests: 1 }))
      call.ended()
      expect(sdk.spans[0]?.attributes).to.include({ 'tallygate.decision': 'admitted', 'tallygate.limit.remaining': 4 })
    })

    it('tells the last decision that says something, of a call that is decided on in steps', async () => {
      const call = telemetry.start()
      call.decided(await decisionOn([perDay('requests', 5)], { requests: 1 }))
      call.decided(await decisionOn([]))
      call.ended()
      expect(sdk.spans[0]?.attributes).to.include({
        'tallygate.limit': 'free/requests',
        'tallygate.limit.remaining': 4,
      })
    })

    it('makes no span of a request that is for no provider', async () => {
      for (const end of ['denied', 'ended'] as const) {
        const call = telemetry.start(false)
        call.decided(await decisionOn([perDay('requests', 5)], { requests: 1 }))
        expect(call.run(() => trace.getActiveSpan())).to.equal(undefined)
        if (end === 'denied') call.denied(CALL, 429, 'rate-limited')
        else call.ended()
      }
      expect(sdk.spans).to.have.lengthOf(0)
      expect((await sdk.values('tallygate.decisions')).map(({ value }) => value)).to.deep.equal([2])
    })

    it('makes one of such a request in hindsight if it is recorded, where and when that began', async () => {
      const beforeMs = Date.now()
      const call = sdk.tracerProvider.getTracer('host').startActiveSpan('request', (request) => {
        const begun = telemetry.start(false)
        request.end()
        return begun
      })
      const afterMs = Date.now()
      call.decided(await decisionOn([perDay('requests', 5)], { requests: 1 }))
      call.recorded(CALL, ENTRY)
      const [request, span] = sdk.spans
      expect(span?.name).to.equal('chat gpt-4o')
      expect(span?.attributes).to.include({ 'tallygate.decision': 'admitted', 'gen_ai.usage.input_tokens': 120 })
      expect(span?.parentSpanContext?.spanId).to.equal(request?.spanContext().spanId)
      const startedAtMs = millisecondsOf(span?.startTime)
      expect(startedAtMs).to.be.within(beforeMs, afterMs)
    })

    it('names the limit of which the smallest share is left, and none where none is limited', async () => {
      const cases = [
        { limits: [perDay('a', 100), perDay('b', 10), perDay('c', null)], nearest: 'free/b' },
        { limits: [perDay('a', 0, { onTrip: 'flag' }), perDay('b', 10)], nearest: 'free/a' },
        { limits: [perDay('c', null)], nearest: undefined },
        { limits: [], nearest: undefined },
      ]
      for (const { limits } of cases) {
        const call = telemetry.start()
        call.decided(await decisionOn(limits, { requests: 1 }))
        call.ended()
      }
      expect(sdk.spans.map(({ attributes }) => attributes['tallygate.limit'])).to.deep.equal(
        cases.map(({ nearest }) => nearest),
      )
    })
  })

  it('hands a decision not to sample on to what the call does', async () => {
    const forgetContext = keepContext()
    const sdk = new RecordedTelemetry(new ParentBasedSampler({ root: new AlwaysOffSampler() }))
    const call = new Telemetry(sdk).start()
    const traces = call.run(() => {
      const span = sdk.tracerProvider.getTracer('store').startSpan('store')
      return [span.spanContext().traceId, trace.getActiveSpan()?.spanContext().traceId]
    })
    expect(traces[0]).to.equal(traces[1])
    call.recorded(CALL, ENTRY)
    expect(sdk.spans).to.have.lengthOf(0)
    expect(await sdk.values('tallygate.entries')).to.have.lengthOf(1)
    await sdk.stop()
    forgetContext()
  })

  it('finds the SDK of the process, also if that is registered later', async () => {
    const telemetry = new Telemetry()
    telemetry.start().recorded(CALL, ENTRY)
    const sdk = new RecordedTelemetry().register()
    telemetry.start().recorded(CALL, ENTRY)
    expect(sdk.spans).to.have.lengthOf(1)
    expect(await sdk.values('tallygate.entries')).to.deep.include({
      labels: { 'tallygate.outcome': 'complete', 'tallygate.usage.basis': 'reported' },
      value: 1,
    })
    await sdk.stop()
    expect(telemetry.start().isOn).to.equal(false)
  })
})

function millisecondsOf([seconds, nanoseconds]: HrTime = [0, 0]): number {
  return seconds * 1_000 + nanoseconds / 1e6
}
