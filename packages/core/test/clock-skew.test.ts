import { Admission, MemoryCounterStore, type Charge, type Decision, type Limit } from '@tallygate/core'
import { runs, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { boundTo } from './admission-bed.ts'

const MINUTE = 60_000
const LIMITS: readonly Limit[] = [
  { name: 'minute', unit: 'requests', quota: 3, window: { kind: 'fixed', every: 'minute' } },
  { name: 'day', unit: 'requests', quota: 40, window: { kind: 'fixed', every: 'day', zone: 'Europe/Berlin' } },
  { name: 'sliding', unit: 'tokens', quota: 60, window: { kind: 'sliding', durationMs: 5 * MINUTE } },
  { name: 'first', unit: 'tokens', quota: 90, window: { kind: 'first-use', durationMs: 7 * MINUTE, then: 'restart' } },
]
/** Ten minutes before midnight in Berlin. */
const START = Date.UTC(2026, 0, 15, 22, 50)

describe('a clock that is wrong', () => {
  it('of a node, by up to ten minutes and stepping, changes no decision', async () => {
    const skew = fc.integer({ min: -10 * MINUTE, max: 10 * MINUTE })
    const call = fc.record({
      waitMs: fc.integer({ min: 0, max: 40_000 }),
      skew,
      steps: fc.boolean(),
      tokens: fc.nat(20),
    })
    const property = fc.asyncProperty(skew, fc.array(call, { maxLength: 60 }), async (firstSkew, calls) => {
      const clock = new SettableClock(START)
      const [right, wrong] = [clock.now, clock.now].map((now) => new MemoryCounterStore({ clock: now }))
      let skewMs = firstSkew
      const sound = new Admission({ store: right!, clock: clock.now })
      const skewed = new Admission({ store: wrong!, clock: () => clock.now() + skewMs })
      const bound = boundTo(LIMITS)
      for (const [index, { waitMs, skew, steps, tokens }] of calls.entries()) {
        clock.advance(waitMs)
        if (steps) skewMs = skew
        const request = { id: String(index), bound, amounts: { tokens }, context: '' }
        const decisions = [await sound.admit(request), await skewed.admit(request)]
        expect(toldBy(decisions[1]!)).to.deep.equal(toldBy(decisions[0]!))
        for (const [number, admission] of [sound, skewed].entries()) {
          const decision = decisions[number]!
          if (!decision.admitted) continue
          const actual = { tokens: tokens + 3 }
          await admission.settle(decision.reservation!, actual, admission.settlementTime(decision.reservation!))
        }
      }
    })
    await fc.assert(property, { numRuns: runs(200) })
  })

  it('of the machine, stepping back, gives no quota back and ends no window early', async () => {
    const property = fc.asyncProperty(fc.array(fc.integer({ min: -10 * MINUTE, max: 20_000 })), async (steps) => {
      const clock = new SettableClock(START)
      const latest = new SettableClock(START)
      const stepping = new MemoryCounterStore({ clock: clock.now })
      const steady = new MemoryCounterStore({ clock: latest.now })
      const bound = boundTo(LIMITS)
      await stepping.read([])
      const admissions = [stepping, steady].map((store) => new Admission({ store, clock: latest.now }))
      for (const [index, byMs] of steps.entries()) {
        clock.advance(byMs)
        latest.set(Math.max(latest.now(), clock.now()))
        const request = { id: String(index), bound, amounts: { tokens: 7 }, context: '' }
        const [one, other] = await Promise.all(admissions.map((admission) => admission.admit(request)))
        expect(toldBy(one!)).to.deep.equal(toldBy(other!))
      }
    })
    await fc.assert(property, { numRuns: runs(200) })
  })

  it('of a node that settles ahead of the store, begins no bucket before its time', async () => {
    const clock = new SettableClock(START)
    const store = new MemoryCounterStore({ clock: clock.now })
    const charge = (atMs: number): Charge => {
      const startMs = Math.floor(atMs / MINUTE) * MINUTE
      return { ...CHARGE, window: { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE } }
    }
    const reserve = { id: 'r', owner: 'o', charges: [charge(START)], lifetimeMs: MINUTE, context: '' }
    await store.reserve(reserve)
    const aheadMs = START + 10 * MINUTE
    await store.settle({ id: 'r', owner: 'o', charges: [{ charge: charge(aheadMs), actual: 9 }], atMs: aheadMs })
    expect((await store.read([charge(START)])).statuses[0]).to.include({ used: 9 })
    await store.reserve({ ...reserve, id: 's' })
    await store.settle({ id: 's', owner: 'o', charges: [{ charge: charge(aheadMs), actual: 0 }], atMs: aheadMs })
    expect((await store.read([charge(START)])).statuses[0]).to.include({ used: 9 })
  })
})

const CHARGE: Omit<Charge, 'window'> = {
  counter: { owner: 'o', partition: 'p', name: 'plan/limit', key: 'o p plan/limit' },
  amount: 4,
  quota: 100,
  trip: 'fits',
  effect: 'refuse',
  onChange: { quota: 'now', duration: 'now' },
  onExpiry: 'keep',
  alternative: 0,
  isRebuilt: false,
}

/** A decision without what belongs to the admission that took it. */
function toldBy(decision: Decision): unknown {
  const { admitted, atMs, statuses } = decision
  const told = statuses.map(({ used, quota, startMs, tripped, resetAtMs, roomAtMs }) => [
    used,
    quota,
    startMs,
    tripped,
    resetAtMs,
    roomAtMs,
  ])
  return { admitted, atMs, told, retryAtMs: decision.admitted ? undefined : decision.retryAtMs }
}
