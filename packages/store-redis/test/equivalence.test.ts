import { randomUUID } from 'node:crypto'
import { MemoryCounterStore, type Charge, type ChargeWindow, type CounterStore } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SettableClock, startRedis, type TestRedis, runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { Redis } from 'ioredis'

const MINUTE = 60_000
const LIFETIME = 45_000

/** One operation, on a store whose clock is at `nowMs`. */
type Step =
  | { readonly kind: 'advance'; readonly byMs: number }
  | { readonly kind: 'reserve' | 'extend'; readonly id: string; readonly charges: readonly ChargeSketch[] }
  | {
      readonly kind: 'settle'
      readonly id: string
      readonly actuals: readonly number[]
      readonly charges: readonly ChargeSketch[]
    }
  | { readonly kind: 'release'; readonly id: string }
  | { readonly kind: 'read'; readonly charges: readonly ChargeSketch[] }

interface ChargeSketch extends Omit<Charge, 'window' | 'counter'> {
  readonly name: string
  readonly window: ChargeWindow['kind']
}

const id = fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6')
const change = fc.constantFrom<'now' | 'next-window'>('now', 'next-window')
const sketch: fc.Arbitrary<ChargeSketch> = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  window: fc.constantFrom<ChargeWindow['kind']>('fixed', 'sliding', 'first-use', 'lifetime', 'concurrent'),
  amount: fc.nat(6),
  quota: fc.option(fc.nat(20), { freq: 8 }),
  trip: fc.constantFrom<Charge['trip']>('fits', 'reached', 'exceeded'),
  effect: fc.constantFrom<Charge['effect']>('refuse', 'refuse', 'flag', 'shadow'),
  onChange: fc.record({ quota: change, duration: change }),
  onExpiry: fc.constantFrom<Charge['onExpiry']>('keep', 'release'),
  alternative: fc.constantFrom(0, 0, 1, 2),
  isRebuilt: fc.constant(false),
})
const charges = fc.uniqueArray(sketch, { selector: ({ name }) => name, minLength: 1, maxLength: 4 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('advance' as const),
      byMs: fc.constantFrom(1, 999, 6_000, 20_000, 46_000, 61_000),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('reserve' as const), id, charges }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('extend' as const), id, charges }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      id,
      charges,
      actuals: fc.array(fc.nat(12), { minLength: 4, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('read' as const), charges }) },
)

describe('MemoryCounterStore and RedisCounterStore', () => {
  let server: TestRedis
  let client: Redis
  before(async () => {
    server = await startRedis()
    client = new Redis(server.url)
  })
  after(async () => {
    client.disconnect()
    await server.stop()
  })

  it('agree on any sequence of operations', async function () {
    this.timeout(120_000)
    const numRuns = runs(300)
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const clock = new SettableClock()
        const memory = new MemoryCounterStore({ clock: clock.now, closedForMs: 15 * 60_000 })
        const redis = new RedisCounterStore({ client, prefix: `test:${randomUUID()}:`, clock: clock.now })
        for (const each of steps) {
          if (each.kind === 'advance') clock.advance(each.byMs)
          else expect(await run(redis, each, clock.now())).to.deep.equal(await run(memory, each, clock.now()))
        }
      }),
      { numRuns },
    )
  })
})

async function run(store: CounterStore, step: Exclude<Step, { kind: 'advance' }>, nowMs: number): Promise<unknown> {
  if (step.kind === 'release') return store.release({ id: step.id, owner: 'o' })
  const built = step.charges.map((each) => chargeAt(each, nowMs))
  switch (step.kind) {
    case 'read':
      return store.read(built)
    case 'settle': {
      const settled = built.map((charge, index) => ({ charge, actual: step.actuals[index]! }))
      return store.settle({ id: step.id, owner: 'o', charges: settled, atMs: nowMs })
    }
    default:
      return store[step.kind]({ id: step.id, owner: 'o', charges: built, lifetimeMs: LIFETIME, context: 'c' })
  }
}

/** A counter keeps its kind: its name says which. */
function chargeAt({ name, window, ...rest }: ChargeSketch, nowMs: number): Charge {
  const partition = name < 'c' ? 'tenant=t,key=k' : 'tenant=t'
  const counter = `plan/${name}-${window}`
  return {
    ...rest,
    counter: { owner: 'o', partition, name: counter, key: `o ${partition} ${counter}` },
    window: windowAt(window, nowMs),
  }
}

function windowAt(kind: ChargeWindow['kind'], nowMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / MINUTE) * MINUTE
  if (kind === 'fixed') return { kind, startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
  if (kind === 'sliding') return { kind, bucketMs: 6_000, buckets: 10 }
  if (kind === 'first-use') return { kind, durationMs: MINUTE, then: 'restart' }
  return { kind }
}
