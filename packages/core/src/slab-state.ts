import type { CounterState } from './counter-view.ts'

const NO_RING = new Float64Array(0)

/** A counter as it was read from the slab. It is written back by {@link CounterSlab.save}. */
export interface SlabState extends CounterState {
  slot: number
}

/** Numbers that are instants later are fractions now: V8 then stores them in place. */
export function newState(): SlabState {
  const nothing = { startMs: -Infinity, endMs: Infinity, used: 0.5, quota: null, toppedUp: 0, lasts: false }
  const noRing = { bucketMs: 0, latest: 0.5, places: 0, ring: NO_RING, ringAt: 0 }
  return { kind: 'fixed', ...nothing, ...noRing, slot: -1 }
}
