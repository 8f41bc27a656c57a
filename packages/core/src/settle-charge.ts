import { add, giveBack } from './counter-change.ts'
import type { CounterSlab } from './counter-slab.ts'
import type { Charge, SettledCharge } from './counter-store.ts'
import { viewCounter, type CounterView } from './counter-view.ts'
import type { HeldCharges } from './held-charges.ts'
import type { SettlementTimes } from './quick-counters.ts'
import type { SlabState } from './slab-state.ts'

/** Replaces what is held of a charge: an excess goes to the bucket of settlement, a surplus back to that of admission. */
export function settleHeld(
  slab: CounterSlab,
  { charge, actual }: SettledCharge,
  { charges, buckets }: HeldCharges,
  place: number,
  times: SettlementTimes,
): void {
  const held = charges[place]!
  const left = charge.window.kind === 'concurrent' ? 0 : actual
  if (left < held.amount) giveBack(slab, held, buckets[place]!, held.amount - left, times.atMs, times.nowMs)
  else if (left > held.amount) addExcess(slab, charge, left - held.amount, times)
}

/** Charges what no hold has set aside, unless it is among what the counter was seeded with. */
export function settleUnheld(slab: CounterSlab, { charge, actual }: SettledCharge, times: SettlementTimes): void {
  if (charge.window.kind === 'concurrent' || actual === 0 || times.atMs <= slab.countedUntil(charge.counter)) return
  addExcess(slab, charge, actual, times)
}

/** Whether the bucket of a view was over before the one began that the counter is in. */
export function isPast(state: SlabState | undefined, { window }: Charge, view: CounterView): boolean {
  return window.kind === 'fixed' && state?.kind === 'fixed' && state.startMs > view.bucket
}

/**
 * Charges the bucket of settlement. One that is over by now has nothing left to protect; one that has not begun, by a node
 * whose clock runs ahead, is not begun by that.
 */
function addExcess(slab: CounterSlab, charge: Charge, amount: number, { atMs, nowMs }: SettlementTimes): void {
  const state = slab.load(charge.counter, nowMs)
  const { window } = charge
  const isAhead = window.kind === 'fixed' && state?.kind === 'fixed' && atMs < window.startMs && atMs >= state.startMs
  const view = isAhead
    ? { ...viewCounter(state, charge, atMs), bucket: state.startMs, endMs: state.endMs }
    : viewCounter(state, charge, atMs)
  const isOver = isPast(state, charge, view) || (window.kind === 'fixed' && nowMs >= view.endMs)
  if (!isOver) add(slab, charge, state, view, amount)
}
