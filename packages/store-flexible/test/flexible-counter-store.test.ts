import { QuotaError, type Charge } from '@tallygate/core'
import { FlexibleCounterStore } from '@tallygate/store-flexible'
import { describeCounterStore, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import {
  BurstyRateLimiter,
  RateLimiterMemcache,
  RateLimiterMemory,
  RateLimiterUnion,
  RLWrapperBlackAndWhite,
  RLWrapperTimeouts,
} from 'rate-limiter-flexible'
import { asked, charge, MINUTE, minuteAt, MONTH, START } from './charges.ts'
import { FailingLimiter } from './failing-limiter.ts'
import { failureOf, reserveMany, usedIn } from './store-use.ts'

describeCounterStore('FlexibleCounterStore on RateLimiterMemory', async (clock) => inMemory(clock).store, [
  'lifetime',
  'alternatives',
])

describe('FlexibleCounterStore', () => {
  const refused = [
    { what: 'no limiter', limiter: undefined, says: /limiter.penalty is undefined: use a limiter such as/ },
    { what: 'a union', limiter: new RateLimiterUnion(memoryLimiter()), says: /limiter.penalty is undefined/ },
    {
      what: 'a limiter of bursts',
      limiter: new BurstyRateLimiter(memoryLimiter(), memoryLimiter()),
      says: /limiter.penalty is undefined/,
    },
    {
      what: 'memcached',
      limiter: new RateLimiterMemcache({ storeClient: {}, points: 1, duration: 1 }),
      says: /memcached takes nothing back/,
    },
    {
      what: 'lists of black and white',
      limiter: new RLWrapperBlackAndWhite({ limiter: memoryLimiter() }),
      says: /use the limiter that it wraps/,
    },
  ]
  for (const { what, limiter, says } of refused) {
    it(`refuses ${what}`, () => {
      expect(() => new FlexibleCounterStore({ limiter: limiter as RateLimiterMemory }))
        .to.throw(QuotaError, says)
        .with.property('code', 'ERR_QUOTA_CONFIG')
    })
  }

  const uncountable: readonly { what: string; as: Partial<Charge>; says: RegExp }[] = [
    {
      what: 'a sliding window',
      as: { window: { kind: 'sliding', bucketMs: 6_000, buckets: 10 } },
      says: /needs sliding/,
    },
    { what: 'concurrency', as: { window: { kind: 'concurrent' } }, says: /needs concurrent/ },
    {
      what: 'a change that waits',
      as: { onChange: { quota: 'next-window', duration: 'now' } },
      says: /needs next-window/,
    },
    { what: 'a month in memory', as: { window: MONTH }, says: /a window of more than 24 days/ },
  ]
  for (const { what, as, says } of uncountable) {
    it(`counts nothing for ${what}, and says so`, async () => {
      const { store } = inMemory(new SettableClock(START))
      const error = await failureOf(store.reserve(asked('r1', charge(as))))
      expect(error).to.have.property('code', 'ERR_QUOTA_CAPABILITY')
      expect(error).to.have.property('message').that.matches(says)
    })
  }

  it('has no calendar where limiters in memory count, or stand in for others', () => {
    const insured = new RLWrapperTimeouts({ limiter: memoryLimiter(), timeoutMs: 100 })
    for (const limiter of [memoryLimiter(), insured])
      expect([...new FlexibleCounterStore({ limiter }).capabilities]).to.have.members(['lifetime', 'alternatives'])
  })

  it('takes no points, duration or block of the limiter into account', async () => {
    const limiter = new RateLimiterMemory({ points: 1, duration: 1, blockDuration: 60, execEvenly: true })
    const store = new FlexibleCounterStore({ limiter, clock: () => START })
    const replies = await reserveMany(store, 12, charge())
    expect(replies).to.deep.equal({ granted: 10, refused: 2 })
  })

  it('gives back what a refused call had counted in the other limits, whoever came first', async () => {
    const { store } = inMemory(new SettableClock(START))
    const [loose, tight] = [charge({ name: 'loose', quota: 1_000 }), charge({ name: 'tight', quota: 7 })]
    const replies = await reserveMany(store, 50, loose, tight)
    expect(replies).to.deep.equal({ granted: 7, refused: 43 })
    expect(await usedIn(store, loose, tight)).to.deep.equal([7, 7])
  })

  it('gives one answer to a repeat that comes before the first was answered', async () => {
    const { store } = inMemory(new SettableClock(START))
    const replies = await Promise.all([1, 2, 3].map(() => store.reserve(asked('r1', charge()))))
    expect(new Set(replies.map(({ outcome }) => outcome))).to.deep.equal(new Set(['granted']))
    expect(await usedIn(store, charge())).to.deep.equal([1])
  })

  it('gives back what it counts for a call that is released meanwhile', async () => {
    const { store } = inMemory(new SettableClock(START))
    const reply = store.reserve(asked('r1', charge()))
    await store.release({ id: 'r1', owner: 'o' })
    expect((await reply).outcome).to.equal('closed')
    expect(await usedIn(store, charge())).to.deep.equal([0])
  })

  it('counts a hold that was admitted without it when it is extended, once', async () => {
    const { store } = inMemory(new SettableClock(START))
    const held = asked('r1', charge({ amount: 4 }))
    await Promise.all([store.extend(held), store.extend(held)])
    expect(await usedIn(store, charge())).to.deep.equal([4])
    const settled = { charge: charge({ amount: 4 }), actual: 1 }
    expect(await store.settle({ id: 'r1', owner: 'o', charges: [settled], atMs: START })).to.equal('settled')
    expect(await usedIn(store, charge())).to.deep.equal([1])
  })

  it('forgets holds that nobody ends, and leaves what they counted', async () => {
    const clock = new SettableClock(START)
    const store = new FlexibleCounterStore({ limiter: memoryLimiter(), clock: clock.now, closedForMs: MINUTE })
    const lifetime = charge({ window: { kind: 'lifetime' } })
    await store.reserve({ ...asked('r1', lifetime), lifetimeMs: MINUTE })
    clock.advance(2 * MINUTE)
    expect(await store.sweep()).to.deep.equal([])
    expect(await store.holdState({ id: 'r1', owner: 'o' })).to.deep.equal({ state: 'settled' })
    clock.advance(MINUTE)
    await store.sweep()
    expect(await store.holdState({ id: 'r1', owner: 'o' })).to.equal(undefined)
    expect(await usedIn(store, lifetime)).to.deep.equal([1])
  })

  it('writes nothing any more for a bucket that is over', async () => {
    const clock = new SettableClock(START)
    const { store, limiter } = inMemory(clock)
    const [up, down, given] = ['up', 'down', 'given'].map((name) => charge({ name, amount: 5 }))
    await store.reserve(asked('r1', up!, down!))
    await store.reserve(asked('r2', given!))
    clock.advance(MINUTE)
    limiter.failsFor = /./
    const charges = [
      { charge: up!, actual: 9 },
      { charge: down!, actual: 1 },
    ]
    expect(await store.settle({ id: 'r1', owner: 'o', charges, atMs: START })).to.equal('settled')
    await store.release({ id: 'r2', owner: 'o' })
    expect(await store.holdState({ id: 'r2', owner: 'o' })).to.deep.equal({ state: 'released' })
  })

  it('gives no surplus back that is settled at the end of its bucket, though its own clock is not there yet', async () => {
    const { store } = inMemory(new SettableClock(START + MINUTE - 1))
    await store.reserve(asked('r1', charge({ amount: 5 })))
    const charges = [{ charge: charge({ window: minuteAt(START + MINUTE) }), actual: 1 }]
    await store.settle({ id: 'r1', owner: 'o', charges, atMs: START + MINUTE })
    expect(await usedIn(store, charge())).to.deep.equal([5])
  })

  it('tells partitions with long names apart', async () => {
    const { store } = inMemory(new SettableClock(START))
    const long = (last: string): Charge => {
      const partition = `tenant=t,key=${'k'.repeat(400)}${last}`
      return charge({ counter: { owner: 'o', partition, name: 'plan/limit', key: partition } })
    }
    await store.reserve(asked('r1', long('a')))
    expect(await usedIn(store, long('a'), long('b'))).to.deep.equal([1, 0])
  })

  it('refuses top-ups and seeds', async () => {
    const { store } = inMemory(new SettableClock(START))
    const topUp = { id: 'j1', charge: charge(), adjustment: 'top-up', amount: 5, atMs: START } as const
    for (const work of [() => store.adjust(topUp), () => store.seed()])
      expect(await failureOf(work())).to.have.property('code', 'ERR_QUOTA_CAPABILITY')
  })

  describe('on a limiter that fails', () => {
    it('gives back what it has counted, and is unavailable', async () => {
      const { store, limiter } = inMemory(new SettableClock(START))
      limiter.failsFor = /tight/
      const charges = [charge({ name: 'loose' }), charge({ name: 'tight' })]
      expect(await failureOf(store.reserve(asked('r1', ...charges)))).to.have.property(
        'code',
        'ERR_QUOTA_STORE_UNAVAILABLE',
      )
      limiter.failsFor = undefined
      expect(await usedIn(store, ...charges)).to.deep.equal([0, 0])
    })

    it('settles what was left when it is asked again, and nothing twice', async () => {
      const { store, limiter } = inMemory(new SettableClock(START))
      const charges = [charge({ name: 'up', amount: 2 }), charge({ name: 'down', amount: 5 }), charge({ name: 'new' })]
      await store.reserve(asked('r1', ...charges.slice(0, 2)))
      const settled = charges.map((each, index) => ({ charge: each, actual: [6, 1, 3][index]! }))
      const settle = (): Promise<string> => store.settle({ id: 'r1', owner: 'o', charges: settled, atMs: START })
      for (const names of [/down|new/, /new/]) {
        limiter.failsFor = names
        expect(await failureOf(settle())).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
      }
      limiter.failsFor = undefined
      expect([await settle(), await settle()]).to.deep.equal(['settled', 'closed'])
      expect(await usedIn(store, ...charges)).to.deep.equal([6, 1, 3])
    })

    it('releases what was left when it is asked again, and nothing twice', async () => {
      const { store, limiter } = inMemory(new SettableClock(START))
      const charges = [charge({ name: 'a', amount: 4 }), charge({ name: 'b', amount: 4 })]
      await store.reserve(asked('r1', ...charges))
      await store.reserve(asked('r2', ...charges))
      limiter.failsFor = /\/b@/
      expect(await failureOf(store.release({ id: 'r1', owner: 'o' }))).to.be.instanceOf(QuotaError)
      limiter.failsFor = undefined
      await store.release({ id: 'r1', owner: 'o' })
      expect(await usedIn(store, ...charges)).to.deep.equal([4, 4])
    })

    it('adjusts when it is asked again', async () => {
      const { store, limiter } = inMemory(new SettableClock(START))
      await store.reserve(asked('r1', charge({ amount: 5 })))
      const refund = { id: 'j1', charge: charge(), adjustment: 'refund', amount: 2, atMs: START } as const
      limiter.failsFor = /limit/
      expect(await failureOf(store.adjust(refund))).to.be.instanceOf(QuotaError)
      limiter.failsFor = undefined
      expect([await store.adjust(refund), await store.adjust(refund)]).to.deep.equal([true, false])
      expect(await usedIn(store, charge())).to.deep.equal([3])
    })
  })
})

function inMemory(clock: SettableClock): { store: FlexibleCounterStore; limiter: FailingLimiter } {
  const limiter = new FailingLimiter({ points: 1, duration: 1 })
  return { store: new FlexibleCounterStore({ limiter, clock: clock.now }), limiter }
}

function memoryLimiter(): RateLimiterMemory {
  return new RateLimiterMemory({ points: 1, duration: 1 })
}
