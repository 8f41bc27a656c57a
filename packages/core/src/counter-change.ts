import type { Charge, SeededCounter } from './counter-store.ts'
import type { CounterSlab } from './counter-slab.ts'
import { NOT_BEGUN, type CounterState, type CounterView } from './counter-view.ts'
import type { SlabState } from './slab-state.ts'
import { addToBucket, advance, hasShape, takeFromBucket } from './sliding-steps.ts'

/** How long a first-use window that has not begun is remembered as such; for as long as it has a top-up. */
const NOT_BEGUN_FOR_MS = 3_600_000

/** Counts an amount in the bucket of a view, and makes that bucket the current one. */
export function add(
  slab: CounterSlab,
  charge: Charge,
  known: SlabState | undefined,
  view: CounterView,
  amount: number,
): void {
  const { counter, window } = charge
  if (window.kind === 'sliding') {
    const state = known?.kind === 'sliding' && hasShape(known, window) ? known : newState(slab, charge, view)
    addToBucket(state, view.bucket, amount)
    slab.save(counter.name, state).window = window
    return
  }
  let state = known
  if (state?.kind !== window.kind || state.startMs !== view.bucket) {
    const toppedUp = state?.kind === window.kind && state.startMs === NOT_BEGUN ? state.toppedUp : 0
    state = newState(slab, charge, view)
    state.toppedUp = toppedUp
  }
  if (charge.onChange.quota === 'now') state.quota = quotaOf(charge)
  state.endMs = view.endMs
  state.used += amount
  const record = slab.save(counter.name, state)
  const isCurrent = window.kind === 'fixed' && view.bucket === window.startMs && view.endMs === window.endMs
  if (isCurrent && state.toppedUp === 0) record.window = window
}

/** Takes back an amount from the bucket that it was counted in, if that bucket is still open at `atMs`. */
export function giveBack(
  slab: CounterSlab,
  { counter, window }: Charge,
  bucket: number,
  amount: number,
  atMs: number,
  nowMs: number,
): void {
  const state = slab.load(counter, nowMs)
  if (state === undefined || state.kind !== window.kind) return
  if (window.kind === 'sliding') {
    if (!hasShape(state, window) || takeFromBucket(state, bucket, amount) === 0) return
  } else {
    if (state.startMs !== bucket || atMs >= state.endMs) return
    state.used = Math.max(0, state.used - amount)
  }
  slab.save(counter.name, state)
}

/** Adds to the quota of the bucket of a view; a first-use window does not begin by that. */
export function topUp(
  slab: CounterSlab,
  charge: Charge,
  known: SlabState | undefined,
  view: CounterView,
  amount: number,
): void {
  const { counter, window } = charge
  const isThere = known?.kind === window.kind && (known.startMs === view.bucket || known.startMs === NOT_BEGUN)
  const state = isThere ? known : newState(slab, charge, view)
  state.toppedUp += amount
  if (window.kind === 'first-use' && (!isThere || state.startMs === NOT_BEGUN)) notBegun(state, view.bucket)
  slab.save(counter.name, state)
}

/** Takes back units that were used in the bucket of a view, down to none. */
export function refund(slab: CounterSlab, charge: Charge, state: SlabState, view: CounterView, amount: number): void {
  const { counter, window } = charge
  if (state.kind !== window.kind) return
  if (window.kind === 'sliding') {
    if (!hasShape(state, window)) return
    advance(state, view.bucket)
    // From the newest step on, so that what leaves the window first stays.
    let left = Math.min(amount, state.used)
    for (let step = state.latest; left > 0 && step > state.latest - state.places; step -= 1) {
      left -= takeFromBucket(state, step, left)
    }
  } else {
    if (state.startMs !== view.bucket) return
    state.used = Math.max(0, state.used - amount)
  }
  slab.save(counter.name, state)
}

/** Nothing is used any more; a first-use window has not begun. What was topped up stays. */
export function reset(slab: CounterSlab, { counter }: Charge, state: SlabState, nowMs: number): void {
  state.used = 0
  state.ring.fill(0, state.ringAt, state.ringAt + state.places)
  if (state.kind === 'first-use') notBegun(state, nowMs)
  slab.save(counter.name, state)
}

/** Sets a counter to what the ledger says of it. */
export function seed(slab: CounterSlab, seeded: SeededCounter, countedUntilMs: number, nowMs: number): void {
  const { charge, startMs, endMs, used, quota, toppedUp, steps = [] } = seeded
  const { counter, window } = charge
  const bucket = window.kind === 'sliding' ? Math.floor(nowMs / window.bucketMs) : (startMs ?? NOT_BEGUN)
  const state = newState(slab, { ...charge, quota }, { bucket, endMs: endMs ?? Infinity })
  if (window.kind === 'sliding') {
    for (const [step, amount] of steps) {
      if (step > bucket || step <= bucket - state.places) continue
      state.ring[state.ringAt + (step % state.places)]! += amount
      state.used += amount
    }
  } else {
    state.used = used
    state.toppedUp = toppedUp
    // One that ended while the ledger was read says nothing any more; but that much is known now.
    const isOver = window.kind === 'first-use' && window.then === 'restart' && nowMs >= state.endMs
    if (isOver) state.toppedUp = 0
    if (window.kind === 'first-use' && (startMs === null || isOver)) notBegun(state, nowMs)
  }
  slab.save(counter.name, state)
  slab.setCountedUntil(state, countedUntilMs)
}

function newState(slab: CounterSlab, charge: Charge, view: Pick<CounterView, 'bucket' | 'endMs'>): SlabState {
  const { counter, window } = charge
  if (window.kind === 'sliding') {
    return slab.renew(counter, 'sliding', window.bucketMs, window.buckets + 1, view.bucket)
  }
  const state = slab.renew(counter, window.kind, 0, 0, 0)
  state.quota = quotaOf(charge)
  state.lasts = window.kind === 'first-use' && window.then === 'end'
  const hasBuckets = window.kind === 'fixed' || window.kind === 'first-use'
  state.startMs = hasBuckets ? view.bucket : 0
  state.endMs = hasBuckets ? view.endMs : Infinity
  return state
}

/** What a bucket notes of the quota that it began with; others have no next one to wait for. */
function quotaOf({ window: { kind }, quota }: Charge): number | null {
  return kind === 'fixed' || kind === 'first-use' ? quota : null
}

function notBegun(state: CounterState, nowMs: number): void {
  state.startMs = NOT_BEGUN
  state.endMs = state.toppedUp > 0 ? Infinity : nowMs + NOT_BEGUN_FOR_MS
  state.used = 0
}
