import {
  Admission,
  bindLimits,
  CompiledPlan,
  MemoryCounterStore,
  MemoryLedger,
  QuotaError,
  type BoundLimit,
  type Entry,
  type Limit,
  type Reservation,
  type UsageEntry,
} from '@tallygate/core'
import { runs, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { readContext, writeContext } from '../src/hold-context.ts'
import { KnownLimits } from '../src/known-limits.ts'
import { Sweeper } from '../src/sweeper.ts'

const tokens: Limit = { name: 'tokens', unit: 'tokens', quota: 10_000, window: { kind: 'lifetime' } }
const PLANS = [
  new CompiledPlan({ name: 'p', limits: [tokens] }),
  new CompiledPlan({ name: 'q', limits: [{ ...tokens, name: 'more' }] }),
  new CompiledPlan({ name: 'r', limits: [{ ...tokens, name: 'released' }], onExpiry: 'release' }),
]
const bound = (plan: CompiledPlan): readonly BoundLimit[] =>
  bindLimits({ plans: [plan], combine: 'all' }, { tenant: 'acme', key: 'alice' }, {}, ['tenant', 'key'])
const [P, Q, R] = PLANS.map(bound) as [readonly BoundLimit[], readonly BoundLimit[], readonly BoundLimit[]]
const WHO = {
  tenant: 'acme',
  subject: 'alice',
  dimensions: { tenant: 'acme', key: 'alice', user: 'u' },
  callId: 'logical',
  provider: 'openai',
  operation: 'chat',
  model: 'gpt-4o',
  plans: [{ name: 'p', version: '1' }],
}
const CONTEXT = writeContext(WHO)

/** A ledger that can be taken away. */
class AwayLedger extends MemoryLedger {
  isAway = false

  override async append(entries: readonly Entry[]): Promise<void> {
    if (this.isAway) throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'gone fishing')
    return super.append(entries)
  }
}

class Bed {
  readonly clock = new SettableClock()
  readonly ledger = new AwayLedger()
  readonly store = new MemoryCounterStore({ clock: this.clock.now })
  readonly admission = new Admission({ store: this.store, clock: this.clock.now })
  readonly logged: string[] = []
  readonly sweeper = this.newSweeper()

  /** Plans that only the source of the caller's plans knows; `undefined`: it fails. */
  plansOf: CompiledPlan[] | undefined = []

  newSweeper(): Sweeper {
    const log = (message: string): void => void this.logged.push(message)
    return new Sweeper({
      store: this.store,
      ledger: this.ledger,
      limits: new KnownLimits(() => PLANS),
      logger: { warn: log, error: log },
      rebuildsFromMs: Infinity,
      beforeRead: async () => {},
      nowMs: this.clock.now,
      plansOf: async ({ subject }) => {
        if (subject !== 'alice' || this.plansOf === undefined) throw new Error('who?')
        return this.plansOf
      },
      adjust: (change) => this.admission.adjust(change),
    })
  }

  async hold(id: string, limits = P): Promise<Reservation> {
    const context = writeContext(WHO, limits)
    const decision = await this.admission.admit({ id, bound: limits, amounts: { tokens: 10 }, context })
    if (!decision.admitted) throw new Error('was refused')
    return decision.reservation!
  }

  expire(): void {
    this.clock.advance(61_000)
  }

  async entries(): Promise<readonly UsageEntry[]> {
    const found = await this.ledger.entries({ tenant: 'acme', fromMs: 0, toMs: Infinity })
    return found.toSorted((one, other) => (one.id < other.id ? -1 : 1))
  }

  async used(limits = P): Promise<number> {
    return (await this.admission.read(limits)).statuses[0]!.used
  }

  /** What the process would have written had it lived. */
  async ended(
    id: string,
    counters: readonly (readonly [limits: readonly BoundLimit[], actual: number])[],
  ): Promise<void> {
    const atMs = this.clock.now()
    const charges = counters.map(([[first], actual]) => {
      const { owner, partition, name: counter } = first!.counter
      return { owner, partition, counter, unit: 'tokens' as const, reserved: 10, actual }
    })
    const call = {
      ...readContext(CONTEXT),
      outcome: 'complete',
      streamed: false,
      durationMs: 1,
      overage: false,
    } as const
    await this.ledger.append([{ kind: 'usage', id, ...call, atMs, admittedAtMs: atMs, charges }])
  }
}

describe('Sweeper', () => {
  it('writes the entry of a call whose process is gone, with what its hold has kept', async () => {
    const bed = new Bed()
    const { admittedAtMs } = await bed.hold('a')
    bed.expire()
    await bed.sweeper.sweep()
    const [entry, ...others] = await bed.entries()
    expect(others).to.deep.equal([])
    expect(entry).to.deep.include({
      id: 'a',
      tenant: 'acme',
      subject: 'alice',
      dimensions: { tenant: 'acme', key: 'alice', user: 'u' },
      callId: 'logical',
      model: 'gpt-4o',
      plans: [{ name: 'p', version: '1' }],
      outcome: 'expired',
      admittedAtMs,
      atMs: admittedAtMs + 60_000,
    })
    const { owner, partition, name: counter } = P[0]!.counter
    expect(entry!.charges).to.deep.equal([{ owner, partition, counter, unit: 'tokens', reserved: 10, actual: 10 }])
    expect(await bed.used()).to.equal(10)
    expect(await bed.store.sweep(9)).to.deep.equal([])
  })

  it('writes 0 for what was given back', async () => {
    const bed = new Bed()
    await bed.hold('a', R)
    bed.expire()
    await bed.sweeper.sweep()
    expect((await bed.entries())[0]!.charges[0]).to.include({ reserved: 0, actual: 0 })
    expect(await bed.used(R)).to.equal(0)
  })

  it('writes one entry for all reservations of an attempt', async () => {
    const bed = new Bed()
    await bed.hold('a')
    await bed.hold('a.1', Q)
    bed.expire()
    await bed.sweeper.sweep()
    const entries = await bed.entries()
    expect(entries.map(({ id, charges }) => [id, ...charges.map(({ counter }) => counter)])).to.deep.equal([
      ['a', 'p/tokens', 'q/more'],
    ])
  })

  it('writes an entry of its own for a reservation that expires when its attempt has been written', async () => {
    const bed = new Bed()
    await bed.hold('a')
    bed.expire()
    await bed.sweeper.sweep()
    await bed.hold('a.1', Q)
    bed.expire()
    await bed.sweeper.sweep()
    expect((await bed.entries()).map(({ id, charges }) => [id, charges[0]!.counter])).to.deep.equal([
      ['a', 'p/tokens'],
      ['a.1', 'q/more'],
    ])
  })

  it('settles by its entry what a process had recorded and not settled, and gives back what is not in it', async () => {
    const bed = new Bed()
    await bed.hold('a')
    await bed.hold('a.1', Q)
    await bed.ended('a', [[P, 3]])
    bed.expire()
    await bed.sweeper.sweep()
    expect([await bed.used(P), await bed.used(Q)]).to.deep.equal([3, 0])
    expect((await bed.entries()).map(({ id, outcome }) => [id, outcome])).to.deep.equal([['a', 'complete']])
    expect(await bed.store.sweep(9)).to.deep.equal([])
  })

  it('acknowledges nothing that the ledger does not have', async () => {
    const bed = new Bed()
    await bed.hold('a')
    bed.expire()
    bed.ledger.isAway = true
    await bed.sweeper.sweep()
    expect(bed.logged.join()).to.include('could not be swept')
    expect(await bed.store.sweep(9)).to.have.length(1)
    bed.ledger.isAway = false
    await bed.sweeper.sweep()
    expect([(await bed.entries()).length, await bed.used()]).to.deep.equal([1, 10])
    expect(await bed.store.sweep(9)).to.deep.equal([])
  })

  it('writes each once, also where two processes sweep at the same time, and there are many', async () => {
    const bed = new Bed()
    const other = bed.newSweeper()
    for (let index = 0; index < 250; index += 1) await bed.hold(`a${index}`, index % 2 === 0 ? P : Q)
    bed.expire()
    await Promise.all([bed.sweeper.sweep(), other.sweep()])
    const entries = await bed.ledger.counterEvents({
      tenant: 'acme',
      fromMs: 0,
      counters: [P, Q].map(([first]) => ({ partition: first!.counter.partition, name: first!.counter.name })),
    })
    expect(entries.events).to.have.length(250)
    expect(await bed.store.sweep(999)).to.deep.equal([])
    expect((await bed.used(P)) + (await bed.used(Q))).to.equal(2_500)
  })

  it("settles by a limit that only the source of its caller's plans knows", async () => {
    const bed = new Bed()
    const plan = new CompiledPlan({ name: 'theirs', limits: [tokens] })
    bed.plansOf = [plan]
    await bed.hold('a', bound(plan))
    await bed.ended('a', [[bound(plan), 3]])
    bed.expire()
    await bed.sweeper.sweep()
    expect(await bed.store.sweep(9)).to.deep.equal([])
    expect(await bed.used(bound(plan))).to.equal(3)
  })

  const gone = bound(new CompiledPlan({ name: 'gone', limits: [tokens] }))

  it('leaves for ten minutes what it can not settle, as nobody knows its limit, to whoever knows it', async () => {
    const bed = new Bed()
    await bed.hold('a', gone)
    await bed.hold('b')
    await bed.ended('a', [[gone, 3]])
    await bed.ended('b', [[P, 4]])
    bed.expire()
    bed.plansOf = undefined
    await bed.sweeper.sweep()
    expect((await bed.store.sweep(9)).map(({ id }) => id)).to.deep.equal(['a'])
    expect(await bed.used(P)).to.equal(4)

    bed.plansOf = gone.map(({ plan }) => plan)
    await bed.sweeper.sweep()
    expect([await bed.store.sweep(9), await bed.used(gone)]).to.deep.equal([[], 3])
  })

  it('gives up after that, and says so', async () => {
    const bed = new Bed()
    await bed.hold('a', gone)
    await bed.ended('a', [[gone, 3]])
    bed.expire()
    for (const passedMs of [0, 599_000]) {
      bed.clock.advance(passedMs)
      await bed.sweeper.sweep()
      expect(await bed.store.sweep(9)).to.have.length(1)
    }
    bed.clock.advance(1_000)
    await bed.sweeper.sweep()
    expect([await bed.store.sweep(9), await bed.used(gone)]).to.deep.equal([[], 10])
    expect(bed.logged).to.deep.equal([
      'a call was settled without the limits that nobody knows any more: there it stays as reserved',
    ])
  })

  it('is not held up by a hundred that it leaves', async () => {
    const bed = new Bed()
    for (let index = 0; index < 100; index += 1) {
      await bed.hold(`a${index}`, gone)
      await bed.ended(`a${index}`, [[gone, 3]])
    }
    await bed.hold('b')
    bed.expire()
    await bed.sweeper.sweep()
    await bed.sweeper.sweep()
    expect((await bed.entries()).find(({ id }) => id === 'b')).to.include({ outcome: 'expired' })
    expect(await bed.store.sweep(999)).to.have.length(100)
  })

  it('writes the right unit of a limit that nobody knows any more', async () => {
    const bed = new Bed()
    await bed.hold('a', gone)
    bed.expire()
    await bed.sweeper.sweep()
    expect((await bed.entries())[0]!.charges[0]).to.include({ counter: 'gone/tokens', unit: 'tokens', actual: 10 })
  })
})

describe('readContext', () => {
  it('reads what was written, as far as a store has kept it', () => {
    const written = readContext(CONTEXT)
    expect(writeContext(written)).to.equal(CONTEXT)
    for (let length = 0; length <= CONTEXT.length; length += 1)
      expect(readContext(CONTEXT.slice(0, length)).tenant).to.be.a('string')
    expect(readContext(writeContext({ ...written, model: 'two\nlines' })).plans).to.deep.equal(written.plans)
  })

  it('has lost nothing but the end of a model that was too long', () => {
    const written = readContext(writeContext({ ...WHO, model: 'x'.repeat(10_000) }, P))
    expect(written).to.deep.equal({ ...WHO, model: 'x'.repeat(128), units: { 'p/tokens': 'tokens' } })
  })

  it('keeps to what stores take, whatever a host puts into dimensions', () => {
    const text = writeContext({ ...WHO, dimensions: { ...WHO.dimensions, note: 'x'.repeat(10_000) } }, P)
    expect(text).to.have.length(4_000)
    const { plans, units, dimensions } = readContext(text)
    expect({ plans, units, dimensions }).to.deep.equal({
      plans: WHO.plans,
      units: { 'p/tokens': 'tokens' },
      dimensions: { tenant: 'acme', key: 'alice' },
    })
  })

  it('takes names as they are, whatever lines they have', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '\n', '\\', 'n', ' '), minLength: 1 })
    fc.assert(
      fc.property(name, name, name, name, (tenant, subject, callId, model) => {
        const who = { ...WHO, tenant, subject, callId, model, dimensions: { tenant, key: subject } }
        expect(readContext(writeContext(who, P))).to.deep.equal({ ...who, units: { 'p/tokens': 'tokens' } })
      }),
      { numRuns: runs(200) },
    )
  })
})
