import {
  Admission,
  bindLimits,
  CompiledPlan,
  MemoryCounterStore,
  MemoryLedger,
  type Amounts,
  type Limit,
  type LimitStatus,
  type Plan,
  type UsageEntry,
} from '@tallygate/core'
import { Telemetry } from '@tallygate/telemetry'
import { runs, SettableClock } from '@tallygate/testkit'
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics'
import { expect } from 'chai'
import fc from 'fast-check'
import { HeldAllowance, isPurchase } from '../src/held-allowance.ts'
import { writeContext } from '../src/hold-context.ts'
import { KnownLimits } from '../src/known-limits.ts'
import { countOvershoot } from '../src/overshoot-count.ts'
import { Settler } from '../src/settler.ts'
import { Sweeper } from '../src/sweeper.ts'
import type { Walk } from '../src/walk.ts'

const OUTPUT: Limit = {
  name: 'out',
  unit: 'output-tokens',
  quota: 5_000,
  window: { kind: 'lifetime' },
  onStream: 'cut',
}
const quiet = { warn: () => {}, error: () => {} }

class PulledReader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** Counters in memory, and calls that hold something of them and may buy more. */
class Bed {
  readonly clock = new SettableClock()
  readonly store = new MemoryCounterStore({ clock: this.clock.now })
  readonly ledger = new MemoryLedger()
  readonly admission = new Admission({ store: this.store, clock: this.clock.now })
  readonly reader = new PulledReader()
  readonly telemetry = new Telemetry({ meterProvider: new MeterProvider({ readers: [this.reader] }) })
  readonly settler = new Settler({ admission: this.admission, telemetry: this.telemetry, logger: quiet })
  readonly plans: readonly CompiledPlan[]
  readonly combine: 'all' | 'any'
  overages = 0

  constructor(limits: readonly Limit[] | readonly Plan[], combine: 'all' | 'any' = 'all') {
    const plans =
      'unit' in limits[0]! ? [{ name: 'p', limits: limits as readonly Limit[] }] : (limits as readonly Plan[])
    this.plans = plans.map((plan) => new CompiledPlan(plan))
    this.combine = combine
  }

  async begin(id: string, amounts: Amounts = { 'output-tokens': 100, tokens: 100 }): Promise<Held> {
    const dimensions = { tenant: 'acme', key: 'alice' }
    const bound = bindLimits({ plans: this.plans, combine: this.combine }, dimensions, {}, ['tenant', 'key'])
    const who = { tenant: 'acme', subject: 'alice', dimensions, callId: id, plans: [] }
    const decision = await this.admission.admit({ id, bound, amounts, context: writeContext(who, bound) })
    if (!decision.admitted) throw new Error('was refused')
    const { admission, settler, telemetry } = this
    const walk = { admission, settler, telemetry, clock: this.clock.now } as Walk
    const onOverage = (): void => {
      this.overages += 1
    }
    const allowance = HeldAllowance.of(walk, decision.reservation!, decision.statuses, 'alice', onOverage)
    return { reservation: decision.reservation!, statuses: decision.statuses, allowance: allowance! }
  }

  /** As a call ends: settled first, then what was bought is given back. */
  async end({ reservation, allowance }: Held, output: number): Promise<void> {
    allowance.watch({ 'output-tokens': output, tokens: output })
    const actual = { 'output-tokens': output, tokens: output }
    await this.admission.settle(reservation, actual, this.admission.settlementTime(reservation))
    allowance.close()
    await this.settler.flush()
  }

  async used(): Promise<readonly number[]> {
    const dimensions = { tenant: 'acme', key: 'alice' }
    const bound = bindLimits({ plans: this.plans, combine: this.combine }, dimensions, {}, ['tenant', 'key'])
    return (await this.admission.read(bound)).statuses.map(({ used }) => used)
  }

  async counted(metric: string): Promise<readonly unknown[]> {
    const { scopeMetrics } = (await this.reader.collect()).resourceMetrics
    const found = scopeMetrics.flatMap(({ metrics }) => metrics).find(({ descriptor }) => descriptor.name === metric)
    return (found?.dataPoints ?? []).map(({ attributes, value }) => [
      attributes['tallygate.limit'],
      attributes['tallygate.limit.effect'],
      value,
    ])
  }
}

interface Held {
  readonly reservation: Parameters<typeof HeldAllowance.of>[1]
  readonly statuses: readonly LimitStatus[]
  readonly allowance: HeldAllowance
}

/** Buys until there is nothing more. Returns the sum. */
async function buyAll({ allowance }: Held): Promise<number> {
  for (let sum = 0; ;) {
    const bought = await allowance.buy()
    if (bought === 0) return sum
    sum += bought
  }
}

describe('HeldAllowance', () => {
  it('is there only for limits that cut, and that somebody has decided on', async () => {
    for (const limit of [{ onStream: 'finish' }, { quota: null }] as const)
      expect((await new Bed([{ ...OUTPUT, ...limit }]).begin('a')).allowance, JSON.stringify(limit)).to.equal(undefined)
    expect((await new Bed([OUTPUT]).begin('a')).allowance.outputTokens).to.equal(100)
  })

  it('buys up to the last token of the quota, and no more', async () => {
    const bed = new Bed([OUTPUT])
    const call = await bed.begin('a')
    expect(await call.allowance.buy()).to.equal(1_024)
    expect(await buyAll(call)).to.equal(5_000 - 100 - 1_024)
    expect(call.allowance.outputTokens).to.equal(5_000)
    expect(await bed.used()).to.deep.equal([5_000])
    expect(call.allowance.spent(4_999)).to.deep.equal([])
    expect(call.allowance.spent(5_000)).to.deep.equal(['p/out'])
    await bed.end(call, 3_000)
    expect(await bed.used()).to.deep.equal([3_000])
  })

  it('buys more at once where much is left, and never so much that nobody else has room', async () => {
    const bed = new Bed([{ ...OUTPUT, quota: 1_000_000 }])
    const call = await bed.begin('a')
    expect(await call.allowance.buy()).to.equal(Math.floor(999_900 / 32))
    const far = new Bed([{ ...OUTPUT, quota: 1_000_000_000 }])
    expect(await (await far.begin('a')).allowance.buy()).to.equal(65_536)
  })

  for (const trip of ['fits', 'reached', 'exceeded'] as const) {
    it(`gives the quota and no more to calls that buy side by side, where it trips on ${trip}`, async () => {
      const bed = new Bed([{ ...OUTPUT, quota: 2_000, trip }])
      const calls = await Promise.all(Array.from({ length: 5 }, (_, n) => bed.begin(`call-${n}`)))
      const bought = await Promise.all(calls.map(buyAll))
      expect(bought.reduce((sum, each) => sum + each, 500)).to.equal(2_000)
      for (const call of calls) await bed.end(call, 10)
      expect(await bed.used()).to.deep.equal([50])
    })
  }

  for (const trip of ['reached', 'exceeded'] as const) {
    it(`holds no more than the quota where a call reserved more, as it trips on ${trip}`, async () => {
      const bed = new Bed([{ ...OUTPUT, quota: 1_000, trip }])
      const before = await bed.begin('before', { 'output-tokens': 700 })
      const call = await bed.begin('a', { 'output-tokens': 4_096 })
      expect(call.allowance.outputTokens).to.equal(300)
      expect(await call.allowance.buy()).to.equal(0)
      countOvershoot(bed.telemetry, call.reservation, call.statuses, { 'output-tokens': 310 }, call.allowance)
      expect(await bed.counted('tallygate.quota.overshoot')).to.deep.equal([['p/out', 'refuse', 10]])
      await bed.end(before, 500)
      expect(await call.allowance.buy()).to.equal(0)
      expect(call.allowance.outputTokens, 'with what the other has given back').to.equal(500)
      await bed.end(call, 510)
      expect(await bed.used()).to.deep.equal([1_010])
    })
  }

  it('counts input beside output for limits on tokens, by its bound until it is known', async () => {
    const bed = new Bed([{ ...OUTPUT, unit: 'tokens' }])
    const call = await bed.begin('a', { tokens: 900, 'input-tokens': 800, 'output-tokens': 100 })
    expect(call.allowance.outputTokens).to.equal(100)
    call.allowance.useInput(200)
    expect(call.allowance.outputTokens).to.equal(700)
    call.allowance.useInput(2_000)
    expect(call.allowance.outputTokens).to.equal(0)
  })

  it('of several limits goes by the tightest; of several plans of which any is enough, by the widest', async () => {
    const tight: Limit = { ...OUTPUT, name: 'tight', quota: 300 }
    const both = await new Bed([OUTPUT, tight]).begin('a')
    expect(await buyAll(both)).to.equal(200)
    const plans = [OUTPUT, tight].map((limit) => ({ name: limit.name, limits: [limit] }))
    const either = await new Bed(plans, 'any').begin('a')
    expect(await buyAll(either)).to.equal(4_900)
    const free = { name: 'free', limits: [{ ...OUTPUT, onStream: 'finish' as const }] }
    expect((await new Bed([plans[1]!, free], 'any').begin('a')).allowance.outputTokens).to.equal(Infinity)
  })

  for (const [limit, effect] of [
    [{ mode: 'shadow' }, 'shadow'],
    [{ onTrip: 'flag' }, 'flag'],
  ] as const) {
    it(`only watches with ${effect}, and tells of a stream that it would have cut`, async () => {
      const bed = new Bed([{ ...OUTPUT, ...limit, quota: 1_500 }])
      const enough = await bed.begin('a')
      await enough.allowance.buy()
      await bed.end(enough, 500)
      expect(await bed.counted('tallygate.quota.cuts')).to.deep.equal([])
      const call = await bed.begin('b')
      expect(call.allowance.outputTokens).to.equal(Infinity)
      expect(call.allowance.watchedTokens).to.equal(100)
      while (call.allowance.watchedTokens < Infinity) await call.allowance.buy()
      await bed.end(call, 1_100)
      expect(await bed.counted('tallygate.quota.cuts')).to.deep.equal([['p/out', effect, 1]])
      expect(bed.overages).to.equal(effect === 'flag' ? 1 : 0)
      expect(await bed.used()).to.deep.equal([1_600])
    })
  }

  it('gives back what comes after the call has ended', async () => {
    const bed = new Bed([OUTPUT])
    const call = await bed.begin('a')
    const late = call.allowance.buy()
    await bed.end(call, 40)
    expect(await late).to.equal(0)
    await bed.settler.flush()
    expect(await bed.used()).to.deep.equal([40])
  })

  it('keeps what was bought as long as the call runs, and gives it back where its process is gone', async () => {
    const bed = new Bed([OUTPUT])
    const call = await bed.begin('a')
    await call.allowance.buy()
    bed.clock.advance(50_000)
    await bed.admission.extend(call.reservation)
    await call.allowance.extend(bed.clock.now())
    bed.clock.advance(50_000)
    expect(await bed.used()).to.deep.equal([1_124])
    bed.clock.advance(50_000)
    const sweeper = new Sweeper({
      store: bed.store,
      ledger: bed.ledger,
      limits: new KnownLimits(() => bed.plans),
      logger: quiet,
      rebuildsFromMs: Infinity,
      beforeRead: async () => {},
      nowMs: bed.clock.now,
      plansOf: async () => bed.plans,
      adjust: (change) => bed.admission.adjust(change),
    })
    await sweeper.sweep()
    const entries = (await bed.ledger.entries({ tenant: 'acme', fromMs: 0, toMs: Infinity })) as readonly UsageEntry[]
    expect(entries.map(({ id, outcome, charges }) => [id, outcome, charges.map(({ actual }) => actual)])).to.deep.equal(
      [['a', 'expired', [100]]],
    )
    expect(await bed.used()).to.deep.equal([100])
    expect(await bed.store.sweep(10)).to.deep.equal([])
  })

  it('adds nothing to the overshoot: what others gave back meanwhile was bought, and not used beyond the quota', async () => {
    const bed = new Bed([{ ...OUTPUT, quota: 1_000 }])
    const other = await bed.begin('other', { 'output-tokens': 900 })
    const call = await bed.begin('a', { 'output-tokens': 100 })
    await bed.end(other, 0)
    expect(await buyAll(call)).to.equal(900)
    countOvershoot(bed.telemetry, call.reservation, call.statuses, { 'output-tokens': 1_000 }, call.allowance)
    expect(await bed.counted('tallygate.quota.overshoot')).to.deep.equal([])
    countOvershoot(bed.telemetry, call.reservation, call.statuses, { 'output-tokens': 1_007 }, call.allowance)
    expect(await bed.counted('tallygate.quota.overshoot')).to.deep.equal([['p/out', 'refuse', 7]])
  })

  it('whatever calls hold, buy, use and give back: the counter ends with what was used, and was never over', async () => {
    const step = fc.record({ call: fc.nat(4), does: fc.constantFrom('buy', 'end'), share: fc.nat(100) })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 600, max: 4_000 }),
        fc.array(step, { maxLength: 40 }),
        async (quota, steps) => {
          const bed = new Bed([{ ...OUTPUT, quota }])
          const calls = await Promise.all(Array.from({ length: 5 }, (_, n) => bed.begin(`call-${n}`)))
          const open = new Set(calls)
          let used = 0
          const end = async (call: Held, share: number): Promise<void> => {
            open.delete(call)
            const output = Math.floor((call.allowance.outputTokens * share) / 100)
            used += output
            await bed.end(call, output)
          }
          for (const { call, does, share } of steps) {
            const which = calls[call]!
            if (!open.has(which)) continue
            if (does === 'buy') await which.allowance.buy()
            else await end(which, share)
            expect((await bed.used())[0]).to.be.at.most(quota)
          }
          for (const call of calls) if (open.has(call)) await end(call, 100)
          expect(await bed.used()).to.deep.equal([used])
          expect(used).to.be.at.most(quota)
        },
      ),
      { numRuns: runs(50) },
    )
  })
})

describe('isPurchase', () => {
  it('tells what was bought from what a call holds, and from what further limiters hold for it', () => {
    const id = '019aa7b2-0000-7000-8000-000000000000'
    expect([`${id}+1`, `${id}.2+12`].every(isPurchase)).to.equal(true)
    expect([id, `${id}.1`, 'a+b', '+'].some(isPurchase)).to.equal(false)
  })
})
