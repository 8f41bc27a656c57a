import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Charge } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeCounterStore, startRedis, type TestRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { Redis } from 'ioredis'

describe('with a real Redis', () => {
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
  const prefix = (): string => `test:${randomUUID()}:`

  describeCounterStore('RedisCounterStore', async (clock) => {
    return new RedisCounterStore({ client, prefix: prefix(), clock: clock.now })
  })

  describe('RedisCounterStore', () => {
    it('goes by the clock of the server', async () => {
      const store = new RedisCounterStore({ client, prefix: prefix() })
      const { nowMs } = await store.read([charge({ window: { kind: 'lifetime' } })])
      const seconds = Number.parseInt(String(await client.time()), 10)
      expect(nowMs / 1_000).to.be.closeTo(seconds, 2)
    })

    it('never goes back behind a time it has seen, even if the server does', async () => {
      const name = prefix()
      const at = (nowMs: number): RedisCounterStore =>
        new RedisCounterStore({ client, prefix: name, clock: () => nowMs })
      await at(5_000).reserve(request('r1', charge({ window: sliding })))
      expect(await at(1_000).read([charge({ window: sliding })])).to.have.property('nowMs', 5_000)
    })

    it('survives a server that has forgotten its scripts', async () => {
      const store = new RedisCounterStore({ client, prefix: prefix() })
      await store.reserve(request('r1', charge({})))
      await client.script('FLUSH')
      expect(await store.reserve(request('r2', charge({})))).to.have.property('outcome', 'granted')
    })

    it('connects again by itself, and counts on', async () => {
      const store = await RedisCounterStore.connect({ url: server.url, prefix: prefix(), commandTimeoutMs: 2_000 })
      await store.reserve(request('r1', charge({})))
      await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
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
      const store = new RedisCounterStore({ client, prefix: name })
      const held = [charge({}), charge({ window: sliding })]
      await store.reserve({ ...request('r1', ...held) })
      await store.settle({
        id: 'r1',
        owner: 'o',
        charges: held.map((each) => ({ charge: each, actual: 1 })),
        atMs: Date.now(),
      })
      const keys = (await client.keys(`${name}*`)).filter((key) => !key.endsWith('owners'))
      expect(keys).to.have.length.above(1)
      for (const key of keys) expect(await client.pttl(key), key).to.be.above(0)
    })

    it('lets any node sweep the holds of an owner that nobody decides on again', async () => {
      let nowMs = 1_000_000
      const options = { client, prefix: prefix(), clock: () => nowMs }
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
      const options = { client, prefix: prefix(), clock: () => nowMs }
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
      const store = new RedisCounterStore({ client, prefix: name, clock: () => nowMs })
      await store.reserve(request('r1', charge({ window: sliding })))
      await store.release({ id: 'r1', owner: 'o' })
      await eventually(async () => {
        if ((await client.zcard(`${name}owners`)) === 0) throw new Error('not announced yet')
      })
      const left: number[] = []
      for (let look = 0; look < 3; look += 1) {
        nowMs += 130_000
        await store.sweep(10)
        left.push(await client.zcard(`${name}owners`))
      }
      expect(left).to.deep.equal([1, 0, 0])
    })

    it('keeps no secret of its own in keys: owner, partition and id only', async () => {
      const name = prefix()
      const store = new RedisCounterStore({ client, prefix: name })
      await store.reserve(request('r1', charge({})))
      expect((await client.keys(`${name}{*`)).sort()).to.deep.equal(
        [`${name}{o}:c:`, `${name}{o}:c:tenant=t,key=k`, `${name}{o}:h:r1`].sort(),
      )
    })
  })

  describe('RedisCounterStore, when Redis does not answer', () => {
    it('fails fast, with its own code, when nobody listens', async () => {
      const failure = await RedisCounterStore.connect({ url: 'redis://127.0.0.1:1' }).catch((error: unknown) => error)
      expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
      expect(String(failure)).to.include('ECONNREFUSED')
    })

    it('gives up on a server that hangs after its timeout, and not after 45 seconds', async () => {
      const hole = await blackHole(server.url)
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

function charge(overrides: Partial<Charge>): Charge {
  const startMs = Math.floor(Date.now() / 3_600_000) * 3_600_000
  return {
    counter: { owner: 'o', partition: 'tenant=t,key=k', name: 'plan/limit', key: 'o tenant=t,key=k plan/limit' },
    window: { kind: 'fixed', startMs, endMs: startMs + 3_600_000, nextEndMs: startMs + 7_200_000 },
    amount: 1,
    quota: 10,
    trip: 'fits',
    effect: 'refuse',
    onChange: { quota: 'now', duration: 'now' },
    onExpiry: 'keep',
    alternative: 0,
    isRebuilt: false,
    ...overrides,
  }
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
