import { dollars, PriceBook, type ModelPrice } from '@tallygate/core'
import type { QuotaOptions } from '@tallygate/flow'
import { expect } from 'chai'
import { closeSessionBeds, LIVE, openSession, openSessionBed, PER_DAY } from './session-bed.ts'
import { until } from './test-bed.ts'

describe('sessions over WebSocket under a budget', () => {
  afterEach(closeSessionBeds)

  const budget = { name: 'budget', unit: 'cost', quota: dollars(5), window: PER_DAY } as const
  const priced = (prices: readonly ModelPrice[], unpriced?: 'flag' | 'family-max'): Partial<QuotaOptions> => ({
    prices: new PriceBook({ version: 'v1', prices }),
    plans: [{ name: 'plan', limits: [budget], ...(unpriced === undefined ? {} : { unpriced }) }],
    defaultPlans: ['plan'],
  })
  const realtime = { model: 'gpt-realtime', input: 4, output: 16 }

  it('cost what each response does, and hold that of one to come', async () => {
    const bed = await openSessionBed([], { quota: priced([realtime]) })
    const client = await openSession(bed.port)
    client.respond()
    await until(async () => (await bed.written()).length === 1)
    const [entry] = await bed.written()
    const cost = entry!.usage!.inputTokens! * 4_000 + entry!.usage!.outputTokens! * 16_000
    expect(entry!.usage).to.deep.include({ costNanos: cost, pricedBy: 'v1 gpt-realtime' })
    await until(async () => (await bed.counted('budget')) > cost)
    client.socket.destroy()
    await until(async () => (await bed.counted('budget')) === cost)
  })

  it('are refused before the upgrade where their model has no price', async () => {
    const bed = await openSessionBed([], { quota: priced([{ model: 'gpt-4o', input: 1 }]) })
    const client = await openSession(bed.port)
    expect(client.status).to.equal(403)
    expect(bed.provider.sessions).to.deep.equal([])
  })

  it('are closed where the model that they name later has none', async () => {
    const bed = await openSessionBed([], { quota: priced([realtime]) })
    const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
    expect(client.status).to.equal(101)
    client.say({ setup: { model: 'models/gemini-live-2.5-flash' } })
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
    expect((await bed.entries())[0]!.usage?.flags ?? []).not.to.include('cut-at-quota')
    expect(await bed.counted('budget')).to.equal(0)
  })

  it('are closed after the first response where they name none', async () => {
    const bed = await openSessionBed([], { quota: priced([realtime]) })
    const client = await openSession(bed.port, `${LIVE}?key=sk-a-key`, {})
    client.say({ clientContent: { turns: [], turnComplete: true } })
    await until(() => client.isEnded)
    expect(client.closeCode).to.equal(1008)
    expect((await bed.entries())[0]!.usage).to.deep.include({ totalTokens: 50 })
  })

  it('pass with a flag, or as the dearest of their family, where the plan says so', async () => {
    for (const unpriced of ['flag', 'family-max'] as const) {
      const bed = await openSessionBed([], { quota: priced([{ model: 'gpt-4o', input: 1, output: 2 }], unpriced) })
      const client = await openSession(bed.port)
      client.respond()
      await until(async () => (await bed.written()).length === 1)
      const { usage } = (await bed.written())[0]!
      expect(usage!.flags).to.include('unpriced')
      expect(usage!.costNanos === undefined).to.equal(unpriced === 'flag')
    }
  })
})
