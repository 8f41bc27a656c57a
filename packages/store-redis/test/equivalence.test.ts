import { randomUUID } from 'node:crypto'
import {
  MemoryCounterStore,
  type Charge,
  type ChargeWindow,
  type CounterStore,
  type ReserveReply,
} from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { runs, SettableClock, startRedisCluster, type TestRedisCluster } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { Cluster } from 'ioredis'
import { useRedis } from './redis-bed.ts'

const MINUTE = 60_000
const LIFETIME = 45_000
const OWNER = 'o'

/** One operation, on a store whose clock is at `nowMs`. `list`: index of the charges that it is about. */
type Step =
  | { readonly kind: 'advance'; readonly byMs: number }
  | { readonly kind: 'reserve'; readonly id: string; readonly list: number; readonly amount: number }
  | { readonly kind: 'extend'; readonly id: string; readonly list: number; readonly amount: number }
  | { readonly kind: 'read'; readonly id: string; readonly list: number; readonly amount: number }
  | {
      readonly kind: 'settle'
      readonly id: string
      readonly list: number
      readonly amount: number
      readonly ago: number
    }
  | { readonly kind: 'release'; readonly id: string }
  | { readonly kind: 'holdState'; readonly id: string }
  | {
      readonly kind: 'adjust'
      readonly id: string
      readonly list: number
      readonly adjustment: 'reset' | 'top-up' | 'refund'
      readonly amount: number
    }
  | { readonly kind: 'seed'; readonly used: number; readonly toppedUp: number; readonly closed: readonly string[] }

interface ChargeSketch extends Omit<Charge, 'window' | 'counter'> {
  readonly name: string
  readonly window: ChargeWindow['kind']
}

// No more than one call expires: which of more go first is for the store to say.
const id = fc.nat(7).map((index) => `attempt-${index}`)
const list = fc.constantFrom(0, 0, 0, 1, 2)
const amount = fc.nat(8)
const change = fc.constantFrom<'now' | 'next-window'>('now', 'now', 'next-window')
const sketch: fc.Arbitrary<ChargeSketch> = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  window: fc.constantFrom<ChargeWindow['kind']>('fixed', 'fixed', 'sliding', 'first-use', 'lifetime', 'concurrent'),
  amount: fc.nat(6),
  quota: fc.option(fc.constantFrom(0, 5, 20, 60, 200), { freq: 8 }),
  trip: fc.constantFrom<Charge['trip']>('fits', 'reached', 'exceeded'),
  effect: fc.constantFrom<Charge['effect']>('refuse', 'refuse', 'flag', 'shadow'),
  onChange: fc.record({ quota: change, duration: change }),
  onExpiry: fc.constantFrom<Charge['onExpiry']>('keep', 'release'),
  alternative: fc.constantFrom(0, 0, 0, 1, 2),
  isRebuilt: fc.constantFrom(false, false, true),
})
const charges = fc.uniqueArray(sketch, { selector: ({ name }) => name, minLength: 1, maxLength: 4 })
/** Different charges of the same partitions, or always the same, as most calls of a caller are. */
const sameLists = charges.map((same) => [same, same, same])
const lists = fc.oneof(fc.array(charges, { minLength: 3, maxLength: 3 }), sameLists)
const kind = <K extends Step['kind']>(name: K): fc.Arbitrary<K> => fc.constant(name)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: kind('advance'), byMs: fc.constantFrom(1, 999, 6_000, 20_000, 46_000, 61_000) }),
  },
  { weight: 12, arbitrary: fc.record({ kind: kind('reserve'), id, list, amount }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('extend'), id, list, amount }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: kind('settle'), id, list, amount, ago: fc.constantFrom(0, 0, 1_000, 30_000) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind('release'), id }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('holdState'), id }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('read'), id, list, amount }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kind('adjust'),
      id: fc.constantFrom('j1', 'j2', 'j3'),
      list,
      adjustment: fc.constantFrom('reset', 'top-up', 'refund'),
      amount,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: kind('seed'),
      used: fc.nat(9),
      toppedUp: fc.nat(3),
      closed: fc.array(id, { maxLength: 1 }),
    }),
  },
)
/** Calls as they mostly are: reserved, settled a little later, once; of one shape or of several that count on one key. */
const ordinary = fc
  .array(
    fc.record({
      list,
      amount,
      used: fc.nat(12),
      afterMs: fc.constantFrom(0, 1, 999, 7_000, 20_000),
      ago: fc.constantFrom(0, 1_000, 8_000),
    }),
    {
      minLength: 5,
      maxLength: 25,
    },
  )
  .map((calls) =>
    calls.flatMap(({ list: of, amount: reserved, used, afterMs, ago }, index): Step[] => [
      { kind: 'reserve', id: `ordinary-${index}`, list: of, amount: reserved },
      { kind: 'advance', byMs: afterMs },
      { kind: 'settle', id: `ordinary-${index}`, list: of, amount: used, ago },
      { kind: 'read', id: '', list: of, amount: 1 },
    ]),
  )
const steps = fc.array(step, { minLength: 10, maxLength: 60 })

describe('MemoryCounterStore and RedisCounterStore', () => {
  const bed = useRedis()

  for (const { mostShapes, scripts } of [
    { mostShapes: 500, scripts: 'a script for each shape of charges' },
    { mostShapes: 0, scripts: 'one script for all' },
  ]) {
    it(`agree on any sequence of operations, with ${scripts}`, async function () {
      this.timeout(600_000)
      await agree(runs(300), (clock) => {
        return new RedisCounterStore({
          client: bed.client,
          prefix: `test:${randomUUID()}:`,
          clock: clock.now,
          mostShapes,
        })
      })
    })
  }
})

describe('MemoryCounterStore and RedisCounterStore, in the ordinary case', () => {
  const bed = useRedis()

  it('agree on calls that are reserved and settled', async function () {
    this.timeout(600_000)
    const open = (clock: SettableClock): CounterStore =>
      new RedisCounterStore({ client: bed.client, prefix: `test:${randomUUID()}:`, clock: clock.now })
    await agree(runs(300), open, { withRebuild: false, sequences: ordinary })
  })
})

describe('MemoryCounterStore and RedisCounterStore on a Cluster', () => {
  let servers: TestRedisCluster
  let client: Cluster
  before(async function () {
    this.timeout(60_000)
    servers = await startRedisCluster()
    client = new Cluster([...servers.urls])
  })
  after(async () => {
    client.disconnect()
    await servers.stop()
  })

  for (const { owners, title } of [
    { owners: [OWNER], title: 'of one owner' },
    { owners: [OWNER, 'p', 'q'], title: 'of several owners, in several slots' },
  ]) {
    it(`agree on any sequence of operations on counters ${title}`, async function () {
      this.timeout(600_000)
      await agree(
        runs(100),
        (clock) => new RedisCounterStore({ client, prefix: `test:${randomUUID()}:`, clock: clock.now }),
        { owners, withRebuild: false },
      )
    })
  }
})

interface Agreement {
  /** Of several: an id is always about the same of them. */
  readonly owners: readonly string[]
  /** A Cluster does not know since when it has counted: it calls more counters unknown than memory does. */
  readonly withRebuild: boolean
  readonly sequences: fc.Arbitrary<Step[]>
}

async function agree(
  numRuns: number,
  open: (clock: SettableClock) => CounterStore,
  { owners = [OWNER], withRebuild = true, sequences = steps }: Partial<Agreement> = {},
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(owners.length === 1 ? lists : sameLists, sequences, async (sketches, sequence) => {
      const clock = new SettableClock()
      const memory = new Run(new MemoryCounterStore({ clock: clock.now, closedForMs: 1e9 }), clock, owners)
      const redis = new Run(open(clock), clock, owners)
      const usable = sketches.map((each) => each.map((one) => ({ ...one, isRebuilt: one.isRebuilt && withRebuild })))
      for (const each of sequence) {
        if (each.kind === 'advance') {
          clock.advance(each.byMs)
          if (owners.length > 1) for (const store of [memory, redis]) await store.touchAll()
        } else expect(await redis.do(each, usable), JSON.stringify(each)).to.deep.equal(await memory.do(each, usable))
      }
      clock.advance(10 * MINUTE)
      expect(await redis.expired()).to.deep.equal(await memory.expired())
    }),
    { numRuns },
  )
}

/** A store with what a node remembers of its answers. */
class Run {
  readonly #store: CounterStore
  readonly #clock: SettableClock
  readonly #owners: readonly string[]
  readonly #startMs: number
  #unknown: { readonly charges: readonly Charge[]; readonly fence: string } | undefined

  constructor(store: CounterStore, clock: SettableClock, owners: readonly string[]) {
    this.#store = store
    this.#clock = clock
    this.#owners = owners
    this.#startMs = clock.now()
  }

  async do(step: Exclude<Step, { kind: 'advance' }>, sketches: readonly (readonly ChargeSketch[])[]): Promise<unknown> {
    const store = this.#store
    const nowMs = this.#clock.now()
    if (step.kind === 'release') return store.release({ id: step.id, owner: OWNER })
    if (step.kind === 'holdState') return sorted(await store.holdState({ id: step.id, owner: OWNER }))
    if (step.kind === 'seed') return this.#seed(step, nowMs)
    // Whether a store still knows a first-use window that is over is its own affair.
    const isFirstUse = sketches[step.list]!.some(({ window }) => window === 'first-use')
    const atMs = step.kind === 'settle' && !isFirstUse ? Math.max(this.#startMs, nowMs - step.ago) : nowMs
    const built = sketches[step.list]!.map((each, index) => this.#charge(each, atMs, index === 0 ? OWNER : undefined))
    switch (step.kind) {
      case 'read': {
        const { unknown, fence, ...reply } = await store.read(built)
        if (unknown.length > 0) this.#unknown = { charges: unknown.map((index) => built[index]!), fence }
        return { ...reply, unknown }
      }
      case 'settle': {
        const settled = built.map((charge) => ({ charge, actual: step.amount }))
        return store.settle({ id: step.id, owner: OWNER, charges: settled, atMs })
      }
      case 'adjust': {
        const [charge] = built
        const isSliding = charge!.window.kind === 'sliding' || charge!.window.kind === 'concurrent'
        const adjustment = isSliding ? 'reset' : step.adjustment
        return store.adjust({ id: step.id, charge: charge!, adjustment, amount: step.amount, atMs })
      }
      default: {
        const charges = built.map((each) => ({ ...each, amount: Math.min(each.amount, step.amount) }))
        const request = { id: step.id, owner: OWNER, charges, lifetimeMs: LIFETIME, context: 'c' }
        if (step.kind === 'extend') return store.extend(request)
        return this.#noted(await store.reserve(request), charges)
      }
    }
  }

  /** Lets what is due expire: an owner's next call does that, and of several owners not each has one now. */
  async touchAll(): Promise<void> {
    for (const owner of this.#owners) await this.#store.release({ id: 'none', owner })
  }

  async expired(): Promise<unknown> {
    const swept = await this.#store.sweep(100)
    return swept.map(sorted).sort((one, other) => (one!.id < other!.id ? -1 : 1))
  }

  #noted(reply: ReserveReply, charges: readonly Charge[]): unknown {
    if (reply.outcome !== 'unknown') return reply
    const { fence, ...rest } = reply
    this.#unknown = { charges: rest.unknown.map((index) => charges[index]!), fence }
    return rest
  }

  async #seed({ used, toppedUp, closed }: Extract<Step, { kind: 'seed' }>, nowMs: number): Promise<unknown> {
    if (this.#unknown === undefined) return undefined
    const { charges: unknown, fence } = this.#unknown
    this.#unknown = undefined
    const counters = unknown.map((charge) => {
      const { window } = charge
      const steps = window.kind === 'sliding' ? [[Math.floor(nowMs / window.bucketMs), used] as const] : undefined
      const begins =
        window.kind === 'fixed' ? { startMs: window.startMs, endMs: window.endMs } : { startMs: 0, endMs: null }
      const begun = window.kind === 'first-use' && used === 0 ? { startMs: null, endMs: null } : begins
      const started =
        window.kind === 'first-use' && used > 0 ? { startMs: nowMs, endMs: nowMs + window.durationMs } : begun
      return { charge, ...started, used, quota: charge.quota, toppedUp, ...(steps === undefined ? {} : { steps }) }
    })
    return this.#store.seed({ owner: OWNER, counters, fence, closed, countedUntilMs: nowMs })
  }

  /** A counter keeps its kind: its name says which. */
  #charge({ name, window, ...rest }: ChargeSketch, nowMs: number, given: string | undefined): Charge {
    const owner = given ?? this.#owners[name.charCodeAt(0) % this.#owners.length]!
    const partition = name < 'c' ? owner : 'tenant=t'
    const counter = `plan/${name}-${window}${rest.isRebuilt ? '-long' : ''}`
    return {
      ...rest,
      counter: { owner, partition, name: counter, key: `${owner} ${partition} ${counter}` },
      window: windowAt(window, nowMs, rest.isRebuilt, name === 'b' || name === 'd' ? 7_001 : 0),
    }
  }
}

/** In the order of counters, which stores are free to choose. */
function sorted<T extends object | undefined>(found: T): T {
  const byName = (one: { counter: string }, other: { counter: string }): number =>
    one.counter < other.counter ? -1 : 1
  if (found !== undefined && 'held' in found && Array.isArray(found.held))
    return { ...found, held: found.held.toSorted(byName) }
  if (found !== undefined && 'kept' in found && Array.isArray(found.kept))
    return { ...found, kept: found.kept.toSorted(byName) }
  return found
}

/** @param offsetMs 0: aligned to the epoch, as other calendar windows are not. */
function windowAt(kind: ChargeWindow['kind'], nowMs: number, isLong: boolean, offsetMs: number): ChargeWindow {
  const startMs = Math.floor((nowMs - offsetMs) / MINUTE) * MINUTE + offsetMs
  if (kind === 'fixed') return { kind, startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
  if (kind === 'sliding') return { kind, bucketMs: 6_000, buckets: 10 }
  // A rebuilt one that is over is known as such for as long as the store likes: it is not over here.
  if (kind === 'first-use') return { kind, durationMs: isLong ? 1_000 * MINUTE : MINUTE, then: 'restart' }
  return { kind }
}
