import { monotonicClock, type Clock } from './clock.ts'
import type {
  Charge,
  CounterStatus,
  CounterStore,
  CounterStoreCapability,
  ExpiredHold,
  ReserveReply,
  ReserveRequest,
  SettledCharge,
  SettleOutcome,
  SettleRequest,
} from './counter-store.ts'
import {
  amountIn,
  hasShape,
  isStale,
  refuses,
  statusOf,
  viewCounter,
  type CounterState,
  type CounterView,
} from './counter-view.ts'
import { RecentIds } from './recent-ids.ts'
import { SlotMap } from './slot-map.ts'

export interface MemoryCounterStoreOptions {
  readonly clock?: Clock
  /**
   * How long at least a settled or released id is remembered, so that a repeat charges nothing. Default: a minute, as
   * within a process nothing is sent twice.
   */
  readonly closedForMs?: number
}

/** What a hold has set aside in one counter. */
interface HeldAmount {
  readonly charge: Charge
  readonly bucket: number
  readonly amount: number
}

interface Hold {
  readonly amounts: readonly HeldAmount[]
  readonly context: string
  readonly owner: string
  expiresAtMs: number
}

/** How many ended holds, ids and counters one call clears away, so that none pays for all. */
const CLEARED_PER_CALL = 8

/**
 * Counters of one process, and the reference for what every other store does. No timers: each call clears away a few of
 * those that ended. Everything is gone when the process ends.
 */
export class MemoryCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability> = new Set([
    'first-use',
    'lifetime',
    'concurrent',
    'alternatives',
    'expiry',
  ] as const)
  readonly #clock: Clock
  readonly #counters = new Map<string, CounterState>()
  readonly #holds = new SlotMap<Hold>()
  /** Ids that were settled, released or expired. */
  readonly #closed: RecentIds
  /** What expired holds have kept. */
  readonly #kept = new Map<string, readonly HeldAmount[]>()
  readonly #expired = new Map<string, ExpiredHold>()
  #nowMs = -Infinity
  #cursor = this.#counters.entries()

  constructor({ clock = monotonicClock, closedForMs = 60_000 }: MemoryCounterStoreOptions = {}) {
    this.#clock = clock
    this.#closed = new RecentIds(closedForMs)
  }

  async reserve({ id, owner, charges, lifetimeMs, context }: ReserveRequest): Promise<ReserveReply> {
    const nowMs = this.#tick()
    if (charges.some(({ window }) => isStale(window, nowMs))) return { outcome: 'stale', nowMs }
    if (this.#closed.has(id)) return { outcome: 'closed', nowMs }
    const views = charges.map((charge) => viewCounter(this.#counters.get(charge.counter.key), charge, nowMs))
    const statuses = charges.map((charge, index) =>
      statusOf(this.#counters.get(charge.counter.key), views[index]!, charge, nowMs),
    )
    if (this.#holds.has(id)) return { outcome: 'granted', nowMs, statuses }
    if (refuses(charges, statuses)) return { outcome: 'refused', nowMs, statuses }

    const amounts = charges.map((charge, index): HeldAmount => {
      const view = views[index]!
      this.#add(charge, view, charge.amount)
      return { charge, bucket: view.bucket, amount: charge.amount }
    })
    this.#holds.set(id, { amounts, context, owner, expiresAtMs: nowMs + lifetimeMs })
    const after = statuses.map(({ used, quota, tripped, resetAtMs, roomAtMs }, index) => {
      return { used: used + charges[index]!.amount, quota, tripped, resetAtMs, roomAtMs }
    })
    return { outcome: 'granted', nowMs, statuses: after }
  }

  async extend(request: ReserveRequest): Promise<void> {
    const { id, owner, charges, lifetimeMs, context } = request
    const nowMs = this.#tick()
    const kept = this.#kept.get(id)
    if (kept === undefined && this.#closed.has(id)) return
    const hold = this.#holds.get(id)
    if (hold !== undefined) {
      // Set anew, so that the map stays in the order of expiry.
      this.#holds.delete(id)
      hold.expiresAtMs = nowMs + lifetimeMs
      this.#holds.set(id, hold)
      return
    }
    this.#closed.delete(id)
    this.#expired.delete(id)
    this.#kept.delete(id)
    const amounts = charges.flatMap((charge): HeldAmount[] => {
      const held = heldIn(kept, charge)
      if (held !== undefined) return [held]
      if (isStale(charge.window, nowMs)) return []
      const view = viewCounter(this.#counters.get(charge.counter.key), charge, nowMs)
      this.#add(charge, view, charge.amount)
      return [{ charge, bucket: view.bucket, amount: charge.amount }]
    })
    this.#holds.set(id, { amounts, context, owner, expiresAtMs: nowMs + lifetimeMs })
  }

  async settle({ id, charges, atMs }: SettleRequest): Promise<SettleOutcome> {
    this.#tick()
    const kept = this.#kept.get(id)
    if (kept === undefined && this.#closed.has(id)) return 'closed'
    const hold = this.#holds.get(id)
    const amounts = hold?.amounts ?? kept
    for (const settled of charges) this.#settleCharge(settled, heldIn(amounts, settled.charge), atMs)
    this.#close(id)
    return hold === undefined ? 'late' : 'settled'
  }

  async release({ id }: { readonly id: string }): Promise<void> {
    const nowMs = this.#tick()
    const kept = this.#kept.get(id)
    if (kept === undefined && this.#closed.has(id)) return
    for (const held of this.#holds.get(id)?.amounts ?? kept ?? []) this.#giveBack(held, held.amount, nowMs)
    this.#close(id)
  }

  async read(charges: readonly Charge[]): Promise<{ nowMs: number; statuses: readonly CounterStatus[] }> {
    const nowMs = this.#time()
    const statuses = charges.map((charge) => {
      const state = this.#counters.get(charge.counter.key)
      return statusOf(state, viewCounter(state, charge, nowMs), charge, nowMs)
    })
    return { nowMs, statuses }
  }

  async sweep(most: number): Promise<readonly ExpiredHold[]> {
    const nowMs = this.#tick()
    let left = most
    for (const [id, hold] of this.#holds) {
      if (hold.expiresAtMs > nowMs) continue
      this.#expire(id, hold, nowMs)
      left -= 1
      if (left === 0) break
    }
    return [...this.#expired.values()].slice(0, most)
  }

  async acknowledge(holds: readonly ExpiredHold[]): Promise<void> {
    for (const { id } of holds) this.#expired.delete(id)
  }

  async close(): Promise<void> {}

  /** Reads the clock, which for this store never goes back. */
  #time(): number {
    this.#nowMs = Math.max(this.#nowMs, Math.floor(this.#clock()))
    return this.#nowMs
  }

  /** The time, after clearing away a little of what ended. */
  #tick(): number {
    this.#time()
    this.#expireFirst(this.#nowMs)
    for (const id of this.#closed.tick(this.#nowMs) ?? []) this.#kept.delete(id)
    this.#forgetCounters(this.#nowMs)
    return this.#nowMs
  }

  /** Counts an amount in the bucket of a view, and makes that bucket the current one. */
  #add(charge: Charge, view: CounterView, amount: number): void {
    const { counter, window } = charge
    let state = this.#counters.get(counter.key)
    if (window.kind === 'sliding') {
      if (state?.kind !== 'sliding' || !hasShape(state, window)) {
        state = newState(
          charge,
          view,
          Array.from({ length: window.buckets + 1 }, () => 0),
          window.bucketMs,
        )
        this.#counters.set(counter.key, state)
      }
      advance(state, view.bucket)
      if (view.bucket > state.latest - state.ring.length) {
        state.ring[view.bucket % state.ring.length]! += amount
        state.used += amount
      }
      return
    }
    if (state?.kind !== window.kind || state.startMs !== view.bucket) {
      state = newState(charge, view, [], 0)
      this.#counters.set(counter.key, state)
    }
    if (charge.onChange.quota === 'now') state.quota = charge.quota
    state.endMs = view.endMs
    state.used += amount
  }

  #settleCharge({ charge, actual }: SettledCharge, held: HeldAmount | undefined, atMs: number): void {
    const reserved = held?.amount ?? 0
    if (charge.window.kind === 'concurrent') {
      if (held !== undefined) this.#giveBack(held, reserved, atMs)
      return
    }
    if (actual < reserved) return this.#giveBack(held!, reserved - actual, atMs)
    if (actual === reserved) return
    const state = this.#counters.get(charge.counter.key)
    const view = viewCounter(state, charge, atMs)
    // A bucket that is over by now has nothing left to protect.
    const isOver = state?.kind === 'fixed' && charge.window.kind === 'fixed' && state.startMs > view.bucket
    if (!isOver) this.#add(charge, view, actual - reserved)
  }

  /** Takes back an amount from the bucket that it was reserved in, if that bucket is still open. */
  #giveBack({ charge, bucket }: HeldAmount, amount: number, atMs: number): void {
    const state = this.#counters.get(charge.counter.key)
    if (state === undefined || state.kind !== charge.window.kind) return
    if (charge.window.kind === 'sliding') {
      const kept = hasShape(state, charge.window) ? amountIn(state, bucket) : 0
      const left = Math.max(0, kept - amount)
      if (kept > 0) state.ring[bucket % state.ring.length] = left
      state.used -= kept > 0 ? kept - left : 0
      return
    }
    if (state.startMs === bucket && atMs < state.endMs) state.used = Math.max(0, state.used - amount)
  }

  #close(id: string): void {
    this.#holds.delete(id)
    this.#expired.delete(id)
    this.#kept.delete(id)
    this.#closed.add(id)
  }

  /** Holds stand in the order of expiry, as far as their lifetimes are equal; {@link sweep} looks at all of them. */
  #expireFirst(nowMs: number): void {
    for (let left = CLEARED_PER_CALL; left > 0; left -= 1) {
      const first = this.#holds.first()
      if (first === undefined || first.value.expiresAtMs > nowMs) return
      this.#expire(first.key, first.value, nowMs)
    }
  }

  #expire(id: string, { amounts, owner, context, expiresAtMs }: Hold, nowMs: number): void {
    const kept = amounts.filter(({ charge }) => charge.onExpiry === 'keep' && charge.window.kind !== 'concurrent')
    for (const held of amounts) if (!kept.includes(held)) this.#giveBack(held, held.amount, nowMs)
    this.#close(id)
    this.#kept.set(id, kept)
    this.#expired.set(id, { id, owner, context, expiredAtMs: expiresAtMs })
  }

  #forgetCounters(nowMs: number): void {
    for (let left = 2; left > 0; left -= 1) {
      const next = this.#cursor.next()
      if (next.done === true) {
        this.#cursor = this.#counters.entries()
        return
      }
      const [key, state] = next.value
      if (isForgettable(state, nowMs)) this.#counters.delete(key)
    }
  }
}

function heldIn(amounts: readonly HeldAmount[] | undefined, { counter }: Charge): HeldAmount | undefined {
  return amounts?.find(({ charge }) => charge.counter.key === counter.key)
}

function newState(charge: Charge, view: CounterView, ring: number[], bucketMs: number): CounterState {
  const { window, quota } = charge
  const lasts = window.kind === 'first-use' && window.then === 'end'
  const { bucket, endMs } = view
  return { kind: window.kind, startMs: bucket, endMs, used: 0, quota, lasts, bucketMs, latest: bucket, ring }
}

/** Makes `bucket` the latest of a sliding counter, emptying the places of those that left. */
function advance(state: CounterState, bucket: number): void {
  if (bucket <= state.latest) return
  const length = state.ring.length
  const first = Math.max(state.latest + 1, bucket - length + 1)
  for (let emptied = first; emptied <= bucket; emptied += 1) {
    state.used -= state.ring[emptied % length]!
    state.ring[emptied % length] = 0
  }
  state.latest = bucket
}

/** Whether a counter says the same as none at all. */
function isForgettable(state: CounterState, nowMs: number): boolean {
  switch (state.kind) {
    case 'fixed':
    case 'first-use':
      return nowMs >= state.endMs && !state.lasts
    case 'sliding':
      return nowMs >= (state.latest + state.ring.length) * state.bucketMs
    case 'concurrent':
      return state.used === 0
    case 'lifetime':
      return false
  }
}
