import type { ChargeWindow } from './counter-store.ts'
import type { CounterState } from './counter-view.ts'

/** Whether a sliding counter still has the shape of the window; another shape begins anew. */
export function hasShape(state: CounterState, window: ChargeWindow & { kind: 'sliding' }): boolean {
  return state.bucketMs === window.bucketMs && state.places === window.buckets + 1
}

/** Amount in a bucket of a sliding counter; 0 outside what is kept. */
export function amountIn(state: CounterState, bucket: number): number {
  if (bucket > state.latest || bucket <= state.latest - state.places) return 0
  return state.ring[state.ringAt + (bucket % state.places)]!
}

/** Sum of the buckets that are counted when bucket `latest` is current: that one and a whole ring before it. */
export function slidingUsed(state: CounterState, latest: number): number {
  let { used } = state
  const left = Math.min(latest - state.latest, state.places)
  for (let gone = 0; gone < left; gone += 1) used -= amountIn(state, state.latest - state.places + 1 + gone)
  return used
}

/** First bucket that is both kept and still counted when `latest` is current. */
export function oldestBucket(state: CounterState, latest: number): number {
  return Math.max(latest, state.latest) - state.places + 1
}

/** When the oldest of what is counted, while bucket `latest` is current, leaves the window. */
export function slidingResetAt(state: CounterState, latest: number): number {
  const { places, bucketMs } = state
  for (let bucket = oldestBucket(state, latest); bucket < latest; bucket += 1) {
    if (amountIn(state, bucket) > 0) return (bucket + places) * bucketMs
  }
  return (latest + places) * bucketMs
}

/** Makes `bucket` the latest of a sliding counter, emptying the places of those that left. */
export function advance(state: CounterState, bucket: number): void {
  if (bucket <= state.latest) return
  const { places, ring, ringAt } = state
  const first = Math.max(state.latest + 1, bucket - places + 1)
  for (let emptied = first; emptied <= bucket; emptied += 1) {
    state.used -= ring[ringAt + (emptied % places)]!
    ring[ringAt + (emptied % places)] = 0
  }
  state.latest = bucket
}

/** Counts an amount in a bucket, which is the latest then or was before; in none that has left. */
export function addToBucket(state: CounterState, bucket: number, amount: number): void {
  advance(state, bucket)
  if (bucket <= state.latest - state.places) return
  state.ring[state.ringAt + (bucket % state.places)]! += amount
  state.used += amount
}

/** Takes up to an amount out of a bucket. Returns what it took. */
export function takeFromBucket(state: CounterState, bucket: number, amount: number): number {
  const taken = Math.min(amount, amountIn(state, bucket))
  if (taken === 0) return 0
  state.ring[state.ringAt + (bucket % state.places)]! -= taken
  state.used -= taken
  return taken
}
