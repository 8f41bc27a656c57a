import { randomUUID } from 'node:crypto'
import { setTimeout as later } from 'node:timers/promises'
import {
  Admission,
  bindLimits,
  CompiledPlan,
  isQuotaError,
  MemoryLedger,
  type BoundLimit,
  type CounterEventQuery,
  type Reservation,
  type SeedRequest,
  type UsageEntry,
} from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { expect } from 'chai'
import { useRedis } from './redis-bed.ts'

const PLAN = new CompiledPlan({
  name: 'pro',
  limits: [
    { name: 'ever', unit: 'requests', quota: 100_000, window: { kind: 'lifetime' }, onUnavailable: 'admit' },
    {
      name: 'month',
      unit: 'requests',
      quota: 100_000,
      window: { kind: 'fixed', every: 'month' },
      onUnavailable: 'admit',
    },
  ],
})

/** A ledger that is slow each time, and counts how often all of it was read. */
class SlowLedger extends MemoryLedger {
  readonly #ms: number
  wholeReadings = 0
  readings = 0

  constructor(ms: number) {
    super()
    this.#ms = ms
  }

  override async counterEvents(query: CounterEventQuery): ReturnType<MemoryLedger['counterEvents']> {
    if (query.after === undefined) {
      this.readings += 1
      if (query.fromMs === 0) this.wholeReadings += 1
    }
    const page = await super.counterEvents(query)
    await later(this.#ms)
    return page
  }
}

class WatchedStore extends RedisCounterStore {
  /** How many ids came with each seed. */
  readonly closed: number[] = []

  override seed(request: SeedRequest): Promise<boolean> {
    this.closed.push(request.closed.length)
    return super.seed(request)
  }
}

describe('Counters in Redis that are rebuilt while calls end', () => {
  const bed = useRedis()

  const admissionOn = (ledger: MemoryLedger, prefix: string): Admission => {
    const store = new RedisCounterStore({ client: bed.client, prefix })
    return new Admission({ store, rebuild: { ledger, withinMs: 50, answerWithinMs: 10_000 } })
  }

  it('are known again at the second reading, though every call before it ended uncounted', async () => {
    const ledger = new SlowLedger(150)
    const admission = admissionOn(ledger, `test:${randomUUID()}:`)
    const ends: Promise<void>[] = []
    let isCounted = false
    for (let index = 0; !isCounted && index < 200; index += 1) {
      const decision = await admission.admit({ id: `c${index}`, bound: BOUND, amounts: {}, context: '' })
      if (!decision.admitted) throw new Error(decision.reason)
      isCounted = decision.counted
      ends.push(later(5).then(() => end(ledger, admission, decision.reservation!)))
    }
    await Promise.all(ends)
    expect(isCounted).to.equal(true)
    expect([ledger.wholeReadings, ledger.readings]).to.deep.equal([1, 2])
    expect(await used(admission)).to.deep.equal([ends.length, ends.length])
  })

  it('are known again to several processes that rebuild them at once', async () => {
    const ledger = new SlowLedger(150)
    const prefix = `test:${randomUUID()}:`
    const nodes = Array.from({ length: 3 }, () => admissionOn(ledger, prefix))
    const ends: Promise<void>[] = []
    const work = async (admission: Admission, node: number): Promise<boolean> => {
      await later(node * 100)
      for (let index = 0; index < 200; index += 1) {
        const decision = await admission.admit({ id: `n${node}-${index}`, bound: BOUND, amounts: {}, context: '' })
        if (!decision.admitted) throw new Error(decision.reason)
        ends.push(later(5).then(() => end(ledger, admission, decision.reservation!)))
        if (decision.counted) return true
      }
      return false
    }
    expect(await Promise.all(nodes.map(work))).to.deep.equal([true, true, true])
    await Promise.all(ends)
    expect(await used(nodes[0]!)).to.deep.equal([ends.length, ends.length])
  })

  it('are told what ended in the last minute in pieces', async () => {
    const ledger = new SlowLedger(0)
    const store = new WatchedStore({ client: bed.client, prefix: `test:${randomUUID()}:` })
    const admission = new Admission({ store, rebuild: { ledger } })
    const atMs = Date.now()
    await ledger.append(Array.from({ length: 5_001 }, (_, index) => entry(`r${index}`, atMs)))
    expect(await used(admission)).to.deep.equal([5_001, 5_001])
    expect(store.closed).to.deep.equal([2_000, 2_000, 1_001])
    for (const id of ['r0', 'r2000', 'r5000']) {
      expect(await store.holdState({ id, owner: OWNER })).to.deep.equal({ state: 'settled' })
    }
  })
})

const OWNER = 'tenant=t,key=k'
const BOUND: readonly BoundLimit[] = bindLimits({ plans: [PLAN], combine: 'all' }, { tenant: 't', key: 'k' }, {}, [
  'tenant',
  'key',
])

/** As a process does when a call ends: its entry first. */
async function end(ledger: MemoryLedger, admission: Admission, reservation: Reservation): Promise<void> {
  const atMs = admission.settlementTime(reservation)
  await ledger.append([entry(reservation.id, atMs)])
  await admission.settle(reservation, { requests: 1 }, atMs)
}

/** A reading may take longer than one who asks waits for it. */
async function used(admission: Admission): Promise<number[]> {
  for (;;) {
    try {
      return (await admission.read(BOUND)).statuses.map((status) => status.used)
    } catch (error) {
      if (!isQuotaError(error, 'ERR_QUOTA_LEDGER_UNAVAILABLE')) throw error
      await later(10)
    }
  }
}

function entry(id: string, atMs: number): UsageEntry {
  const of = { owner: OWNER, partition: OWNER, unit: 'requests', reserved: 1, actual: 1 } as const
  return {
    kind: 'usage',
    id,
    tenant: 't',
    atMs,
    callId: id,
    subject: 'k',
    dimensions: { tenant: 't', key: 'k' },
    plans: [],
    outcome: 'complete',
    streamed: false,
    admittedAtMs: atMs,
    durationMs: 0,
    charges: [
      { ...of, counter: 'pro/ever' },
      { ...of, counter: 'pro/month' },
    ],
    overage: false,
  }
}
