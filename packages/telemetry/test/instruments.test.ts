import type { Meter } from '@opentelemetry/api'
import { Telemetry } from '@tallygate/telemetry'
import { expect } from 'chai'
import { RecordedTelemetry } from './recorded-telemetry.ts'
import { CALL, decisionOn, decisionWithoutStore, ENTRY, perDay } from './told.ts'

const LABELS = {
  'gen_ai.operation.name': 'chat',
  'gen_ai.provider.name': 'openai',
  'gen_ai.request.model': 'gpt-4o',
  'gen_ai.response.model': 'gpt-4o-2024',
}

describe('the instruments of Telemetry', () => {
  let sdk: RecordedTelemetry
  let telemetry: Telemetry
  beforeEach(() => {
    sdk = new RecordedTelemetry()
    telemetry = new Telemetry({ meterProvider: sdk.meterProvider })
  })
  afterEach(() => sdk.stop())

  const counters: readonly (readonly [name: string, value: number])[] = [
    ['gen_ai.client.inference.usage.input_tokens', 240],
    ['gen_ai.client.inference.usage.output_tokens', 60],
    ['gen_ai.client.inference.usage.cache_read.input_tokens', 200],
    ['gen_ai.client.inference.usage.cache_write.input_tokens', 0],
    ['gen_ai.client.inference.usage.reasoning.output_tokens', 24],
    ['gen_ai.client.operation.duration', 3],
  ]
  for (const [name, value] of counters) {
    it(`sum ${name} over calls, by operation, provider and models`, async () => {
      telemetry.start().recorded(CALL, ENTRY)
      telemetry.start().recorded(CALL, ENTRY)
      expect(await sdk.values(name)).to.deep.equal([{ labels: LABELS, value }])
    })
  }

  it('sum seconds, images and searches, and the span has them, with flags', async () => {
    const usage = { basis: 'reported', seconds: 12, images: 2, searches: 0, flags: ['total-gap', 'unpriced'] } as const
    const traced = new Telemetry(sdk)
    for (let call = 0; call < 2; call += 1) traced.start().recorded(CALL, { ...ENTRY, usage })
    for (const [unit, value] of Object.entries({ seconds: 24, images: 4, searches: 0 })) {
      expect(await sdk.values(`tallygate.usage.${unit}`)).to.deep.equal([{ labels: LABELS, value }])
      expect(sdk.spans[0]?.attributes[`tallygate.usage.${unit}`]).to.equal(value / 2)
    }
    expect(sdk.spans[0]?.attributes['tallygate.usage.flags']).to.deep.equal(['total-gap', 'unpriced'])
    expect(await sdk.values('gen_ai.client.inference.usage.input_tokens')).to.deep.equal([])
  })

  it('take no model for a label that a caller made up, nor ever more of them', async () => {
    const told = (model: string, status: number): void =>
      telemetry.start().recorded({ ...CALL, model }, { ...ENTRY, status, responseModel: undefined })
    for (let index = 0; index < 300; index += 1) told(`invented-${index}`, 404)
    for (let index = 0; index < 300; index += 1) told(`real-${index}`, 200)
    const labels = (await sdk.values('gen_ai.client.operation.duration')).map(
      ({ labels: each }) => (each as Record<string, unknown>)['gen_ai.request.model'],
    )
    expect(labels.filter((label) => String(label).startsWith('invented'))).to.deep.equal([])
    expect(labels).to.include.members(['real-0', 'real-199', '_OTHER']).and.to.have.length(201)
  })

  it('measure tokens by type in the histogram that dashboards know', async () => {
    telemetry.start().recorded(CALL, ENTRY)
    expect(await sdk.values('gen_ai.client.token.usage')).to.deep.equal([
      { labels: { ...LABELS, 'gen_ai.token.type': 'input' }, value: 120 },
      { labels: { ...LABELS, 'gen_ai.token.type': 'output' }, value: 30 },
    ])
  })

  it('have the units and bucket edges that the conventions ask for', async () => {
    telemetry.start().recorded(CALL, ENTRY)
    const metrics = await sdk.metrics()
    const shapes = ['gen_ai.client.token.usage', 'gen_ai.client.operation.duration'].map((name) => {
      const metric = metrics.get(name)
      const value = metric?.dataPoints[0]?.value
      const edges = typeof value === 'object' && 'buckets' in value ? value.buckets.boundaries : []
      return [metric?.descriptor.unit, edges.length, edges[0], edges.at(-1)]
    })
    expect(shapes).to.deep.equal([
      ['{token}', 14, 1, 67_108_864],
      ['s', 14, 0.01, 81.92],
    ])
  })

  it('measure no tokens where nobody knows them: unknown is not 0', async () => {
    const { usage: _, ...unknown } = ENTRY
    telemetry.start().recorded(CALL, unknown)
    telemetry.start().recorded(CALL, { ...ENTRY, usage: { basis: 'estimated', outputTokens: 5 } })
    expect(await sdk.values('gen_ai.client.inference.usage.input_tokens')).to.deep.equal([])
    expect((await sdk.values('gen_ai.client.token.usage')).map(({ value }) => value)).to.deep.equal([5])
  })

  it('count entries by outcome and basis', async () => {
    const { usage: _, ...unknown } = ENTRY
    for (const entry of [ENTRY, ENTRY, { ...unknown, outcome: 'failed' } as const])
      telemetry.start().recorded(CALL, entry)
    expect(await sdk.values('tallygate.entries')).to.deep.equal([
      { labels: { 'tallygate.outcome': 'complete', 'tallygate.usage.basis': 'reported' }, value: 2 },
      { labels: { 'tallygate.outcome': 'failed', 'tallygate.usage.basis': 'none' }, value: 1 },
    ])
  })

  it('count decisions by what was decided, why, and which limit', async () => {
    const one = { requests: 1 }
    const flags = perDay('flags', 1, { onTrip: 'flag' })
    const shadow = perDay('shadow', 1, { mode: 'shadow' })
    for (const decision of [
      await decisionOn([perDay('requests', 5)], one),
      await decisionOn([perDay('requests', 1)], one, one),
      await decisionOn([perDay('tokens', 10, { unit: 'tokens' })], { tokens: 11 }),
      await decisionOn([flags, shadow], one, one),
    ]) {
      const call = telemetry.start()
      call.decided(decision)
      call.ended()
    }
    const values = await sdk.values('tallygate.decisions')
    const said = values.map(({ labels, value }) => [
      labels['tallygate.decision'],
      labels['tallygate.decision.reason'],
      labels['tallygate.limit'],
      value,
    ])
    expect(said).to.have.deep.members([
      ['admitted', undefined, 'free/requests', 1],
      ['refused', 'no-room', 'free/requests', 1],
      ['refused', 'never-fits', 'free/tokens', 1],
      ['admitted', undefined, 'free/flags', 1],
      ['flagged', undefined, 'free/flags', 1],
      ['shadow-refused', undefined, 'free/shadow', 1],
    ])
  })

  it('count one decision of a call that is decided on in steps: the last that says something', async () => {
    const limited = await decisionOn([perDay('requests', 5)], { requests: 1 })
    const unlimited = await decisionOn([])
    const unavailable = await decisionWithoutStore([perDay('requests', 5)])
    const ends = ['recorded', 'denied', 'ended'] as const
    for (const [index, steps] of [
      [limited, unlimited],
      [limited, unavailable],
      [unlimited, limited],
    ].entries()) {
      const call = telemetry.start()
      for (const decision of steps) call.decided(decision)
      if (ends[index] === 'recorded') call.recorded(CALL, ENTRY)
      else if (ends[index] === 'denied') call.denied(CALL, 503, 'unavailable')
      else call.ended()
      call.ended()
    }
    expect(await sdk.values('tallygate.decisions')).to.deep.equal([
      { labels: { 'tallygate.decision': 'admitted', 'tallygate.limit': 'free/requests' }, value: 2 },
      { labels: { 'tallygate.decision': 'refused', 'tallygate.decision.reason': 'unavailable' }, value: 1 },
    ])
  })

  it('count what was given up', async () => {
    telemetry.dropped('settlement')
    telemetry.dropped('settlement', 2)
    expect((await sdk.values('tallygate.dropped')).map(({ value }) => value)).to.deep.equal([3])
  })

  it('count what was delayed, by what failed', async () => {
    telemetry.delayed('entry')
    telemetry.delayed('settlement', 3)
    expect(await sdk.values('tallygate.delayed')).to.deep.equal([
      { labels: { 'tallygate.decision.reason': 'entry' }, value: 1 },
      { labels: { 'tallygate.decision.reason': 'settlement' }, value: 3 },
    ])
  })

  it('tell whether the counters are away', async () => {
    telemetry.storeAway(true)
    expect(await sdk.values('tallygate.store.away')).to.deep.equal([{ labels: {}, value: 1 }])
    telemetry.storeAway(false)
    expect(await sdk.values('tallygate.store.away')).to.deep.equal([{ labels: {}, value: 0 }])
  })

  it('work without a tracer, and never hold a key or a subject', async () => {
    const call = telemetry.start()
    expect(call.isOn).to.equal(true)
    call.decided(await decisionOn([perDay('requests', 5)], { requests: 1 }))
    call.recorded(CALL, ENTRY)
    const points = [...(await sdk.metrics()).values()].flatMap(({ dataPoints }) =>
      dataPoints.map(({ attributes }) => attributes),
    )
    expect(points).to.have.length.greaterThan(8)
    expect(JSON.stringify(points)).not.to.match(/k1|acme|a1|c1|run-7/)
  })

  it('belong to one meter, made once', async () => {
    const asked: string[] = []
    const getMeter = (name: string): Meter => {
      asked.push(name)
      return sdk.meterProvider.getMeter(name)
    }
    const asking = new Telemetry({ meterProvider: { getMeter } })
    asking.start().recorded(CALL, ENTRY)
    asking.start().recorded(CALL, ENTRY)
    expect(asked).to.deep.equal(['@tallygate/telemetry'])
    expect(await sdk.scopes()).to.deep.equal(asked)
  })
})
