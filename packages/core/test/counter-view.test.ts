import type { Charge, ChargeWindow } from '@tallygate/core'
import { testCharge } from '@tallygate/testkit'
import { expect } from 'chai'
import { isStale, refuses, statusOf, trips, viewCounter, type CounterState } from '../src/counter-view.ts'

const FIXED = { kind: 'fixed', startMs: 1_000, endMs: 2_000, nextEndMs: 3_000 } as const
const SLIDING = { kind: 'sliding', bucketMs: 100, buckets: 3 } as const
const COUNTER = { owner: 'o', partition: 'p', name: 'n', key: 'o p n' }

describe('isStale', () => {
  for (const { atMs, stale } of [
    { atMs: 999, stale: true },
    { atMs: 1_000, stale: false },
    { atMs: 2_999, stale: false },
    { atMs: 3_000, stale: true },
  ]) {
    it(`is ${stale} at ${atMs} of buckets from 1000 to 3000`, () => expect(isStale(FIXED, atMs)).to.equal(stale))
  }
  it('is false of windows that have no edges', () => {
    for (const window of [SLIDING, { kind: 'lifetime' }, { kind: 'concurrent' }] as const)
      expect(isStale(window, Infinity)).to.equal(false)
  })
})

describe('viewCounter', () => {
  it('looks empty before anything was counted, in the bucket that the time is in', () => {
    const empty = { used: 0, quota: 10, ended: false }
    expect(viewCounter(undefined, charge({}), 1_999)).to.deep.equal({ ...empty, bucket: 1_000, endMs: 2_000 })
    expect(viewCounter(undefined, charge({}), 2_000)).to.deep.equal({ ...empty, bucket: 2_000, endMs: 3_000 })
    expect(viewCounter(undefined, charge({ window: SLIDING }), 250)).to.include({ bucket: 2, used: 0 })
    const firstUse = { kind: 'first-use', durationMs: 50, then: 'end' } as const
    expect(viewCounter(undefined, charge({ window: firstUse }), 70)).to.include({ bucket: 70, endMs: 120, used: 0 })
  })

  it('knows nothing of a counter of another kind of window', () => {
    const state = stateOf({ kind: 'lifetime', used: 7 })
    expect(viewCounter(state, charge({}), 1_500)).to.include({ used: 0 })
    expect(viewCounter(state, charge({ window: { kind: 'concurrent' } }), 1_500)).to.include({ used: 0 })
    expect(viewCounter(state, charge({ window: { kind: 'lifetime' } }), 1_500)).to.include({ used: 7 })
  })

  it('counts the buckets of a ring that are in the window, and lets them go one by one', () => {
    const state = ring({ latest: 13, amounts: { 10: 1, 11: 2, 12: 4, 13: 8 } })
    const used = (bucket: number): number => viewCounter(state, charge({ window: SLIDING }), bucket * 100).used
    expect([13, 14, 15, 16, 17, 99].map(used)).to.deep.equal([15, 14, 12, 8, 0, 0])
  })

  for (const { then, atMs, ended, used } of [
    { then: 'end', atMs: 1_099, ended: false, used: 5 },
    { then: 'end', atMs: 1_100, ended: true, used: 5 },
    { then: 'restart', atMs: 1_099, ended: false, used: 5 },
    { then: 'restart', atMs: 1_100, ended: false, used: 0 },
  ] as const) {
    it(`of a first use at 1000 for 100 ms, then ${then}: ${used} used at ${atMs}${ended ? ', for good' : ''}`, () => {
      const state = stateOf({ kind: 'first-use', startMs: 1_000, endMs: 1_100, used: 5 })
      const window = { kind: 'first-use', durationMs: 100, then } as const
      expect(viewCounter(state, charge({ window }), atMs)).to.include({ ended, used })
    })
  }

  for (const { shape, window } of [
    { shape: 'length of its buckets', window: { ...SLIDING, bucketMs: 101 } },
    { shape: 'number of buckets', window: { ...SLIDING, buckets: 4 } },
  ]) {
    it(`begins anew with another ${shape}, where a window slides`, () => {
      const state = ring({ latest: 13, amounts: { 13: 8 } })
      const asked = charge({ window })
      const view = viewCounter(state, asked, 1_350)
      expect(view.used).to.equal(0)
      expect(statusOf(state, view, asked, 1_350).resetAtMs).to.equal((13 + window.buckets + 1) * window.bucketMs)
    })
  }

  for (const { duration, atMs, bucket, used } of [
    { duration: 'now', atMs: 1_500, bucket: 1_000, used: 0 },
    { duration: 'next-window', atMs: 1_500, bucket: 700, used: 2 },
    { duration: 'next-window', atMs: 1_700, bucket: 1_000, used: 0 },
  ] as const) {
    it(`at ${atMs}, of a bucket from 700 to 1700 whose duration changes ${duration}, has ${used} used`, () => {
      const state = stateOf({ kind: 'fixed', startMs: 700, endMs: 1_700, used: 2 })
      const changed = charge({ onChange: { quota: 'now', duration } })
      expect(viewCounter(state, changed, atMs)).to.include({ bucket, used, ended: false })
    })
  }

  for (const { duration, endMs } of [
    { duration: 'now', endMs: 1_300 },
    { duration: 'next-window', endMs: 1_100 },
  ] as const) {
    it(`of a first use, ends at ${endMs} where a longer duration comes ${duration}`, () => {
      const state = stateOf({ kind: 'first-use', startMs: 1_000, endMs: 1_100, used: 5 })
      const window = { kind: 'first-use', durationMs: 300, then: 'restart' } as const
      const changed = charge({ window, onChange: { quota: 'now', duration } })
      expect(viewCounter(state, changed, 1_050)).to.include({ endMs, used: 5 })
    })
  }

  for (const { change, quota, endMs } of [
    { change: 'now', quota: 10, endMs: 2_000 },
    { change: 'next-window', quota: 3, endMs: 1_700 },
  ] as const) {
    it(`takes a changed quota and duration ${change}`, () => {
      const state = stateOf({ kind: 'fixed', startMs: 1_000, endMs: 1_700, used: 2, quota: 3 })
      const changed = charge({ onChange: { quota: change, duration: change } })
      expect(viewCounter(state, changed, 1_500)).to.include({ quota, endMs, used: 2 })
    })
  }
})

describe('statusOf', () => {
  const sliding = charge({ window: SLIDING, quota: 15 })
  const state = ring({ latest: 13, amounts: { 10: 1, 11: 2, 12: 4, 13: 8 } })
  for (const { amount, roomAtMs } of [
    { amount: 0, roomAtMs: 1_350 },
    { amount: 1, roomAtMs: 1_400 },
    { amount: 2, roomAtMs: 1_500 },
    { amount: 3, roomAtMs: 1_500 },
    { amount: 7, roomAtMs: 1_600 },
    { amount: 15, roomAtMs: 1_700 },
    { amount: 16, roomAtMs: null },
  ]) {
    it(`of a sliding window with 15 of 15 used says ${roomAtMs} for ${amount} more`, () => {
      const asked = { ...sliding, amount }
      const status = statusOf(state, viewCounter(state, asked, 1_350), asked, 1_350)
      expect(status).to.include({ used: 15, tripped: amount > 0, roomAtMs, resetAtMs: 1_400 })
    })
  }

  const rooms: readonly { window: ChargeWindow; roomAtMs: number | null; resetAtMs: number | null }[] = [
    { window: FIXED, roomAtMs: 2_000, resetAtMs: 2_000 },
    { window: { kind: 'first-use', durationMs: 800, then: 'restart' }, roomAtMs: 1_800, resetAtMs: 1_800 },
    { window: { kind: 'first-use', durationMs: 800, then: 'end' }, roomAtMs: null, resetAtMs: 1_800 },
    { window: { kind: 'lifetime' }, roomAtMs: null, resetAtMs: null },
    { window: { kind: 'concurrent' }, roomAtMs: 2_500, resetAtMs: null },
  ]
  for (const { window, roomAtMs, resetAtMs } of rooms) {
    it(`of a full ${JSON.stringify(window)} window says when room returns: ${roomAtMs}`, () => {
      const endMs = resetAtMs ?? Infinity
      const full = stateOf({ kind: window.kind, startMs: 1_000, endMs, used: 10 })
      const asked = charge({ window })
      const status = statusOf(full, viewCounter(full, asked, 1_500), asked, 1_500)
      const startMs = window.kind === 'fixed' || window.kind === 'first-use' ? 1_000 : null
      expect(status).to.deep.equal({ used: 10, quota: 10, startMs, tripped: true, roomAtMs, resetAtMs })
    })
  }
})

describe('trips', () => {
  for (const { trip, used, amount, is } of [
    { trip: 'fits', used: 9, amount: 1, is: false },
    { trip: 'fits', used: 9, amount: 2, is: true },
    { trip: 'fits', used: 10, amount: 0, is: false },
    { trip: 'reached', used: 9, amount: 99, is: false },
    { trip: 'reached', used: 10, amount: 0, is: true },
    { trip: 'exceeded', used: 10, amount: 99, is: false },
    { trip: 'exceeded', used: 11, amount: 0, is: true },
  ] as const) {
    it(`is ${is} on ${trip}, for ${amount} more than ${used} of 10`, () => {
      const view = { bucket: 0, endMs: Infinity, used, quota: 10, ended: false }
      expect(trips(view, charge({ trip, amount }))).to.equal(is)
    })
  }

  it('is never true without a quota, and always where a window has ended for good', () => {
    const view = { bucket: 0, endMs: Infinity, used: 5, quota: null, ended: false }
    expect(trips(view, charge({ amount: 1e15 }))).to.equal(false)
    expect(trips({ ...view, ended: true }, charge({}))).to.equal(true)
  })
})

describe('refuses', () => {
  const cases: readonly { of: readonly [number, Charge['effect'], boolean][]; refused: boolean }[] = [
    { of: [[0, 'refuse', false]], refused: false },
    { of: [[0, 'refuse', true]], refused: true },
    { of: [[0, 'flag', true]], refused: false },
    { of: [[1, 'refuse', true]], refused: true },
    {
      of: [
        [1, 'refuse', true],
        [2, 'refuse', false],
      ],
      refused: false,
    },
    {
      of: [
        [1, 'refuse', true],
        [2, 'refuse', true],
      ],
      refused: true,
    },
    {
      of: [
        [1, 'refuse', true],
        [1, 'refuse', false],
        [2, 'refuse', false],
      ],
      refused: false,
    },
    {
      of: [
        [1, 'refuse', false],
        [1, 'refuse', true],
        [2, 'refuse', true],
      ],
      refused: true,
    },
    {
      of: [
        [1, 'refuse', true],
        [2, 'shadow', true],
      ],
      refused: false,
    },
    {
      of: [
        [0, 'refuse', true],
        [1, 'refuse', false],
      ],
      refused: true,
    },
    {
      of: [
        [0, 'refuse', false],
        [1, 'refuse', true],
      ],
      refused: true,
    },
  ]
  for (const { of, refused } of cases) {
    it(`is ${refused} for [alternative, effect, tripped] ${JSON.stringify(of)}`, () => {
      const charges = of.map(([alternative, effect]) => charge({ alternative, effect }))
      expect(
        refuses(
          charges,
          of.map(([, , tripped]) => ({ tripped })),
        ),
      ).to.equal(refused)
    })
  }
})

function charge(overrides: Partial<Charge>): Charge {
  return { ...testCharge(), counter: COUNTER, window: FIXED, ...overrides }
}

function stateOf(overrides: Partial<CounterState>): CounterState {
  const nothing = {
    startMs: 0,
    endMs: Infinity,
    used: 0,
    quota: 10,
    toppedUp: 0,
    lasts: false,
    bucketMs: 0,
    latest: 0,
    places: 0,
    ring: new Float64Array(0),
    ringAt: 0,
  }
  return { kind: 'fixed', ...nothing, ...overrides }
}

/** A sliding counter of four places of 100 ms. */
function ring({ latest, amounts }: { latest: number; amounts: Readonly<Record<number, number>> }): CounterState {
  const ring = new Float64Array([99, 0, 0, 0, 0, 99])
  for (const [bucket, amount] of Object.entries(amounts)) ring[1 + (Number(bucket) % 4)] = amount
  const used = Object.values(amounts).reduce((sum, amount) => sum + amount, 0)
  return stateOf({ kind: 'sliding', bucketMs: 100, latest, places: 4, ring, ringAt: 1, used })
}
