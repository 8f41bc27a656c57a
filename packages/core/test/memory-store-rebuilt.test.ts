import { MemoryCounterStore, type Charge, type ChargeWindow } from '@tallygate/core'
import { expect } from 'chai'
import {
  HOUR,
  LIFETIME,
  LIFETIME_WINDOW,
  MINUTE,
  MemoryStoreBed,
  SLIDING,
  START,
  charge,
  firstUse,
  hourAt,
} from './memory-store-bed.ts'

describe('counters of a MemoryCounterStore that are rebuilt', () => {
  let bed: MemoryStoreBed
  beforeEach(() => {
    bed = new MemoryStoreBed()
  })

  const LOST: readonly ChargeWindow[] = [hourAt(START - HOUR / 2), SLIDING, firstUse('restart'), LIFETIME_WINDOW]
  for (const window of LOST) {
    it(`are unknown where a ${window.kind} window is older than the store, and nothing is charged`, async () => {
      const [mine, other] = [charge({ window, isRebuilt: true }), charge({ counter: 'other' })]
      const request = { id: 'r1', owner: 'o', charges: [other, mine], lifetimeMs: LIFETIME, context: '' }
      const reply = await bed.store.reserve(request)
      expect(reply)
        .to.include({ outcome: 'unknown', nowMs: START })
        .and.deep.include({ unknown: [1] })
      expect(await bed.used(other)).to.equal(0)
      expect(bed.store.holdState(request)).to.equal(undefined)
      expect((await bed.store.read([other, mine])).unknown).to.deep.equal([1])
    })
  }

  it('are known where the store has seen all of their window', async () => {
    bed.clock.advance(-1)
    bed.store = new MemoryCounterStore({ clock: bed.clock.now })
    bed.clock.advance(1)
    const minute = charge({ isRebuilt: true })
    const running = charge({ window: { kind: 'concurrent' }, counter: 'running', isRebuilt: true })
    const sliding = charge({ window: SLIDING, counter: 'sliding', isRebuilt: true })
    expect((await bed.store.read([minute, running, sliding])).unknown).to.deep.equal([2])
    bed.clock.advance(9 * 6_000)
    expect((await bed.store.read([sliding])).unknown).to.deep.equal([0])
    bed.clock.advance(6_000)
    expect((await bed.store.read([sliding])).unknown).to.deep.equal([])
  })

  it('stand at what the ledger says after they were seeded, and count on from there', async () => {
    const hour = charge({ counter: 'hour', window: hourAt(START - HOUR / 2), isRebuilt: true, amount: 2 })
    const life = charge({ counter: 'life', window: LIFETIME_WINDOW, isRebuilt: true, amount: 2 })
    const first = charge({ counter: 'first', window: firstUse('end'), isRebuilt: true, amount: 2 })
    const fresh = charge({ counter: 'fresh', window: firstUse('restart'), isRebuilt: true, amount: 2 })
    const { fence } = await bed.store.read([hour, life, first, fresh])
    const common = { quota: 10, toppedUp: 0 }
    const seeded = await bed.store.seed({
      owner: 'o',
      counters: [
        { ...common, charge: hour, startMs: START - HOUR / 2, endMs: START + HOUR / 2, used: 5 },
        { ...common, charge: life, startMs: 0, endMs: null, used: 6, toppedUp: 3 },
        { ...common, charge: first, startMs: START - 1_000, endMs: START + 59_000, used: 7 },
        { ...common, charge: fresh, startMs: null, endMs: null, used: 0 },
      ],
      fence,
      closed: [],
      countedUntilMs: START,
    })
    expect(seeded).to.equal(true)
    expect(await bed.reserve('r1', hour, life, first, fresh)).to.equal('granted')
    const { statuses } = await bed.store.read([hour, life, first, fresh])
    expect(statuses.map(({ used, quota, startMs }) => [used, quota, startMs])).to.deep.equal([
      [7, 10, START - HOUR / 2],
      [8, 13, null],
      [9, 10, START - 1_000],
      [2, 10, START],
    ])
  })

  it('are seeded step by step where they slide, but for steps that left the window', async () => {
    const mine = charge({ window: SLIDING, isRebuilt: true })
    const step = START / 6_000
    await seed(mine, {
      used: 13,
      steps: [
        [step - 11, 99],
        [step - 10, 1],
        [step - 1, 4],
        [step, 8],
        [step, 1],
      ],
    })
    expect(await bed.used(mine)).to.equal(14)
    bed.clock.advance(6_000)
    expect(await bed.used(mine)).to.equal(13)
    bed.clock.advance(9 * 6_000)
    expect(await bed.used(mine)).to.equal(9)
  })

  it('keep what the store knows already', async () => {
    const mine = charge({ window: LIFETIME_WINDOW, isRebuilt: true, amount: 3 })
    await seed(mine, { used: 0 })
    await bed.reserve('r1', mine)
    await seed(mine, { used: 9 })
    expect(await bed.used(mine)).to.equal(3)
  })

  it('begin at their next use where a first-use window ended while the ledger was read', async () => {
    const mine = charge({ window: firstUse('restart'), isRebuilt: true })
    await seed(mine, { startMs: START - MINUTE, endMs: START, used: 9, toppedUp: 5 })
    expect(await bed.reserve('r1', mine)).to.equal('granted')
    expect(await bed.status(mine)).to.include({ used: 1, quota: 10, startMs: START })
  })

  it('are asked for again where something was settled or adjusted on them since the ledger was read', async () => {
    const mine = charge({ window: LIFETIME_WINDOW, isRebuilt: true })
    const before = await bed.store.read([mine])
    expect(await bed.settle('s1', mine, 4)).to.equal('late')
    expect(await seed(mine, { used: 0 }, before.fence)).to.equal(false)
    const between = await bed.store.read([mine])
    expect(await bed.adjust('a1', mine, 'top-up', 4)).to.equal(false)
    expect(await seed(mine, { used: 4 }, between.fence)).to.equal(false)
    expect(await bed.used(mine)).to.equal(0)
    expect(await seed(mine, { used: 4, toppedUp: 4 })).to.equal(true)
    expect(await bed.status(mine)).to.include({ used: 4, quota: 14 })
  })

  it('are not vouched for by age alone once a settlement on a sliding one was left to the ledger', async () => {
    const mine = charge({ window: SLIDING, isRebuilt: true })
    bed.clock.advance(30_000)
    await bed.settle('s1', mine, 9)
    bed.clock.advance(40_000)
    expect((await bed.store.read([mine])).unknown, 'the step of the settlement is still in the window').to.deep.equal([
      0,
    ])
    bed.clock.advance(26_000)
    expect((await bed.store.read([mine])).unknown).to.deep.equal([])
  })

  it('are known until their window is over, however much was cleared away meanwhile', async () => {
    const mine = charge({ window: firstUse('restart'), isRebuilt: true })
    await seed(mine, { startMs: null, endMs: null, used: 0 })
    await bed.reserve('r1', mine)
    for (let calls = 0; calls < 20; calls += 1)
      await bed.reserve(`other-${calls}`, charge({ counter: 'other', quota: null }))
    bed.clock.advance(MINUTE - 1)
    expect((await bed.store.read([mine])).unknown).to.deep.equal([])
    bed.clock.advance(1)
    expect((await bed.store.read([mine])).unknown).to.deep.equal([0])
  })

  it('count no settlement twice that is among what they were seeded with', async () => {
    const mine = charge({ window: LIFETIME_WINDOW, isRebuilt: true, amount: 5 })
    await seed(mine, { used: 50 }, undefined, ['closed'], START)
    bed.clock.advance(1)
    expect(await bed.settle('closed', mine, 5, START + 1)).to.equal('closed')
    expect(await bed.settle('before', mine, 5, START)).to.equal('late')
    expect(await bed.used(mine)).to.equal(50)
    expect(await bed.settle('after', mine, 5, START + 1)).to.equal('late')
    expect(await bed.used(mine)).to.equal(55)
    expect(await bed.reserve('held', { ...mine, quota: null })).to.equal('granted')
    expect(await bed.settle('held', mine, 2, START)).to.equal('settled')
    expect(await bed.used(mine)).to.equal(57)
  })

  it('are left out of a hold that is made again, and charged when it settles', async () => {
    const [mine, other] = [
      charge({ window: LIFETIME_WINDOW, isRebuilt: true, amount: 5 }),
      charge({ counter: 'other' }),
    ]
    const request = { id: 'r1', owner: 'o', charges: [mine, other], lifetimeMs: LIFETIME, context: '' }
    await bed.store.extend(request)
    const held = [{ owner: 'o', partition: 'tenant=t,key=k', counter: 'other', amount: 1 }]
    expect(await bed.store.holdState(request)).to.deep.equal({ state: 'reserved', expiresAtMs: START + LIFETIME, held })
    await seed(mine, { used: 50 }, undefined, [], START - 1)
    expect(await bed.settle('r1', mine, 4)).to.equal('settled')
    expect(await bed.used(mine)).to.equal(54)
  })

  const seed = async (
    charge: Charge,
    said: {
      used: number
      startMs?: number | null
      endMs?: number | null
      toppedUp?: number
      steps?: [number, number][]
    },
    fence?: string,
    closed: string[] = [],
    countedUntilMs = -Infinity,
  ): Promise<boolean> => {
    const counter = { charge, startMs: 0, endMs: null, quota: charge.quota, toppedUp: 0, ...said }
    const current = fence ?? ((await bed.store.read([charge])).fence || '0')
    return bed.store.seed({ owner: 'o', counters: [counter], fence: current, closed, countedUntilMs })
  }
})
