import { randomUUID } from 'node:crypto'
import type { Charge } from '@tallygate/core'
import { FlexibleCounterStore } from '@tallygate/store-flexible'
import { describeCounterStore, runs, startRedis, type TestRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible'
import { asked, charge, MONTH, START } from './charges.ts'
import { failureOf, reserveMany, usedIn } from './store-use.ts'

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
  const redisLimiter = (keyPrefix: string): RateLimiterRedis =>
    new RateLimiterRedis({ storeClient: client, points: 1, duration: 1, keyPrefix })
  const storeOn = (keyPrefix: string, nowMs = START): FlexibleCounterStore =>
    new FlexibleCounterStore({ limiter: redisLimiter(keyPrefix), clock: () => nowMs })

  describeCounterStore(
    'FlexibleCounterStore on RateLimiterRedis',
    async (clock) => new FlexibleCounterStore({ limiter: redisLimiter(randomUUID()), clock: clock.now }),
    ['calendar', 'lifetime', 'alternatives'],
  )

  describe('FlexibleCounterStore', () => {
    it('never exceeds a quota that several nodes share, and uses it up', async () => {
      const prefix = randomUUID()
      const nodes = [1, 2, 3, 4].map(() => storeOn(prefix))
      const replies = await Promise.all(nodes.map((node) => reserveMany(node, 100, charge({ quota: 123 }))))
      expect(replies.reduce((sum, { granted }) => sum + granted, 0)).to.equal(123)
      expect(await usedIn(nodes[0]!, charge())).to.deep.equal([123])
    })

    it('never exceeds quotas with random amounts on several nodes, and ends with what was used', async () => {
      const amount = fc.nat(9)
      const calls = fc.array(fc.tuple(amount, amount, amount, amount), { minLength: 10, maxLength: 60 })
      await fc.assert(
        fc.asyncProperty(calls, async (all) => {
          const prefix = randomUUID()
          const nodes = [1, 2, 3].map(() => storeOn(prefix))
          const granted: Granted[] = []
          const sumOf = (of: (call: Granted) => readonly number[]): readonly number[] =>
            granted.map(of).reduce(([x, y], [a, b]) => [x! + a!, y! + b!], [0, 0])
          await Promise.all(
            all.map(async ([a, b, usedA, usedB], index) => {
              const node = nodes[index % nodes.length]!
              const charges = [charge({ name: 'a', quota: 50, amount: a }), charge({ name: 'b', quota: 70, amount: b })]
              const request = asked(`r${index}`, ...charges)
              if ((await node.reserve(request)).outcome === 'granted')
                granted.push([charges, [Math.min(a, usedA), Math.min(b, usedB)], node, request.id])
            }),
          )
          const held = sumOf(([charges]) => charges.map((each) => each.amount))
          expect(held[0]).to.be.at.most(50)
          expect(held[1]).to.be.at.most(70)
          const [a, b] = [charge({ name: 'a' }), charge({ name: 'b' })]
          expect(await usedIn(nodes[0]!, a, b)).to.deep.equal(held)
          await Promise.all(granted.map(settleOne))
          expect(await usedIn(nodes[1]!, a, b)).to.deep.equal(sumOf(([, used]) => used))
        }),
        { numRuns: runs(50) },
      )
    })

    it('writes nothing for a call that has no room when it comes', async () => {
      const prefix = randomUUID()
      const charges = [charge({ name: 'loose' }), charge({ name: 'none', quota: 0 })]
      expect((await storeOn(prefix).reserve(asked('r1', ...charges))).outcome).to.equal('refused')
      expect(await client.keys(`${prefix}*`)).to.deep.equal([])
    })

    it('counts a month of the calendar, in a key that outlives it by a minute', async () => {
      const prefix = randomUUID()
      const nowMs = Date.UTC(2026, 0, 2, 12)
      await storeOn(prefix, nowMs).reserve(asked('r1', charge({ window: MONTH })))
      const [key, ...others] = await client.keys(`${prefix}*`)
      expect([key, others]).to.deep.equal([`${prefix}:tenant=t,key=k/plan/limit@${MONTH.startMs}`, []])
      expect((await client.pttl(key!)) / 1_000).to.be.within(29.5 * 86_400, 29.5 * 86_400 + 60)
      const february = await storeOn(prefix, MONTH.endMs).read([charge({ window: MONTH })])
      expect(february.statuses[0]).to.include({ used: 0, startMs: MONTH.endMs, resetAtMs: MONTH.nextEndMs })
    })

    it('does not know what another node has reserved: its settlement counts in full', async () => {
      const prefix = randomUUID()
      await storeOn(prefix).reserve(asked('r1', charge({ amount: 3 })))
      const settled = [{ charge: charge({ amount: 3 }), actual: 2 }]
      expect(await storeOn(prefix).settle({ id: 'r1', owner: 'o', charges: settled, atMs: START })).to.equal('late')
      expect(await usedIn(storeOn(prefix), charge())).to.deep.equal([5])
    })

    it('does not go below zero when a counter was lost before its calls ended', async () => {
      const prefix = randomUUID()
      const store = storeOn(prefix)
      await store.reserve(asked('r1', charge({ amount: 4 })))
      await store.reserve(asked('r2', charge({ amount: 4 })))
      await client.del(await client.keys(`${prefix}*`))
      await Promise.all(['r1', 'r2'].map((id) => store.release({ id, owner: 'o' })))
      expect(await client.get((await client.keys(`${prefix}*`))[0]!)).to.equal('0')
      expect(await reserveMany(store, 12, charge())).to.deep.equal({ granted: 10, refused: 2 })
    })

    it('is unavailable while Redis is away, or counts where the limiter is insured', async () => {
      const away = new Redis({ port: 1, lazyConnect: true, enableOfflineQueue: false, retryStrategy: () => null })
      away.on('error', () => {})
      const options = { storeClient: away, points: 1, duration: 1 }
      const plain = new FlexibleCounterStore({ limiter: new RateLimiterRedis(options), clock: () => START })
      expect(await failureOf(plain.reserve(asked('r1', charge())))).to.have.property(
        'code',
        'ERR_QUOTA_STORE_UNAVAILABLE',
      )
      const limiter = new RateLimiterRedis({
        ...options,
        insuranceLimiter: new RateLimiterMemory({ points: 1, duration: 1 }),
      })
      const insured = new FlexibleCounterStore({ limiter, clock: () => START })
      expect(await reserveMany(insured, 12, charge())).to.deep.equal({ granted: 10, refused: 2 })
      away.disconnect()
    })
  })
})

/** A granted call: what it holds, what it used, and who has it. */
type Granted = readonly [charges: readonly Charge[], used: readonly number[], node: FlexibleCounterStore, id: string]

function settleOne([charges, used, node, id]: Granted): Promise<string> {
  const settled = charges.map((each, index) => ({ charge: each, actual: used[index]! }))
  return node.settle({ id, owner: 'o', charges: settled, atMs: START })
}
