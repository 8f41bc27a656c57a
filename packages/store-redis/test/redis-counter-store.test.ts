import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Charge, ReserveReply, SeededCounter } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeCounterStore, startRedis, testCharge } from '@tallygate/testkit'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { useRedis } from './redis-bed.ts'

/** What a decision takes where nothing is out of the ordinary, and a settlement. Otherwise things are read a second time. */
const ORDINARY = ['evalsha 1', 'get 1', 'set 2', 'time 1']
const SETTLED = ['evalsha 1', 'get 2', 'set 2', 'time 1']

describe('with a real Redis', () => {
  const bed = useRedis()
  const prefix = (): string => `test:${randomUUID()}:`
  /** What the server does for some work: commands, each with how often. */
  const commandsOf = async (work: () => Promise<unknown>, client = bed.client): Promise<readonly string[]> => {
    await client.config('RESETSTAT')
    await work()
    const stats = await client.info('commandstats')
    const calls = [...stats.matchAll(/^cmdstat_([a-z|]+):calls=(\d+)/gm)].map(([, name, times]) => `${name} ${times}`)
    return calls.filter((each) => !each.startsWith('config')).sort()
  }

  describeCounterStore('RedisCounterStore', async (clock) => {
    return new RedisCounterStore({ client: bed.client, prefix: prefix(), clock: clock.now })
  })

  describe('RedisCounterStore', () => {
    it('goes by the clock of the server', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
      const { nowMs } = await store.read([charge({ window: { kind: 'lifetime' } })])
      const seconds = Number.parseInt(String(await bed.client.time()), 10)
      expect(nowMs / 1_000).to.be.closeTo(seconds, 2)
    })

    it('never goes back behind a time it has seen, even if the server does', async () => {
      const name = prefix()
      const at = (nowMs: number): RedisCounterStore =>
        new RedisCounterStore({ client: bed.client, prefix: name, clock: () => nowMs })
      await at(5_000).reserve(request('r1', charge({ window: sliding })))
      expect(await at(1_000).read([charge({ window: sliding })])).to.have.property('nowMs', 5_000)
    })

    it('survives a server that has forgotten its scripts', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
      await store.reserve(request('r1', charge({})))
      await bed.client.script('FLUSH')
      expect(await store.reserve(request('r2', charge({})))).to.have.property('outcome', 'granted')
    })

    it('connects again by itself, and counts on', async () => {
      const store = await RedisCounterStore.connect({ url: bed.server.url, prefix: prefix(), commandTimeoutMs: 2_000 })
      await store.reserve(request('r1', charge({})))
      await bed.client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      const reply = await eventually(() => store.reserve(request('r2', charge({}))))
      expect(reply).to.have.property('outcome', 'granted')
      expect((await store.read([charge({})])).statuses[0]).to.include({ used: 2 })
      await store.close()
    })

    it('is unavailable while its master is a replica, and counts again when it is none', async () => {
      const own = await startRedis()
      const store = await RedisCounterStore.connect({ url: own.url, prefix: prefix(), commandTimeoutMs: 2_000 })
      const operator = new Redis(own.url)
      await operator.call('REPLICAOF', '127.0.0.1', '1')
      const failure = await store.reserve(request('r1', charge({}))).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
      await operator.call('REPLICAOF', 'NO', 'ONE')
      const reply = await eventually(() => store.reserve(request('r2', charge({}))))
      expect(reply).to.have.property('outcome', 'granted')
      await store.close()
      operator.disconnect()
      await own.stop()
    })

    it('leaves nothing behind that does not expire, once windows and holds are over', async () => {
      const name = prefix()
      const store = new RedisCounterStore({ client: bed.client, prefix: name })
      const held = [charge({}), charge({ window: sliding })]
      await store.reserve({ ...request('r1', ...held) })
      await store.settle({
        id: 'r1',
        owner: 'o',
        charges: held.map((each) => ({ charge: each, actual: 1 })),
        atMs: Date.now(),
      })
      const keys = (await bed.client.keys(`${name}*`)).filter((key) => !key.endsWith('owners'))
      expect(keys).to.have.length.above(1)
      for (const key of keys) expect(await bed.client.pttl(key), key).to.be.above(0)
    })

    it('lets any node sweep the holds of an owner that nobody decides on again', async () => {
      let nowMs = 1_000_000
      const options = { client: bed.client, prefix: prefix(), clock: () => nowMs }
      await new RedisCounterStore(options).reserve(request('r1', charge({ window: sliding })))
      const other = new RedisCounterStore(options)
      nowMs += 1_000_000
      const expired = await eventually(async () => {
        const swept = await other.sweep(10)
        if (swept.length === 0) throw new Error('not announced yet')
        return swept
      })
      const kept = [{ owner: 'o', partition: 'tenant=t,key=k', counter: 'plan/limit', amount: 1 }]
      const hold = { id: 'r1', owner: 'o', context: 'c', admittedAtMs: 1_000_000, expiredAtMs: 1_030_000, kept }
      expect(expired).to.deep.equal([hold])
      await other.acknowledge(expired)
      expect(await other.sweep(10)).to.deep.equal([])
    })

    it('sweeps a dead hold of an owner that others go on using', async () => {
      let nowMs = 1_000_000
      const options = { client: bed.client, prefix: prefix(), clock: () => nowMs }
      const dead = new RedisCounterStore(options)
      await dead.reserve(request('dead', charge({ window: sliding })))
      const alive = (): RedisCounterStore => new RedisCounterStore(options)
      const swept: string[] = []
      for (let minute = 0; minute < 6; minute += 1) {
        nowMs += 60_000
        const store = alive()
        await store.reserve(request(`alive-${minute}`, charge({ window: sliding })))
        await store.release({ id: `alive-${minute}`, owner: 'o' })
        swept.push(...(await alive().sweep(10)).map(({ id }) => id))
      }
      expect(new Set(swept)).to.deep.equal(new Set(['dead']))
    })

    it('forgets an owner that has no holds any more, after a second look', async () => {
      let nowMs = 1_000_000
      const name = prefix()
      const store = new RedisCounterStore({ client: bed.client, prefix: name, clock: () => nowMs })
      await store.reserve(request('r1', charge({ window: sliding })))
      await store.release({ id: 'r1', owner: 'o' })
      await eventually(async () => {
        if ((await bed.client.zcard(`${name}owners`)) === 0) throw new Error('not announced yet')
      })
      const left: number[] = []
      for (let look = 0; look < 3; look += 1) {
        nowMs += 130_000
        await store.sweep(10)
        left.push(await bed.client.zcard(`${name}owners`))
      }
      expect(left).to.deep.equal([1, 0, 0])
    })

    it('keeps no secret of its own in keys: owner, partition and id only', async () => {
      const name = prefix()
      const store = new RedisCounterStore({ client: bed.client, prefix: name })
      await store.reserve(request('r1', charge({})))
      expect((await bed.client.keys(`${name}{*`)).sort()).to.deep.equal(
        [`${name}{o}:c:`, `${name}{o}:c:tenant=t,key=k`, `${name}{o}:h:r1`].sort(),
      )
    })
  })

  describe('RedisCounterStore, in the ordinary case', () => {
    it('decides on four limits in one round trip and four commands of the server', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
      const four = ['a', 'b', 'c', 'd'].map((name) => charge({ counter: counter(name) }))
      await store.reserve(request('r1', ...four))
      await store.reserve(request('r2', ...four))
      const calls = await commandsOf(() => store.reserve(request('r3', ...four)))
      expect(calls).to.deep.equal(ORDINARY)
    })

    it('decides so again when a counter has come before others that were there', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
      const [short, long] = ['short', 'long'].map((name) => charge({ counter: counter(name) })) as [Charge, Charge]
      await store.reserve(request('r1', long))
      await store.reserve(request('r2', short, long))
      expect(await commandsOf(() => store.reserve(request('r3', short, long)))).to.deep.equal(ORDINARY)
    })

    for (const { what, shapes } of [
      { what: 'with no limit in common', shapes: ['a', 'bcd'] },
      { what: 'of which one has some of the limits of the other', shapes: ['abcd', 'bd'] },
      { what: 'with some limits in common', shapes: ['abc', 'bcd', 'cad'] },
      { what: 'with the same limits in another order', shapes: ['abc', 'cab'] },
    ]) {
      it(`decides and settles so under limits of one key in turn, ${what}`, async () => {
        const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
        const kinds = { a: {}, b: { window: sliding }, c: { window: { kind: 'lifetime' } as const }, d: {} }
        const lists = shapes.map((names) =>
          Array.from(names as Iterable<keyof typeof kinds>, (name) =>
            charge({ counter: counter(name), quota: 1_000, ...kinds[name] }),
          ),
        )
        const decide = async (turn: string): Promise<readonly string[]> => {
          const seen: string[] = []
          for (const [at, list] of lists.entries()) {
            seen.push(String(await commandsOf(() => store.reserve(request(`${turn}${at}`, ...list)))))
          }
          return seen
        }
        const settle = async (turn: string): Promise<readonly string[]> => {
          const seen: string[] = []
          for (const [at, list] of lists.entries()) {
            const charges = list.map((each) => ({ charge: each, actual: 2 }))
            const settlement = { id: `${turn}${at}`, owner: 'o', charges, atMs: Date.now() }
            seen.push(String(await commandsOf(() => store.settle(settlement))))
          }
          return seen
        }
        for (const turn of ['first', 'second']) {
          await decide(turn)
          await settle(turn)
        }
        expect(await decide('r')).to.deep.equal(lists.map(() => String(ORDINARY)))
        expect(await settle('r')).to.deep.equal(lists.map(() => String(SETTLED)))
        for (const name of ['a', 'b', 'c', 'd'] as const) {
          const calls = shapes.filter((names) => names.includes(name)).length * 3
          const { statuses } = await store.read([charge({ counter: counter(name), ...kinds[name] })])
          expect(statuses[0], name).to.include({ used: calls * 2 })
        }
      })
    }

    for (const { what, window, left } of [
      {
        what: 'with the last of its counters',
        window: { kind: 'sliding', bucketMs: 6_000_000, buckets: 9 },
        left: 53e6,
      },
      { what: 'never while a counter does not end', window: { kind: 'lifetime' }, left: undefined },
    ] as const) {
      for (const partition of ['o', 'other']) {
        it(`lets ${partition === 'o' ? 'a home' : 'a partition'} expire ${what}, whichever a call was under`, async () => {
          let nowMs = 1_000_000_000_000
          const name = prefix()
          const store = new RedisCounterStore({ client: bed.client, prefix: name, clock: () => nowMs })
          const minute = (of: string): Charge => {
            const startMs = nowMs - (nowMs % 60_000)
            const fixed = { kind: 'fixed', startMs, endMs: startMs + 60_000, nextEndMs: startMs + 120_000 } as const
            return charge({ counter: { ...counter(of), partition }, window: fixed })
          }
          // The long one is neither the first nor the last in the directory.
          const shapes = [
            (): readonly Charge[] => [minute('a'), minute('b')],
            (): readonly Charge[] => [charge({ counter: { ...counter('long'), partition }, window })],
            (): readonly Charge[] => [minute('c')],
          ]
          const key = `${name}{o}:c:${partition === 'o' ? '' : partition}`
          for (let turn = 0; turn < 3; turn += 1) {
            for (const [at, shape] of shapes.entries()) {
              const id = `attempt-${turn}-${at}`
              await store.reserve(request(id, ...shape()))
              const ofDecision = await bed.client.pttl(key)
              await store.settle({
                id,
                owner: 'o',
                charges: shape().map((each) => ({ charge: each, actual: 1 })),
                atMs: nowMs,
              })
              const ofSettlement = await bed.client.pttl(key)
              if (turn === 0) continue
              expect(ofSettlement).to.satisfy((ttl: number) => (left === undefined ? ttl === -1 : ttl > left))
              if (partition === 'other')
                expect(ofDecision).to.satisfy((ttl: number) => ttl === -1 || ttl > (left ?? 1e99))
            }
            nowMs += 60_000
          }
        })
      }
    }

    it('leaves no home behind that does not expire where all counters are in other partitions', async () => {
      const name = prefix()
      const store = new RedisCounterStore({ client: bed.client, prefix: name })
      for (const id of ['attempt-1', 'attempt-2']) {
        await store.reserve(request(id, charge({})))
        await store.settle({ id, owner: 'o', charges: [{ charge: charge({}), actual: 1 }], atMs: Date.now() })
      }
      expect(await bed.client.pttl(`${name}{o}:c:`)).to.be.within(1, 60_000)
    })

    it('counts in windows of the most steps that there are', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
      const window = { kind: 'sliding', bucketMs: 3_600, buckets: 1_000 } as const
      for (let call = 0; call < 3; call += 1) await store.reserve(request(`r${call}`, charge({ window })))
      const settled = [{ charge: charge({ window }), actual: 5 }]
      await store.settle({ id: 'r1', owner: 'o', charges: settled, atMs: Date.now() })
      expect((await store.read([charge({ window })])).statuses[0]).to.include({ used: 7 })
    })

    for (const limits of [9, 10, 11, 12, 13]) {
      it(`decides and settles under ${limits} limits by the calendar, of four partitions, with amounts of their own`, async () => {
        const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
        const nowMs = Date.now()
        const list = Array.from({ length: limits }, (_, at) => {
          const window = { kind: 'fixed', startMs: nowMs - 60_001, endMs: nowMs + 1e6, nextEndMs: nowMs + 3e6 } as const
          const partition = at % 4 === 0 ? 'o' : `p${at % 4}`
          return charge({ counter: { ...counter(`limit-${at}`), partition }, window, amount: at + 1, quota: 1_000 })
        })
        for (const id of ['attempt-1', 'attempt-2', 'attempt-3']) {
          expect(await store.reserve(request(id, ...list))).to.have.property('outcome', 'granted')
          const charges = list.map((each) => ({ charge: each, actual: 2 }))
          expect(await store.settle({ id, owner: 'o', charges, atMs: nowMs })).to.equal('settled')
        }
        expect((await store.read(list)).statuses.map(({ used }) => used)).to.deep.equal(list.map(() => 6))
      })
    }

    it('counts the same with more shapes of limits than it makes scripts for', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix(), mostShapes: 2 })
      for (let length = 1; length <= 5; length += 1) {
        const some = ['a', 'b', 'c', 'd', 'e'].slice(0, length).map((name) => charge({ counter: counter(name) }))
        expect(await store.reserve(request(`r${length}`, ...some))).to.have.property('outcome', 'granted')
      }
      expect((await store.read([charge({ counter: counter('a') })])).statuses[0]).to.include({ used: 5 })
    })
  })

  describe('RedisCounterStore, on counters that it may have lost', () => {
    const long = (overrides: Partial<Charge> = {}): Charge =>
      charge({ window: { kind: 'lifetime' }, quota: 100, isRebuilt: true, ...overrides })
    const seeded = (used: number): SeededCounter => {
      return { charge: long(), startMs: 0, endMs: null, used, quota: 100, toppedUp: 0 }
    }
    const seed = (store: RedisCounterStore, fence: string, used: number): Promise<boolean> =>
      store.seed({ owner: 'o', counters: [seeded(used)], fence, closed: [], countedUntilMs: 0 })
    const fenceOf = (reply: ReserveReply): string => {
      if (reply.outcome !== 'unknown') throw new Error(`expected an unknown counter, and it was ${reply.outcome}`)
      return reply.fence
    }

    it('a seed is void if something was settled in between', async () => {
      const store = new RedisCounterStore({ client: bed.client, prefix: prefix() })
      const fence = fenceOf(await store.reserve(request('r1', long())))
      await store.settle({ id: 'r0', owner: 'o', charges: [{ charge: long(), actual: 3 }], atMs: 1 })
      expect(await seed(store, fence, 5)).to.equal(false)
      expect(await seed(store, fenceOf(await store.reserve(request('r1', long()))), 8)).to.equal(true)
      expect((await store.read([long()])).statuses[0]).to.include({ used: 8 })
    })

    it('another server with the same data is not trusted: the larger of data and ledger counts', async () => {
      const own = await startRedis()
      const name = prefix()
      const store = new RedisCounterStore({ client: bed.client, prefix: name })
      await seed(store, fenceOf(await store.reserve(request('r1', long()))), 20)
      await store.reserve(request('r1', long(), charge({ counter: counter('short') })))
      const copy = new Redis(own.url)
      for (const key of await bed.client.keys(`${name}*`))
        await copy.restore(key, 0, (await bed.client.dumpBuffer(key))!)
      const restored = new RedisCounterStore({ client: copy, prefix: name })
      const short = charge({ counter: counter('short') })
      expect((await restored.read([short])).statuses[0]).to.include({ used: 1 })
      const { unknown, fence } = await restored.read([long()])
      expect(unknown).to.deep.equal([0])
      expect(await seed(restored, fence, 15)).to.equal(true)
      expect(await restored.reserve(request('r2', long(), short))).to.have.property('outcome', 'granted')
      expect((await restored.read([long(), short])).statuses.map(({ used }) => used)).to.deep.equal([22, 2])
      copy.disconnect()
      await own.stop()
    })

    it('asks the ledger for its own counters on another server, and then decides in the ordinary way, whatever others are', async () => {
      const own = await startRedis({ isOwn: true })
      const name = prefix()
      const store = new RedisCounterStore({ client: bed.client, prefix: name })
      const first = [long({ counter: counter('long') }), charge({ counter: counter('short'), window: sliding })]
      const other = [long({ counter: counter('other') })]
      const decide = async (on: RedisCounterStore, id: string, charges: readonly Charge[]): Promise<string> => {
        const reply = await on.reserve(request(id, ...charges))
        if (reply.outcome !== 'unknown') return reply.outcome
        const counters = [{ ...seeded(20), charge: charges[0]! }]
        await on.seed({ owner: 'o', counters, fence: reply.fence, closed: [], countedUntilMs: 0 })
        await on.reserve(request(id, ...charges))
        return reply.outcome
      }
      for (const charges of [first, other]) await decide(store, `before-${charges.length}`, charges)
      const copy = new Redis(own.url)
      for (const key of await bed.client.keys(`${name}*`))
        await copy.restore(key, 0, (await bed.client.dumpBuffer(key))!)
      const restored = new RedisCounterStore({ client: copy, prefix: name })
      expect(await decide(restored, 'r1', other)).to.equal('unknown')
      // This server counts the partition now, and nobody has looked at the first ones yet.
      expect(await decide(restored, 'r2', first)).to.equal('unknown')
      expect(await commandsOf(() => restored.reserve(request('r3', ...first)), copy)).to.deep.equal(ORDINARY)
      expect(await commandsOf(() => restored.reserve(request('r4', ...other)), copy)).to.deep.equal(ORDINARY)
      copy.disconnect()
      await own.stop()
    })

    it('a caller who is new since this server counts is known to have used nothing', async () => {
      const name = prefix()
      const at = (nowMs: number): RedisCounterStore =>
        new RedisCounterStore({ client: bed.client, prefix: name, clock: () => nowMs })
      const window = { kind: 'fixed', startMs: 10_000, endMs: 20_000, nextEndMs: 30_000 } as const
      const fixed = (partition: string): Charge =>
        long({ window, counter: { ...counter('fixed'), partition, key: `o ${partition} fixed` } })
      expect(await at(15_000).reserve(request('r1', fixed('p')))).to.have.property('outcome', 'unknown')
      expect(await at(25_000).reserve(request('r2', fixed('q')))).to.have.property('outcome', 'granted')
    })
  })

  it('says so when the server is set to evict keys', async () => {
    const own = await startRedis()
    const operator = new Redis(own.url)
    await operator.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const told: string[] = []
    const store = await RedisCounterStore.connect({ url: own.url, onError: ({ message }) => told.push(message) })
    expect(told.join()).to.match(/^maxmemory-policy of this Redis is allkeys-lru/)
    await store.close()
    operator.disconnect()
    await own.stop()
  })

  for (const options of [{}, { url: 'redis://127.0.0.1:1', nodes: ['redis://127.0.0.1:1'] }, { nodes: [] }]) {
    it(`refuses to connect with ${JSON.stringify(options)}`, async () => {
      const failure = await RedisCounterStore.connect(options).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_CONFIG')
    })
  }

  describe('RedisCounterStore, when Redis does not answer', () => {
    it('fails fast, with its own code, when nobody listens', async () => {
      const failure = await RedisCounterStore.connect({ url: 'redis://127.0.0.1:1' }).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
      expect(String(failure)).to.include('ECONNREFUSED')
      expect(String(failure)).to.match(/can't be reached at 127\.0\.0\.1:1 \(.*\): start it, or correct its address$/)
    })

    it('says where Redis is that can not be reached and what to do, without credentials, and keeps the cause', async () => {
      const own = await startRedis({ isOwn: true })
      const url = `redis://:a-password@${new URL(own.url).host}`
      const operator = new Redis(own.url)
      await operator.config('SET', 'requirepass', 'a-password')
      operator.disconnect()
      const store = await RedisCounterStore.connect({ url })
      await own.stop()
      const failure = await store.read([]).catch((error: unknown) => error as Error)
      const { host } = new URL(own.url)
      expect(failure).to.have.property('message', `Redis can't be reached at ${host}: start it, or correct its address`)
      expect(failure).to.have.nested.property('cause.message').that.includes('enableOfflineQueue')
      await store.close()
    })

    it('says of which nodes a Cluster is that can not be reached', async () => {
      const nodes = ['redis://user:a-password@127.0.0.1:1', 'redis://127.0.0.1:2']
      const failure = await RedisCounterStore.connect({ nodes }).catch((error: unknown) => error)
      expect(failure)
        .to.have.property('message')
        .that.includes("can't be reached at 127.0.0.1:1, 127.0.0.1:2: start it")
    })

    it('gives up on a server that hangs after its timeout, and not after 45 seconds', async () => {
      const hole = await blackHole(bed.server.url)
      const store = await RedisCounterStore.connect({ url: hole.url, commandTimeoutMs: 100 })
      hole.hang()
      const failure = await store.reserve(request('r1', charge({}))).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
      await store.close()
      hole.close()
    })
  })
})

const sliding = { kind: 'sliding', bucketMs: 6_000, buckets: 10 } as const

function request(id: string, ...charges: Charge[]): Parameters<RedisCounterStore['reserve']>[0] {
  return { id, owner: 'o', charges, lifetimeMs: 30_000, context: 'c' }
}

function counter(name: string): Charge['counter'] {
  return { owner: 'o', partition: 'o', name, key: `o o ${name}` }
}

function charge(overrides: Partial<Charge>): Charge {
  const startMs = Math.floor(Date.now() / 3_600_000) * 3_600_000
  const window = { kind: 'fixed', startMs, endMs: startMs + 3_600_000, nextEndMs: startMs + 7_200_000 } as const
  return { ...testCharge(), window, ...overrides }
}

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries += 1) {
    try {
      return await attempt()
    } catch (error) {
      if (tries === 200) throw error
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

/** A TCP relay that can stop passing bytes on without closing. */
async function blackHole(url: string): Promise<{ url: string; hang(): void; close(): void }> {
  const { hostname, port } = new URL(url)
  const { connect } = await import('node:net')
  const sockets: Socket[] = []
  const relay = createServer((socket) => {
    const upstream = connect(Number(port), hostname)
    sockets.push(socket, upstream)
    socket.on('error', () => {})
    upstream.on('error', () => {})
    socket.pipe(upstream).pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    url: `redis://127.0.0.1:${(relay.address() as AddressInfo).port}`,
    hang: () => sockets.forEach((socket) => socket.unpipe().pause()),
    close: () => {
      relay.close()
      sockets.forEach((socket) => socket.destroy())
    },
  }
}
