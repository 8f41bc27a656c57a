import { randomUUID } from 'node:crypto'
import type { Charge, ReserveReply, ReserveRequest } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeCounterStore, startRedisCluster, type TestRedisCluster, testCharge } from '@tallygate/testkit'
import { expect } from 'chai'
import { Cluster } from 'ioredis'

/** Names whose keys three masters share: by the slots of `a`, `b` and `c`. */
const OWNERS = ['a', 'b', 'c']
const SLOT_OF_A = 15_495

describe('with a real Redis Cluster', () => {
  let servers: TestRedisCluster
  let client: Cluster
  before(async function () {
    this.timeout(60_000)
    servers = await startRedisCluster({ replicas: 1 })
    client = new Cluster([...servers.urls], { retryDelayOnFailover: 20, retryDelayOnClusterDown: 20 })
  })
  after(async () => {
    client.disconnect()
    await servers.stop()
  })
  const prefix = (): string => `test:${randomUUID()}:`

  describeCounterStore('RedisCounterStore on a Cluster', async (clock) => {
    return new RedisCounterStore({ client, prefix: prefix(), clock: clock.now })
  })

  it('takes back what some owners granted when another refuses, and leaves no counter changed', async () => {
    const store = new RedisCounterStore({ client, prefix: prefix() })
    const charges = OWNERS.map((owner) => charge(owner, owner === 'c' ? { quota: 1 } : {}))
    expect(await outcome(store.reserve(request('r1', charges)))).to.equal('granted')
    const refused = await store.reserve(request('r2', charges))
    expect(refused).to.have.property('outcome', 'refused')
    const used = [1, 1, 1]
    expect(usedIn(refused)).to.deep.equal(used)
    expect((await store.read(charges)).statuses.map((each) => each.used)).to.deep.equal(used)
    const roomy = charges.map((each) => ({ ...each, quota: 10 }))
    expect(await outcome(store.reserve(request('r2', roomy))), 'an id that was refused can come again').to.equal(
      'granted',
    )
  })

  it('knows that a call is over, also where another owner refuses it first', async () => {
    const store = new RedisCounterStore({ client, prefix: prefix() })
    const charges = [charge('b', {}), charge('a', { quota: 0 })]
    expect(await outcome(store.reserve(request('r1', charges)))).to.equal('refused')
    await store.release({ id: 'r1', owner: 'b' })
    expect(await outcome(store.reserve(request('r1', charges)))).to.equal('closed')
  })

  it('leaves a bucket as it was that a call which another owner refuses would have begun or changed', async () => {
    const [name, nowMs] = [prefix(), 1_000_000]
    const store = new RedisCounterStore({ client, prefix: name, clock: () => nowMs })
    const full = charge('c', { quota: 0 })
    const firstUse = { kind: 'first-use', durationMs: 60_000, then: 'restart' } as const
    const begun = charge('a', { window: firstUse, amount: 0 }, 'plan/begun')
    const changed = charge('a', { window: firstUse, quota: 5 }, 'plan/changed')
    const replaced = charge('a', { amount: 3 }, 'plan/replaced')
    const all = [begun, changed, replaced]
    expect(await outcome(store.reserve(request('r1', all)))).to.equal('granted')
    const waits = { ...changed, quota: 9, onChange: { quota: 'next-window', duration: 'next-window' } } as const
    const look = async (): Promise<unknown> => (await store.read([begun, waits, replaced])).statuses
    const before = await look()
    const other = [
      { ...begun, window: { ...firstUse, durationMs: 90_000 } },
      { ...changed, quota: 7 },
      { ...replaced, window: { kind: 'sliding', bucketMs: 1_000, buckets: 4 } as const },
    ]
    for (const [at, charges] of [all, other, other, all].entries()) {
      expect(await outcome(store.reserve(request(`refused-${at}`, [...charges, full])))).to.equal('refused')
      expect(await look()).to.deep.equal(before)
    }
    const unused = charge('a', { window: firstUse }, 'plan/unused')
    await store.reserve(request('refused', [unused, full]))
    const later = new RedisCounterStore({ client, prefix: name, clock: () => nowMs + 1 })
    expect((await later.read([unused])).statuses[0]).to.include({ startMs: nowMs + 1, used: 0 })
  })

  it('is stale, or does not know a counter, before it refuses, whoever owns which', async () => {
    const store = new RedisCounterStore({ client, prefix: prefix(), clock: () => 1_000_000 })
    const full = charge('a', { quota: 0 })
    const unknown = charge('b', { isRebuilt: true })
    const stale = charge('c', { window: { kind: 'fixed', startMs: 0, endMs: 1_000, nextEndMs: 2_000 } })
    const answer = (...charges: Charge[]): Promise<ReserveReply> => store.reserve(request('r1', charges))
    expect(await answer(full, stale)).to.deep.equal({ outcome: 'stale', nowMs: 1_000_000 })
    expect(await answer(unknown, stale)).to.deep.equal({ outcome: 'stale', nowMs: 1_000_000 })
    expect(await answer(charge('a', {}), unknown, stale)).to.deep.equal({ outcome: 'stale', nowMs: 1_000_000 })
    expect(await answer(full, unknown)).to.deep.include({ outcome: 'unknown', unknown: [1] })
    expect((await store.read([full])).statuses[0]).to.include({ used: 0 })
  })

  it('grants where one alternative has room, whoever owns it, and charges all; refuses where none has', async () => {
    const store = new RedisCounterStore({ client, prefix: prefix() })
    const charges = [charge('a', { quota: 1, alternative: 1 }), charge('b', { quota: 2, alternative: 2 })]
    const outcomes = []
    for (const id of ['r1', 'r2', 'r3']) outcomes.push(await outcome(store.reserve(request(id, charges))))
    expect(outcomes).to.deep.equal(['granted', 'granted', 'refused'])
    expect((await store.read(charges)).statuses.map((each) => each.used)).to.deep.equal([2, 2])
  })

  it('a process that dies between two owners leaves a hold that expires', async () => {
    const name = prefix()
    let nowMs = 1_000_000
    const clock = (): number => nowMs
    const dying = new RedisCounterStore({ client: failingAfter(client, 1), prefix: name, clock })
    const charges = OWNERS.map((owner) => charge(owner, { onExpiry: 'release' }))
    await dying.reserve(request('r1', charges)).catch(() => {})
    const store = new RedisCounterStore({ client, prefix: name, clock })
    const used = async (): Promise<number[]> => (await store.read(charges)).statuses.map((each) => each.used)
    expect((await used()).reduce((sum, each) => sum + each)).to.equal(1)
    nowMs += 31_000
    for (const owner of OWNERS) await store.release({ id: 'another', owner })
    expect(await used()).to.deep.equal([0, 0, 0])
  })

  it('settles, releases and tells of what several owners hold, and lists it once when it expires', async () => {
    let nowMs = 1_000_000
    const store = new RedisCounterStore({ client, prefix: prefix(), clock: () => nowMs })
    const charges = OWNERS.map((owner) => charge(owner, {}))
    const used = async (): Promise<number[]> => (await store.read(charges)).statuses.map((each) => each.used)
    await store.reserve(request('r1', charges))
    expect(await store.holdState({ id: 'r1', owner: 'a' }))
      .to.have.property('held')
      .with.lengthOf(3)
    const settled = charges.map((each) => ({ charge: each, actual: 4 }))
    expect(await store.settle({ id: 'r1', owner: 'a', charges: settled, atMs: nowMs })).to.equal('settled')
    expect(await store.settle({ id: 'r1', owner: 'a', charges: settled, atMs: nowMs })).to.equal('closed')
    expect(await used()).to.deep.equal([4, 4, 4])
    await store.reserve(request('r2', charges))
    await store.release({ id: 'r2', owner: 'a' })
    expect(await used()).to.deep.equal([4, 4, 4])
    await store.reserve(request('r3', charges))
    nowMs += 600_000
    const expired = await store.sweep(10)
    expect(
      expired.map(({ id, kept }) => [id, kept.map(({ owner, amount }) => `${owner} ${amount}`).sort()]),
    ).to.deep.equal([['r3', ['a 1', 'b 1', 'c 1']]])
    await store.acknowledge(expired)
    expect(await store.sweep(10)).to.deep.equal([])
  })

  it('counts on, exactly, while the slot of an owner moves to another master', async function () {
    this.timeout(60_000)
    const store = new RedisCounterStore({ client, prefix: prefix() })
    const moving = charge('a', { quota: null })
    const move = { isOver: false }
    let granted = 0
    const worker = async (number: number): Promise<void> => {
      for (let call = 0; !move.isOver || call < 20; call += 1) {
        await untilAnswered(() => store.reserve(request(`m${number}-${call}`, [moving])))
        granted += 1
      }
    }
    const workers = [0, 1, 2, 3].map(worker)
    const before = await servers.masterOf(SLOT_OF_A)
    for (let times = 0; times < 3; times += 1) await servers.moveSlot(SLOT_OF_A)
    await servers.moveSlot(SLOT_OF_A)
    move.isOver = true
    await Promise.all(workers)
    expect(await servers.masterOf(SLOT_OF_A)).to.not.equal(before)
    expect((await store.read([moving])).statuses[0]!.used).to.equal(granted)
  })

  it('counts on after a failover, and calls counters unknown that the new master may have lost', async function () {
    this.timeout(60_000)
    const name = prefix()
    const store = await RedisCounterStore.connect({ nodes: servers.urls, prefix: name, commandTimeoutMs: 5_000 })
    const long = charge('b', { isRebuilt: true, quota: null })
    const short = charge('b', { quota: null }, 'short')
    const unknown = await store.reserve(request('r1', [long]))
    if (unknown.outcome !== 'unknown') throw new Error(`expected an unknown counter, and it was ${unknown.outcome}`)
    const seed = { charge: long, startMs: 0, endMs: null, used: 7, quota: null, toppedUp: 0 }
    const from = { owner: 'b', counters: [seed], closed: [], countedUntilMs: 0 }
    expect(await store.seed({ ...from, fence: unknown.fence })).to.equal(true)
    expect(usedIn(await store.reserve(request('r1', [long])))).to.deep.equal([8])
    await servers.failOver(await servers.masterOf(3_300))
    expect(await outcome(untilAnswered(() => store.reserve(request('r2', [short]))))).to.equal('granted')
    const again = await untilAnswered(() => store.reserve(request('r3', [long])))
    if (again.outcome !== 'unknown') throw new Error(`expected an unknown counter, and it was ${again.outcome}`)
    expect(await store.seed({ ...from, fence: again.fence })).to.equal(true)
    // 7 by the ledger, 8 where the replica had received the first call; and one more.
    expect(usedIn(await store.reserve(request('r3', [long])))[0]).to.be.within(8, 9)
    await store.close()
  })
})

/** A client whose process is gone after so many scripts. */
function failingAfter(client: Cluster, scripts: number): Cluster {
  let left = scripts
  const gone = (): Promise<never> => Promise.reject(new Error('this process is dead'))
  return new Proxy(client, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      if (name !== 'evalsha' && name !== 'eval') return value.bind(target)
      return async (...args: unknown[]) => {
        if (String(args[2]).includes(':h:') && (left -= name === 'evalsha' ? 1 : 0) < 0) return gone()
        return (value as (...all: unknown[]) => Promise<unknown>).apply(target, args)
      }
    },
  })
}

function charge(owner: string, overrides: Partial<Charge>, counter = 'plan/limit'): Charge {
  return { ...testCharge({ owner, partition: owner, counter }), ...overrides }
}

function request(id: string, charges: readonly Charge[]): ReserveRequest {
  return { id, owner: charges[0]!.counter.owner, charges, lifetimeMs: 30_000, context: 'c' }
}

async function outcome(reply: Promise<ReserveReply>): Promise<string> {
  return (await reply).outcome
}

function usedIn(reply: ReserveReply): readonly number[] {
  return 'statuses' in reply ? reply.statuses.map(({ used }) => used) : []
}

/** A call is safe to repeat, and is, until the Cluster has an answer again. */
async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await call()
    } catch (error) {
      if (tries === 500) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}
