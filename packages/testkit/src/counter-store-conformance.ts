import { MAX_UNITS } from '@tallygate/core'
import type { Charge, ChargeWindow, CounterStore, CounterStoreCapability, ReserveReply } from '@tallygate/core'
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'
import { SettableClock } from './settable-clock.ts'

/** How a test opens the store under test: empty, and going by the clock it is given. */
export type OpenCounterStore = (clock: SettableClock) => Promise<CounterStore>

const MINUTE = 60_000
const LIFETIME = 30_000
/** The suite's clock starts here, on a minute. */
const START = Date.UTC(2026, 0, 15, 12)

/**
 * The contract of `CounterStore`, as tests for mocha. Call it in the test file of an implementation.
 *
 * @param open Called before each test; returns a store whose counters no earlier test has touched.
 */
export function describeCounterStore(name: string, open: OpenCounterStore): void {
  describe(`${name} as a CounterStore`, () => {
    let clock: SettableClock
    let store: CounterStore
    beforeEach(async () => {
      clock = new SettableClock(START)
      store = await open(clock)
    })
    afterEach(() => store.close())

    const reserve = async (id: string, ...charges: Charge[]): Promise<ReserveReply> =>
      store.reserve({ id, owner: 'o', charges, lifetimeMs: LIFETIME, context: `context of ${id}` })
    const settle = async (id: string, charge: Charge, actual: number, atMs = clock.now()): Promise<string> =>
      store.settle({ id, owner: 'o', charges: [{ charge, actual }], atMs })
    const used = async (charge: Charge): Promise<number> => (await store.read([charge])).statuses[0]!.used
    const needs = (capability: CounterStoreCapability, context: Mocha.Context): void => {
      if (!store.capabilities.has(capability)) context.skip()
    }

    describe('reserve', () => {
      it('adds charges that fit, and says where they stand', async () => {
        expect(await reserve('r1', charge({ amount: 3 }))).to.deep.equal({
          outcome: 'granted',
          nowMs: START,
          statuses: [
            { used: 3, quota: 10, startMs: START, tripped: false, resetAtMs: START + MINUTE, roomAtMs: START },
          ],
        })
        expect(await outcomeOf(reserve('r2', charge({ amount: 7 })))).to.equal('granted')
        expect(await used(charge({}))).to.equal(10)
      })

      it('changes no counter when one of several charges has no room', async () => {
        const roomy = charge({ counter: 'roomy', quota: 100 })
        const full = charge({ counter: 'full', quota: 0 })
        const other = charge({ counter: 'other', partition: 'tenant=t,user=u' })
        expect(await outcomeOf(reserve('r1', roomy, full, other))).to.equal('refused')
        for (const each of [roomy, full, other]) expect(await used(each)).to.equal(0)
      })

      it('grants a repeat again and adds nothing', async () => {
        await reserve('r1', charge({ amount: 4 }))
        expect(await outcomeOf(reserve('r1', charge({ amount: 4 })))).to.equal('granted')
        expect(await used(charge({}))).to.equal(4)
      })

      for (const end of ['settled', 'released'] as const) {
        it(`finds an id closed that was ${end}`, async () => {
          await reserve('r1', charge({ amount: 4 }))
          if (end === 'settled') await settle('r1', charge({ amount: 4 }), 2)
          else await store.release({ id: 'r1', owner: 'o' })
          expect(await outcomeOf(reserve('r1', charge({ amount: 4 })))).to.equal('closed')
          expect(await used(charge({}))).to.equal(end === 'settled' ? 2 : 0)
        })
      }

      it('never exceeds a quota under parallel calls, and uses it up', async () => {
        const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => reserve(`r${i}`, charge({}))))
        expect(replies.filter(({ outcome }) => outcome === 'granted')).to.have.length(10)
        expect(await used(charge({}))).to.equal(10)
      })

      it('counts without a limit where the quota is null', async () => {
        const limitless = charge({ quota: null, amount: 1_000_000_007 })
        expect(await outcomeOf(reserve('r1', limitless))).to.equal('granted')
        expect(await used(limitless)).to.equal(1_000_000_007)
      })

      it('counts up to the largest amount, exactly', async () => {
        const large = charge({ quota: MAX_UNITS, amount: MAX_UNITS - 1 })
        await reserve('r1', large)
        expect(await outcomeOf(reserve('r2', { ...large, amount: 2 }))).to.equal('refused')
        expect(await outcomeOf(reserve('r3', { ...large, amount: 1 }))).to.equal('granted')
        expect(await used(large)).to.equal(MAX_UNITS)
      })

      it('keeps partitions and names apart', async () => {
        await reserve('r1', charge({ amount: 10 }))
        expect(await outcomeOf(reserve('r2', charge({ counter: 'other' })))).to.equal('granted')
        expect(await outcomeOf(reserve('r3', charge({ partition: 'tenant=t,key=other' })))).to.equal('granted')
        expect(await outcomeOf(reserve('r4', charge({})))).to.equal('refused')
      })
    })

    describe('trips', () => {
      const cases = [
        { trip: 'fits', used: 9, amount: 1, outcome: 'granted' },
        { trip: 'fits', used: 9, amount: 2, outcome: 'refused' },
        { trip: 'fits', used: 10, amount: 0, outcome: 'granted' },
        { trip: 'reached', used: 9, amount: 500, outcome: 'granted' },
        { trip: 'reached', used: 10, amount: 1, outcome: 'refused' },
        { trip: 'exceeded', used: 10, amount: 500, outcome: 'granted' },
        { trip: 'exceeded', used: 11, amount: 0, outcome: 'refused' },
      ] as const
      for (const { trip, used: before, amount, outcome } of cases) {
        it(`${trip}: ${before} of 10 used, ${amount} more is ${outcome}`, async () => {
          await reserve('r1', charge({ quota: null, amount: before }))
          expect(await outcomeOf(reserve('r2', charge({ trip, amount })))).to.equal(outcome)
        })
      }

      for (const effect of ['flag', 'shadow'] as const) {
        it(`a charge that only ${effect}s trips, passes and goes on counting`, async () => {
          const soft = charge({ quota: 1, amount: 2, effect })
          const reply = await reserve('r1', soft)
          expect(reply).to.have.property('outcome', 'granted')
          expect(statusesOf(reply)[0]).to.include({ used: 2, tripped: true })
          expect(await used(soft)).to.equal(2)
        })
      }

      it('an alternative with room is enough, and all are charged', async function () {
        needs('alternatives', this)
        const [a, b] = [
          charge({ counter: 'a', quota: 1, alternative: 1 }),
          charge({ counter: 'b', quota: 2, alternative: 2 }),
        ]
        const outcomes = [await reserve('r1', a, b), await reserve('r2', a, b), await reserve('r3', a, b)]
        expect(outcomes.map(({ outcome }) => outcome)).to.deep.equal(['granted', 'granted', 'refused'])
        expect([await used(a), await used(b)]).to.deep.equal([2, 2])
      })

      it('an alternative does not help a charge that must have room', async function () {
        needs('alternatives', this)
        const must = charge({ counter: 'must', quota: 0 })
        expect(await outcomeOf(reserve('r1', must, charge({ counter: 'a', alternative: 1 })))).to.equal('refused')
      })
    })

    describe('settle', () => {
      for (const { actual, left } of [
        { actual: 0, left: 0 },
        { actual: 2, left: 2 },
        { actual: 5, left: 5 },
        { actual: 15, left: 15 },
      ]) {
        it(`replaces 5 reserved units by ${actual} actual ones, once`, async () => {
          const held = charge({ amount: 5 })
          await reserve('r1', held)
          expect(await settle('r1', held, actual)).to.equal('settled')
          expect(await settle('r1', held, actual)).to.equal('closed')
          expect(await used(held)).to.equal(left)
        })
      }

      it('charges an unknown id in full, once', async () => {
        expect(await settle('never-seen', charge({}), 3)).to.equal('late')
        expect(await settle('never-seen', charge({}), 3)).to.equal('closed')
        expect(await used(charge({}))).to.equal(3)
      })

      it('gives nothing back to a bucket that is over, and charges an excess to the current one', async () => {
        const first = charge({ amount: 5 })
        await reserve('surplus', first)
        await reserve('excess', charge({ amount: 2 }))
        clock.advance(MINUTE)
        const second = charge({ window: minuteAt(clock.now()) })
        await settle('surplus', second, 1)
        await settle('excess', second, 6)
        expect(await used(second)).to.equal(4)
      })

      it('settles by the instant it is given, also when that is long ago', async () => {
        await reserve('r1', charge({ amount: 5 }))
        const atMs = clock.now()
        clock.advance(MINUTE)
        const later = charge({ window: minuteAt(clock.now()) })
        await reserve('r2', later)
        await settle('r1', charge({ amount: 5 }), 9, atMs)
        expect(await used(later)).to.equal(1)
      })
    })

    describe('release', () => {
      it('gives back all that is held, once', async () => {
        await reserve('r1', charge({ amount: 4 }), charge({ counter: 'b', amount: 5 }))
        await reserve('r2', charge({ amount: 1 }))
        for (let repeat = 0; repeat < 2; repeat += 1) await store.release({ id: 'r1', owner: 'o' })
        expect([await used(charge({})), await used(charge({ counter: 'b' }))]).to.deep.equal([1, 0])
      })

      it('closes an id that is still on its way', async () => {
        await store.release({ id: 'r1', owner: 'o' })
        expect(await outcomeOf(reserve('r1', charge({})))).to.equal('closed')
        expect(await used(charge({}))).to.equal(0)
      })
    })

    describe('fixed windows', () => {
      it('pick the bucket that the store is in, of the two that are sent', async () => {
        const sent = charge({ amount: 10 })
        await reserve('r1', sent)
        clock.advance(MINUTE)
        expect(await outcomeOf(reserve('r2', sent))).to.equal('granted')
        expect((await store.read([sent])).statuses[0]).to.include({ used: 10, resetAtMs: START + 2 * MINUTE })
      })

      for (const { when, byMs } of [
        { when: 'after the second bucket', byMs: 2 * MINUTE },
        { when: 'before the first', byMs: -1 },
      ]) {
        it(`answer stale ${when}, and count nothing`, async () => {
          clock.advance(byMs)
          const reply = await reserve('r1', charge({ window: minuteAt(START) }))
          expect(reply).to.deep.equal({ outcome: 'stale', nowMs: START + byMs })
          expect(await used(charge({ window: minuteAt(clock.now()) }))).to.equal(0)
        })
      }

      it('say when there is room: at the end, or never for too much', async () => {
        await reserve('r1', charge({ amount: 9 }))
        expect(statusesOf(await reserve('r2', charge({ amount: 2 })))[0]).to.include({
          tripped: true,
          roomAtMs: START + MINUTE,
        })
        expect(statusesOf(await reserve('r3', charge({ amount: 11 })))[0]).to.include({ tripped: true, roomAtMs: null })
      })

      it('keep the quota they began with where a change waits for the next window', async function () {
        needs('next-window', this)
        const onChange = { quota: 'next-window', duration: 'now' } as const
        await reserve('r1', charge({ quota: 2, onChange }))
        const raised = charge({ quota: 5, amount: 2, onChange })
        expect(await outcomeOf(reserve('r2', raised))).to.equal('refused')
        clock.advance(MINUTE)
        expect(await outcomeOf(reserve('r3', { ...raised, window: minuteAt(clock.now()) }))).to.equal('granted')
      })

      it('take a changed quota at once otherwise', async () => {
        await reserve('r1', charge({ quota: 2, amount: 2 }))
        expect(await outcomeOf(reserve('r2', charge({ quota: 3 })))).to.equal('granted')
        expect(await outcomeOf(reserve('r3', charge({ quota: 2 })))).to.equal('refused')
      })

      it('last as long as they began where a changed duration waits for the next window', async function () {
        needs('next-window', this)
        const onChange = { quota: 'now', duration: 'next-window' } as const
        await reserve('r1', charge({ amount: 10, onChange }))
        const hour = {
          kind: 'fixed',
          startMs: START,
          endMs: START + 60 * MINUTE,
          nextEndMs: START + 120 * MINUTE,
        } as const
        expect((await store.read([charge({ window: hour, onChange })])).statuses[0]).to.include({
          resetAtMs: START + MINUTE,
        })
        clock.advance(MINUTE)
        const half = {
          kind: 'fixed',
          startMs: START - MINUTE,
          endMs: START + 60 * MINUTE,
          nextEndMs: START + 120 * MINUTE,
        } as const
        expect(await outcomeOf(reserve('r2', charge({ window: half, onChange })))).to.equal('granted')
      })
    })

    describe('sliding windows', () => {
      const sliding = (overrides: Partial<ChargeOptions> = {}): Charge =>
        charge({ window: { kind: 'sliding', bucketMs: 6_000, buckets: 10 }, ...overrides })

      it('count the oldest bucket whole, and let it go a bucket later', async function () {
        needs('sliding', this)
        await reserve('r1', sliding({ amount: 10 }))
        clock.advance(MINUTE + 5_999)
        expect(await outcomeOf(reserve('r2', sliding()))).to.equal('refused')
        clock.advance(1)
        expect(await outcomeOf(reserve('r3', sliding()))).to.equal('granted')
      })

      it('say when enough of what was used will have left', async function () {
        needs('sliding', this)
        await reserve('r1', sliding({ amount: 4 }))
        clock.advance(12_000)
        await reserve('r2', sliding({ amount: 6 }))
        const [first, second] = [START + 66_000, START + 78_000]
        expect(statusesOf(await reserve('r3', sliding({ amount: 4 })))[0]).to.include({
          roomAtMs: first,
          resetAtMs: first,
        })
        expect(statusesOf(await reserve('r4', sliding({ amount: 5 })))[0]).to.include({ roomAtMs: second })
      })

      it('give a surplus back to the bucket it was reserved in', async function () {
        needs('sliding', this)
        await reserve('r1', sliding({ amount: 8 }))
        clock.advance(18_000)
        await reserve('r2', sliding({ amount: 2 }))
        await settle('r1', sliding({ amount: 8 }), 3)
        expect(await used(sliding())).to.equal(5)
        clock.advance(48_000)
        expect(await used(sliding())).to.equal(2)
      })

      it('charge an excess to the bucket of settlement', async function () {
        needs('sliding', this)
        await reserve('r1', sliding({ amount: 1 }))
        clock.advance(18_000)
        await settle('r1', sliding({ amount: 1 }), 5)
        clock.advance(48_000)
        expect(await used(sliding())).to.equal(4)
      })

      it('begin anew with another number of buckets', async function () {
        needs('sliding', this)
        await reserve('r1', sliding({ amount: 10 }))
        const finer = sliding({ window: { kind: 'sliding', bucketMs: 1_000, buckets: 60 } })
        expect(await outcomeOf(reserve('r2', finer))).to.equal('granted')
      })
    })

    describe('first-use windows', () => {
      const firstUse = (then: 'restart' | 'end', overrides: Partial<ChargeOptions> = {}): Charge =>
        charge({ window: { kind: 'first-use', durationMs: MINUTE, then }, ...overrides })

      it('start at the first use, and start again at the next use after their end', async function () {
        needs('first-use', this)
        clock.advance(7)
        await reserve('r1', firstUse('restart', { amount: 10 }))
        expect((await store.read([firstUse('restart')])).statuses[0]).to.include({
          used: 10,
          resetAtMs: START + 7 + MINUTE,
        })
        clock.advance(MINUTE - 1)
        expect(await outcomeOf(reserve('r2', firstUse('restart')))).to.equal('refused')
        clock.advance(1)
        expect(await outcomeOf(reserve('r3', firstUse('restart')))).to.equal('granted')
        expect(await used(firstUse('restart'))).to.equal(1)
      })

      it('that end once never have room again', async function () {
        needs('first-use', this)
        await reserve('r1', firstUse('end'))
        for (let minutes = 0; minutes < 3; minutes += 1) {
          clock.advance(MINUTE)
          expect(statusesOf(await reserve(`r2-${minutes}`, firstUse('end')))[0]).to.include({
            tripped: true,
            roomAtMs: null,
          })
        }
      })
    })

    describe('windows without an end', () => {
      const lifetime = (overrides: Partial<ChargeOptions> = {}): Charge =>
        charge({ window: { kind: 'lifetime' }, ...overrides })
      const concurrent = (overrides: Partial<ChargeOptions> = {}): Charge =>
        charge({ window: { kind: 'concurrent' }, quota: 2, ...overrides })

      it('a lifetime quota never comes back', async function () {
        needs('lifetime', this)
        await reserve('r1', lifetime({ amount: 10 }))
        clock.advance(1_000 * 366 * 24 * 60 * MINUTE)
        expect(statusesOf(await reserve('r2', lifetime()))[0]).to.include({ used: 10, tripped: true, roomAtMs: null })
      })

      it('concurrency comes back when a call ends, whatever it used', async function () {
        needs('concurrent', this)
        await reserve('r1', concurrent())
        await reserve('r2', concurrent())
        expect(await outcomeOf(reserve('r3', concurrent()))).to.equal('refused')
        await settle('r1', concurrent(), 1)
        await store.release({ id: 'r2', owner: 'o' })
        expect(await used(concurrent())).to.equal(0)
      })
    })

    describe('holds', () => {
      it('that expire keep their amount or give it back, as the charge says', async function () {
        needs('expiry', this)
        await reserve('r1', charge({ amount: 3 }), charge({ counter: 'b', amount: 4, onExpiry: 'release' }))
        clock.advance(LIFETIME)
        await reserve('r2', charge({ counter: 'c' }))
        expect([await used(charge({})), await used(charge({ counter: 'b' }))]).to.deep.equal([3, 0])
      })

      it('of concurrency are always given back', async function () {
        needs('concurrent', this)
        const running = charge({ window: { kind: 'concurrent' }, quota: 1 })
        await reserve('r1', running)
        clock.advance(LIFETIME)
        expect(await outcomeOf(reserve('r2', running))).to.equal('granted')
      })

      it('that expire are listed with their context until they are acknowledged', async function () {
        needs('expiry', this)
        await reserve('r1', charge({}))
        clock.advance(LIFETIME)
        await reserve('r2', charge({}))
        const held = { owner: 'o', partition: 'tenant=t,key=k', counter: 'plan/limit', amount: 1 }
        const atMs = { admittedAtMs: START, expiredAtMs: START + LIFETIME }
        const expired = { id: 'r1', owner: 'o', context: 'context of r1', ...atMs, kept: [held] }
        clock.advance(10 * MINUTE)
        await reserve('r3', charge({ window: minuteAt(clock.now()) }))
        const listed = await store.sweep(10)
        expect(listed).to.deep.include(expired)
        await store.acknowledge([expired])
        expect((await store.sweep(10)).map(({ id }) => id)).to.not.include('r1')
      })

      it('live on when they are extended', async function () {
        needs('expiry', this)
        const held = charge({ amount: 3, onExpiry: 'release' })
        await reserve('r1', held)
        for (let beats = 0; beats < 3; beats += 1) {
          clock.advance(LIFETIME - 10_000)
          const charges = [{ ...held, window: minuteAt(clock.now()) }]
          await store.extend({ id: 'r1', owner: 'o', charges, lifetimeMs: LIFETIME, context: '' })
        }
        expect(await settle('r1', { ...held, window: minuteAt(clock.now()) }, 3)).to.equal('settled')
      })

      it('are made again by an extension when the store has lost them', async function () {
        needs('expiry', this)
        const held = charge({ amount: 3 })
        await store.extend({ id: 'lost', owner: 'o', charges: [held], lifetimeMs: LIFETIME, context: '' })
        expect(await used(held)).to.equal(3)
        expect(await settle('lost', held, 1)).to.equal('settled')
        expect(await used(held)).to.equal(1)
      })

      it('are charged the difference when they are settled after they expired', async function () {
        needs('expiry', this)
        const [kept, given] = [charge({ amount: 3 }), charge({ counter: 'b', amount: 3, onExpiry: 'release' })]
        await reserve('r1', kept, given)
        clock.advance(LIFETIME)
        await reserve('r2', charge({ counter: 'c' }))
        const charges = [kept, given].map((each) => ({ charge: each, actual: 4 }))
        expect(await store.settle({ id: 'r1', owner: 'o', charges, atMs: clock.now() })).to.equal('late')
        expect([await used(kept), await used(given)]).to.deep.equal([4, 4])
      })
    })

    it('reads without counting', async () => {
      for (let reads = 0; reads < 5; reads += 1) expect(await used(charge({ amount: 5 }))).to.equal(0)
    })
  })
}

interface ChargeOptions extends Omit<Charge, 'counter'> {
  readonly counter: string
  readonly partition: string
}

function charge({
  counter = 'plan/limit',
  partition = 'tenant=t,key=k',
  ...overrides
}: Partial<ChargeOptions>): Charge {
  return {
    counter: { owner: 'o', partition, name: counter, key: `o ${partition} ${counter}` },
    window: minuteAt(START),
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

function minuteAt(nowMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / MINUTE) * MINUTE
  return { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
}

function statusesOf(reply: ReserveReply): readonly { readonly used: number }[] {
  return 'statuses' in reply ? reply.statuses : []
}

async function outcomeOf(reply: Promise<ReserveReply>): Promise<string> {
  return (await reply).outcome
}
