import type { Limit } from '@tallygate/core'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import { expect } from 'chai'
import { QuotaBed, REQUESTS, subject, TOKENS } from './quota-bed.ts'

class PulledReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** Makes calls that use so many tokens, and returns the units beyond quotas that were counted, by limit and effect. */
async function beyond(limits: readonly Limit[], tokens: readonly number[]): Promise<Readonly<Record<string, unknown>>> {
  const reader = new PulledReader()
  const meterProvider = new MeterProvider({ readers: [reader] })
  const bed = new QuotaBed({ plans: [{ name: 'p', limits }], defaultPlans: ['p'], telemetry: { meterProvider } })
  for (const used of tokens) await bed.call({ status: 200, outcome: 'complete', tokens: used }, subject())
  const { scopeMetrics } = (await reader.collect()).resourceMetrics
  const metric = scopeMetrics.flatMap(({ metrics }) => metrics).find(({ descriptor }) => descriptor.name === METRIC)
  await meterProvider.shutdown()
  return Object.fromEntries(
    (metric?.dataPoints ?? []).map(({ attributes, value }) => [
      `${String(attributes['tallygate.limit'])} ${String(attributes['tallygate.limit.effect'])}`,
      value,
    ]),
  )
}
const METRIC = 'tallygate.quota.overshoot'

describe('the metric of what was used beyond quotas', () => {
  it('stays silent while quotas are kept', async () => {
    expect(await beyond([TOKENS, REQUESTS], [100, 300, 100])).to.deep.equal({})
  })

  it('counts what a call used more than there was left, and not what was set aside too much', async () => {
    expect(await beyond([{ ...TOKENS, trip: 'reached' }], [900, 250])).to.deep.equal({ 'p/tokens refuse': 150 })
    expect(await beyond([{ ...TOKENS, quota: 200 }], [1_200])).to.deep.equal({ 'p/tokens refuse': 1_000 })
  })

  it('tells those apart that flags and shadows let pass', async () => {
    const flag = { ...REQUESTS, quota: 1, onTrip: 'flag' } as const
    expect(await beyond([flag, { ...flag, name: 'dark', mode: 'shadow' }], [5, 5, 5])).to.deep.equal({
      'p/requests flag': 2,
      'p/dark shadow': 2,
    })
  })
})
