import { MemoryCounterStore, QuotaError, type Charge, type CounterStore, type ReserveReply } from '@tallygate/core'
import { Telemetry } from '@tallygate/telemetry'
import { expect } from 'chai'
import { GuardedCounterStore } from '../src/guarded-counter-store.ts'

const CHARGE: Charge = {
  counter: { owner: 'o', partition: 'p', name: 'plan/limit', key: 'o p plan/limit' },
  window: { kind: 'sliding', bucketMs: 6_000, buckets: 10 },
  amount: 1,
  quota: 10,
  trip: 'fits',
  effect: 'refuse',
  onChange: { quota: 'now', duration: 'now' },
  onExpiry: 'keep',
  alternative: 0,
  isRebuilt: false,
}
const AT_ONCE: ReserveReply = { outcome: 'granted', nowMs: 1, statuses: [] }
const DECIDE_WITHIN_MS = 40
/** What a busy machine may add to a timer, beyond the 20 ms that a decision may. */
const NOISE_MS = 100

function request(id: string): Parameters<CounterStore['reserve']>[0] {
  return { id, owner: 'o', charges: [CHARGE], lifetimeMs: 60_000, context: '' }
}

/** A counter store in memory that is taken away: in one of several ways, or not. */
class Behind {
  state: 'well' | 'silent' | 'failing' = 'well'
  /** Whether only decisions are concerned. */
  onlyReserve = false
  readonly memory = new MemoryCounterStore()
  /** Methods that were asked, in order. */
  asked: string[] = []
  /** Answers of a silent store, for when it wakes up. */
  #kept: (() => void)[] = []
  readonly store: CounterStore

  constructor() {
    const { memory } = this
    this.store = {
      capabilities: memory.capabilities,
      rebuildsFromMs: memory.rebuildsFromMs,
      reserve: (...args) => this.#ask('reserve', async () => memory.reserve(...args)),
      extend: (...args) => this.#ask('extend', async () => memory.extend(...args)),
      settle: (...args) => this.#ask('settle', async () => memory.settle(...args)),
      release: (...args) => this.#ask('release', async () => memory.release(...args)),
      adjust: (...args) => this.#ask('adjust', async () => memory.adjust(...args)),
      seed: (...args) => this.#ask('seed', async () => memory.seed(...args)),
      holdState: (...args) => this.#ask('holdState', async () => memory.holdState(...args)),
      read: (...args) => this.#ask('read', async () => memory.read(...args)),
      sweep: (...args) => this.#ask('sweep', async () => memory.sweep(...args)),
      acknowledge: (...args) => this.#ask('acknowledge', async () => memory.acknowledge(...args)),
      close: async () => memory.close(),
    }
  }

  /** What a silent store was asked is answered now. */
  wakeUp(): void {
    this.state = 'well'
    for (const answer of this.#kept.splice(0)) answer()
  }

  async #ask<T>(method: string, answer: () => Promise<T>): Promise<T> {
    this.asked.push(method)
    if (this.state === 'well' || (this.onlyReserve && method !== 'reserve')) return answer()
    if (this.state === 'failing') throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone')
    await new Promise<void>((resolve) => this.#kept.push(resolve))
    return answer()
  }
}

interface Opened {
  readonly behind: Behind
  readonly guard: GuardedCounterStore
  readonly logged: string[]
}

const guards: GuardedCounterStore[] = []

function opened(store?: CounterStore): Opened {
  const behind = new Behind()
  const logged: string[] = []
  const log = (message: string): void => void logged.push(message)
  const guard = new GuardedCounterStore({
    store: store ?? behind.store,
    telemetry: new Telemetry(),
    logger: { warn: log, error: log },
    decideWithinMs: DECIDE_WITHIN_MS,
    workWithinMs: 80,
  })
  guards.push(guard)
  return { behind, guard, logged }
}

/** The code of what something failed with, and after how long; thrown at once or not. */
async function failure(ask: () => unknown): Promise<{ code: unknown; afterMs: number; error: Error }> {
  const begunMs = performance.now()
  try {
    await ask()
  } catch (error) {
    return { code: (error as QuotaError).code, afterMs: performance.now() - begunMs, error: error as Error }
  }
  throw new Error('did not fail')
}

async function eventually(isSo: () => boolean | Promise<boolean>): Promise<number> {
  const begunMs = performance.now()
  while (!(await isSo())) {
    if (performance.now() - begunMs > 5_000) throw new Error('never came to be')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - begunMs
}

describe('GuardedCounterStore', () => {
  const unhandled: unknown[] = []
  const keep = (reason: unknown): void => void unhandled.push(reason)
  before(() => process.on('unhandledRejection', keep))
  after(() => process.off('unhandledRejection', keep))
  afterEach(async () => {
    for (const guard of guards.splice(0)) guard.stop()
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(unhandled.splice(0)).to.deep.equal([])
  })

  it('answers at once where the store does, with no promise and no timer', () => {
    const { guard } = opened({
      ...opened().behind.store,
      reserve: () => AT_ONCE,
      settle: () => 'settled',
      release() {},
    })
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = timers()
    expect(guard.reserve(request('1'))).to.equal(AT_ONCE)
    expect(guard.settle({ id: '1', owner: 'o', charges: [], atMs: 0 })).to.equal('settled')
    expect(guard.release({ id: '1', owner: 'o' })).to.equal(undefined)
    expect(timers()).to.equal(before)
  })

  it('hands on what the store says, in all its methods', async () => {
    const { guard, behind } = opened()
    expect(await guard.reserve(request('1'))).to.have.property('outcome', 'granted')
    await guard.extend(request('1'))
    expect(await guard.holdState({ id: '1', owner: 'o' })).to.have.property('state', 'reserved')
    expect((await guard.read([CHARGE])).statuses[0]).to.include({ used: 1 })
    const charges = [{ charge: CHARGE, actual: 3 }]
    expect(await guard.settle({ id: '1', owner: 'o', charges, atMs: Date.now() })).to.equal('settled')
    const refund = { id: 'a', charge: CHARGE, adjustment: 'refund', amount: 1, atMs: Date.now() } as const
    expect(await guard.adjust(refund)).to.equal(true)
    expect((await guard.read([CHARGE])).statuses[0]).to.include({ used: 2 })
    expect(await guard.seed({ owner: 'o', counters: [], fence: 'no', closed: [], countedUntilMs: 0 })).to.equal(false)
    expect(await guard.sweep(5)).to.deep.equal([])
    await guard.acknowledge([])
    await guard.release({ id: '2', owner: 'o' })
    expect(guard).to.include({ capabilities: behind.memory.capabilities, rebuildsFromMs: 0, isAway: false })
    await guard.close()
  })

  it('waits no longer than it is told for a store that says nothing, in any method', async () => {
    const asks: readonly (readonly [mostMs: number, ask: (guard: GuardedCounterStore) => unknown])[] = [
      [40, (guard) => guard.reserve(request('1'))],
      [40, (guard) => guard.read([CHARGE])],
      [40, (guard) => guard.seed({ owner: 'o', counters: [], fence: '', closed: [], countedUntilMs: 0 })],
      [80, (guard) => guard.settle({ id: '1', owner: 'o', charges: [], atMs: 0 })],
      [80, (guard) => guard.release({ id: '1', owner: 'o' })],
      [80, (guard) => guard.extend(request('1'))],
      [80, (guard) => guard.adjust({ id: 'a', charge: CHARGE, adjustment: 'reset', amount: 0, atMs: 0 })],
      [80, (guard) => guard.holdState({ id: '1', owner: 'o' })],
      [80, (guard) => guard.sweep(1)],
      [80, (guard) => guard.acknowledge([])],
    ]
    for (const [mostMs, ask] of asks) {
      const { guard, behind } = opened()
      behind.state = 'silent'
      const { code, afterMs } = await failure(() => ask(guard))
      expect(code, ask.toString()).to.equal('ERR_QUOTA_STORE_UNAVAILABLE')
      expect(afterMs, ask.toString()).to.be.within(mostMs - 1, mostMs + 20 + NOISE_MS)
      behind.wakeUp()
    }
  })

  it('tells hundreds of decisions in time, whenever they began', async () => {
    const { guard, behind } = opened()
    behind.state = 'silent'
    const waits: Promise<number>[] = []
    for (let turn = 0; turn < 30; turn += 1) {
      for (let call = 0; call < 10 && !guard.isAway; call += 1)
        waits.push(failure(() => guard.reserve(request(`${turn}.${call}`))).then(({ afterMs }) => afterMs))
      await new Promise(setImmediate)
    }
    const took = (await Promise.all(waits)).toSorted((one, other) => one - other)
    expect(took).to.have.length.above(100)
    expect(took[Math.floor(took.length * 0.95)]).to.be.below(DECIDE_WITHIN_MS + 20 + NOISE_MS)
    expect(took[0]).to.be.at.least(DECIDE_WITHIN_MS - 1)
  })

  it('takes an answer for being in time that has come while the event loop was busy', async () => {
    const { guard, behind } = opened()
    behind.state = 'silent'
    const deciding = guard.reserve(request('1'))
    setTimeout(() => {
      behind.wakeUp()
      const untilMs = performance.now() + 2 * DECIDE_WITHIN_MS
      while (performance.now() < untilMs);
    }, 5)
    expect(await deciding).to.have.property('outcome', 'granted')
  })

  it('says at once that the store is away, once it knows, and asks no more than whether it is back', async () => {
    const { guard, behind, logged } = opened()
    behind.state = 'silent'
    const begunMs = performance.now()
    await failure(() => guard.reserve(request('1')))
    await eventually(() => guard.isAway)
    expect(performance.now() - begunMs).to.be.below(1_000)
    behind.asked = []
    for (let call = 0; call < 100; call += 1) {
      const { code, afterMs, error } = await failure(() => guard.reserve(request(`${call}`)))
      expect(code).to.equal('ERR_QUOTA_STORE_UNAVAILABLE')
      expect(error).to.have.property('mayHaveRun', false)
      expect(afterMs).to.be.below(NOISE_MS)
    }
    await eventually(() => behind.asked.length > 0)
    expect(behind.asked).to.deep.equal(['read'])
    expect(logged).to.deep.equal(['the counters are away: limits do what they say for that'])
  })

  for (const state of ['silent', 'failing'] as const) {
    it(`asks a ${state} store again within two seconds of its return, and says so once`, async () => {
      const { guard, behind, logged } = opened()
      behind.state = state
      await failure(() => guard.reserve(request('1')))
      await eventually(() => guard.isAway)
      await new Promise((resolve) => setTimeout(resolve, 500))
      behind.wakeUp()
      expect(await eventually(() => !guard.isAway)).to.be.below(2_000)
      expect(await guard.reserve(request('2'))).to.have.property('outcome', 'granted')
      expect(logged).to.have.length(2)
      expect(logged[1]).to.equal('the counters are back')
    })
  }

  it('is not put off by one call that fails, where the store answers others', async () => {
    const { guard, behind, logged } = opened()
    behind.state = 'silent'
    behind.onlyReserve = true
    const probes = (): number => behind.asked.filter((method) => method === 'read').length
    await failure(() => guard.reserve(request('1')))
    await eventually(() => probes() === 1)
    behind.wakeUp()
    expect(await guard.reserve(request('2'))).to.have.property('outcome', 'granted')
    expect([guard.isAway, logged]).to.deep.equal([false, []])
  })

  it('takes a store for there that answers a probe with a mistake', async () => {
    const { behind } = opened()
    behind.state = 'failing'
    let probes = 0
    const read = (): never => {
      probes += 1
      throw new TypeError('a bug')
    }
    const { guard, logged } = opened({ ...behind.store, read })
    await failure(() => guard.reserve(request('1')))
    await eventually(() => probes === 1)
    await new Promise(setImmediate)
    expect([guard.isAway, logged]).to.deep.equal([false, []])
  })

  it('probes once for many failures at a time', async () => {
    const { guard, behind } = opened()
    behind.state = 'failing'
    behind.onlyReserve = true
    await Promise.all(Array.from({ length: 50 }, (_, call) => failure(() => guard.reserve(request(`${call}`)))))
    expect(behind.asked.filter((method) => method === 'read')).to.have.length(1)
  })

  it('takes a mistake for a mistake, and hands it on', async () => {
    for (const reserve of [
      () => Promise.reject(new TypeError('a bug')),
      () => {
        throw new TypeError('a bug')
      },
    ]) {
      const { behind } = opened()
      const { guard } = opened({ ...behind.store, reserve })
      expect((await failure(() => guard.reserve(request('1')))).error).to.be.instanceOf(TypeError)
      expect(behind.asked).to.deep.equal([])
    }
  })

  it('gives back what is granted after it was given up and released', async () => {
    const { guard, behind } = opened()
    behind.state = 'silent'
    behind.onlyReserve = true
    await failure(() => guard.reserve(request('refused')))
    await failure(() => guard.reserve(request('admitted')))
    // The release overtakes the reservation, and finds nothing.
    await guard.release({ id: 'refused', owner: 'o' })
    behind.wakeUp()
    await eventually(async () => (await guard.holdState({ id: 'refused', owner: 'o' }))?.state === 'released')
    expect(await guard.holdState({ id: 'admitted', owner: 'o' })).to.have.property('state', 'reserved')
    expect((await guard.read([CHARGE])).statuses[0]).to.include({ used: 1 })
  })

  it('has no more time for a decision that the store must be asked for again', async () => {
    const { behind } = opened()
    let stale = 0
    const reserve = async (): Promise<ReserveReply> => {
      await new Promise((resolve) => setTimeout(resolve, 30))
      return { outcome: 'stale', nowMs: (stale += 1) }
    }
    const { guard } = opened({ ...behind.store, reserve })
    const begunMs = performance.now()
    expect(await guard.reserve(request('1'))).to.deep.equal({ outcome: 'stale', nowMs: 1 })
    expect(await failure(() => guard.reserve(request('1')))).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
    expect(performance.now() - begunMs).to.be.below(DECIDE_WITHIN_MS + 20 + NOISE_MS)
  })

  it('lets a few settlements through to a store that is only slow, and the rest fail at once', async () => {
    const { guard, behind } = opened()
    for (const id of ['1', '2', '3']) await guard.reserve(request(id))
    behind.state = 'silent'
    await failure(() => guard.reserve(request('late')))
    await eventually(() => guard.isAway)
    behind.asked = []
    const settle = (id: string): unknown =>
      guard.settle({ id, owner: 'o', charges: [{ charge: CHARGE, actual: 2 }], atMs: Date.now() })
    const settling = Array.from({ length: 20 }, (_, index) => failure(() => settle(`${index}`)))
    const codes = new Set((await Promise.all(settling)).map(({ code }) => code))
    expect(codes).to.deep.equal(new Set(['ERR_QUOTA_STORE_UNAVAILABLE']))
    expect(behind.asked.filter((method) => method === 'settle')).to.have.length(8)
    expect((await failure(() => guard.extend(request('1')))).afterMs).to.be.below(NOISE_MS)
  })

  it('probes no more once it is stopped', async () => {
    const { guard, behind } = opened()
    behind.state = 'failing'
    await failure(() => guard.reserve(request('1')))
    await eventually(() => guard.isAway)
    guard.stop()
    behind.asked = []
    await new Promise((resolve) => setTimeout(resolve, 450))
    expect(behind.asked).to.deep.equal([])
  })
})
