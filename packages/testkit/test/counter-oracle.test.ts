import {
  COUNTER_STORE_CAPABILITIES,
  MemoryCounterStore,
  type Charge,
  type CounterStore,
  type ReserveRequest,
} from '@tallygate/core'
import { CounterOracle } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { modelSequences } from '../src/model-command.ts'
import { ModelRun } from '../src/model-run.ts'
import { SettableClock } from '../src/settable-clock.ts'

const MINUTE = 60_000

describe('CounterOracle', () => {
  it('keeps what was reserved in its bucket, and charges an excess to the one of settlement', () => {
    const oracle = new CounterOracle()
    oracle.reserve(request('r1', minute(0, 4)))
    oracle.nowMs = MINUTE
    oracle.settle({ id: 'r1', owner: 'o', charges: [{ charge: minute(MINUTE, 4), actual: 9 }], atMs: MINUTE })
    expect(oracle.read([minute(MINUTE)])[0]).to.include({ used: 5, startMs: MINUTE, resetAtMs: 2 * MINUTE })
  })

  it('gives a surplus back only while its bucket is open', () => {
    for (const { atMs, used } of [
      { atMs: MINUTE - 1, used: 1 },
      { atMs: MINUTE, used: 4 },
    ]) {
      const oracle = new CounterOracle()
      oracle.reserve(request('r1', minute(0, 4)))
      oracle.settle({ id: 'r1', owner: 'o', charges: [{ charge: minute(atMs, 4), actual: 1 }], atMs })
      expect(oracle.read([minute(0)])[0]).to.include({ used })
    }
  })

  it('counts the oldest step of a sliding window whole', () => {
    const oracle = new CounterOracle()
    const window = { kind: 'sliding', bucketMs: 10, buckets: 3 } as const
    oracle.reserve(request('r1', { ...minute(0, 2), window }))
    oracle.nowMs = 39
    expect(oracle.read([{ ...minute(0), window }])[0]).to.include({ used: 2, resetAtMs: 40 })
    oracle.nowMs = 40
    expect(oracle.read([{ ...minute(0), window }])[0]).to.include({ used: 0 })
  })

  it('has what was settled of rebuilt counters left after a loss, and nothing else', () => {
    const oracle = new CounterOracle()
    const [rebuilt, other] = [{ ...minute(0, 3), isRebuilt: true }, named('other', 3)]
    for (const id of ['settled', 'open']) oracle.reserve(request(id, rebuilt, other))
    const charges = [rebuilt, other].map((charge) => ({ charge, actual: 2 }))
    oracle.settle({ id: 'settled', owner: 'o', charges, atMs: 5 })
    oracle.lose()
    expect(oracle.read([rebuilt, other]).map(({ used }) => used)).to.deep.equal([2, 0])
    expect(oracle.seedOf(rebuilt)).to.include({ startMs: 0, endMs: MINUTE, used: 2, quota: 10, toppedUp: 0 })
    expect(oracle.holdState('open')).to.equal(undefined)
  })
})

describe('a sequence beside the oracle', () => {
  const mistakes: readonly (readonly [what: string, mistake: (store: CounterStore) => Partial<CounterStore>])[] = [
    ['releases nothing', () => ({ release: () => undefined })],
    ['extends nothing', () => ({ extend: () => undefined })],
    [
      'charges a settlement twice',
      (store) => ({ settle: (asked) => store.settle({ ...asked, charges: asked.charges.map(doubled) }) }),
    ],
    [
      'takes a limit that is reached for one that has room',
      (store) => ({
        reserve: (asked) =>
          store.reserve({ ...asked, charges: asked.charges.map((each) => ({ ...each, trip: 'exceeded' })) }),
      }),
    ],
    ['keeps what a call that died has held', (store) => ({ reserve: (asked) => store.reserve(kept(asked)) })],
    [
      'is seeded with what was read before a settlement',
      (store) => ({
        seed: async (asked) => {
          const { fence } = await store.read(asked.counters.map(({ charge }) => charge))
          return store.seed({ ...asked, fence: fence === '' ? asked.fence : fence })
        },
      }),
    ],
    ['forgets what was counted already', (store) => ({ seed: (asked) => store.seed({ ...asked, closed: [] }) })],
    ['adjusts as often as it is asked', (store) => ({ adjust: (asked) => store.adjust({ ...asked, id: anyId() }) })],
    [
      'says of no counter when it has room',
      (store) => ({
        read: async (charges) => {
          const reply = await store.read(charges)
          return { ...reply, statuses: reply.statuses.map((status) => ({ ...status, roomAtMs: null })) }
        },
      }),
    ],
  ]
  const sequences = fc.sample(modelSequences(new Set(COUNTER_STORE_CAPABILITIES)), { seed: 1, numRuns: 400 })

  it('finds nothing in a store that makes no mistake', async () => {
    for (const sequence of sequences) await runOf(sequence, () => ({})).run()
  })

  for (const [what, mistake] of mistakes) {
    it(`finds a store that ${what}`, async () => {
      const ends = await Promise.all(sequences.map((sequence) => agrees(sequence, mistake)))
      expect(ends).to.include(false)
    })
  }
})

async function agrees(
  sequence: Parameters<typeof runOf>[0],
  mistake: (store: CounterStore) => Partial<CounterStore>,
): Promise<boolean> {
  try {
    await runOf(sequence, mistake).run()
    return true
  } catch {
    return false
  }
}

function runOf(
  sequence: ConstructorParameters<typeof ModelRun>[0],
  mistake: (store: CounterStore) => Partial<CounterStore>,
): ModelRun {
  const clock = new SettableClock()
  const open = async (): Promise<CounterStore> => {
    const store = new MemoryCounterStore({ clock: clock.now, closedForMs: 86_400_000 })
    const wrong = mistake(store)
    return new Proxy<CounterStore>(store, {
      get: (_, name) => {
        const member: unknown = Reflect.get(name in wrong ? wrong : store, name, name in wrong ? wrong : store)
        return typeof member === 'function' ? (member.bind(store) as unknown) : member
      },
    })
  }
  return new ModelRun(sequence, { clock, open, owners: 1, expires: true, sweepsAtOnce: true, stepMs: 1 })
}

function doubled({ charge, actual }: { readonly charge: Charge; readonly actual: number }): {
  charge: Charge
  actual: number
} {
  return { charge, actual: 2 * actual }
}

function kept(asked: ReserveRequest): ReserveRequest {
  return { ...asked, charges: asked.charges.map((each) => ({ ...each, onExpiry: 'keep' })) }
}

let ids = 0
function anyId(): string {
  ids += 1
  return `any-${ids}`
}

function request(id: string, ...charges: Charge[]): ReserveRequest {
  return { id, owner: 'o', charges, lifetimeMs: MINUTE, context: '' }
}

function named(name: string, amount: number): Charge {
  return { ...minute(0, amount), counter: { owner: 'o', partition: 'p', name, key: `o p ${name}` } }
}

function minute(nowMs: number, amount = 1): Charge {
  const startMs = Math.floor(nowMs / MINUTE) * MINUTE
  return {
    counter: { owner: 'o', partition: 'p', name: 'n', key: 'o p n' },
    window: { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE },
    amount,
    quota: 10,
    trip: 'fits',
    effect: 'refuse',
    onChange: { quota: 'now', duration: 'now' },
    onExpiry: 'keep',
    alternative: 0,
    isRebuilt: false,
  }
}
