import { monotonicClock, type Clock } from './clock.ts'
import type {
  AdjustRequest,
  Charge,
  CounterStore,
  CounterStoreCapability,
  ExpiredHold,
  HeldUnits,
  HoldState,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SeededCounter,
  SeedRequest,
  SettledCharge,
  SettleOutcome,
  SettleRequest,
} from './counter-store.ts'
import {
  amountIn,
  hasShape,
  isStale,
  NOT_BEGUN,
  refuses,
  statusOf,
  viewCounter,
  type CounterState,
  type CounterView,
} from './counter-view.ts'
import { QuotaError } from './quota-error.ts'
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
  readonly admittedAtMs: number
  expiresAtMs: number
}

/** How many ended holds, ids and counters one call clears away, so that none pays for all. */
const CLEARED_PER_CALL = 8
/** How long a first-use window that has not begun is remembered as such. */
const NOT_BEGUN_FOR_MS = 3_600_000

/**
 * Counters of one process, and the reference for what every other store does. No timers: each call clears away a few of
 * those that ended. Everything is gone when the process ends.
 */
export class MemoryCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability> = new Set([
    'calendar',
    'sliding',
    'first-use',
    'lifetime',
    'concurrent',
    'alternatives',
    'next-window',
    'expiry',
    'top-up',
    'rebuild',
  ] as const)
  readonly rebuildsFromMs = 0
  readonly #clock: Clock
  readonly #counters = new Map<string, CounterState>()
  readonly #holds = new SlotMap<Hold>()
  /** Ids that were settled, released or expired. */
  readonly #closed: RecentIds
  /** Those of them that were released. */
  readonly #released: RecentIds
  /** What expired holds have kept. */
  readonly #kept = new Map<string, readonly HeldAmount[]>()
  readonly #expired = new Map<string, ExpiredHold>()
  /** Settlements up to these instants are among what a counter was seeded with. */
  readonly #countedUntilMs = new Map<string, number>()
  readonly #sinceMs: number
  #settledUnknown = 0
  #nowMs = -Infinity
  #cursor = this.#counters.entries()

  constructor({ clock = monotonicClock, closedForMs = 60_000 }: MemoryCounterStoreOptions = {}) {
    this.#clock = clock
    this.#closed = new RecentIds(closedForMs)
    this.#released = new RecentIds(closedForMs)
    this.#sinceMs = Math.floor(clock())
  }

  async reserve({ id, owner, charges, lifetimeMs, context }: ReserveRequest): Promise<ReserveReply> {
    const nowMs = this.#tick()
    if (charges.some(({ window }) => isStale(window, nowMs))) return { outcome: 'stale', nowMs }
    if (this.#closed.has(id)) return { outcome: 'closed', nowMs }
    const unknown = this.#unknownOf(charges, nowMs)
    if (unknown.length > 0 && !this.#holds.has(id)) {
      return { outcome: 'unknown', nowMs, unknown, fence: String(this.#settledUnknown) }
    }
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
    this.#holds.set(id, { amounts, context, owner, admittedAtMs: nowMs, expiresAtMs: nowMs + lifetimeMs })
    const after = statuses.map(({ used, quota, startMs, tripped, resetAtMs, roomAtMs }, index) => {
      return { used: used + charges[index]!.amount, quota, startMs, tripped, resetAtMs, roomAtMs }
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
      if (isStale(charge.window, nowMs) || this.#isUnknown(charge, nowMs)) return []
      const view = viewCounter(this.#counters.get(charge.counter.key), charge, nowMs)
      this.#add(charge, view, charge.amount)
      return [{ charge, bucket: view.bucket, amount: charge.amount }]
    })
    this.#holds.set(id, { amounts, context, owner, admittedAtMs: nowMs, expiresAtMs: nowMs + lifetimeMs })
  }

  async settle({ id, charges, atMs }: SettleRequest): Promise<SettleOutcome> {
    const nowMs = this.#tick()
    const kept = this.#kept.get(id)
    if (kept === undefined && this.#closed.has(id)) return 'closed'
    const hold = this.#holds.get(id)
    const amounts = hold?.amounts ?? kept
    for (const settled of charges) {
      const held = heldIn(amounts, settled.charge)
      const { key } = settled.charge.counter
      if (held === undefined && this.#isUnknown(settled.charge, nowMs)) this.#settledUnknown += 1
      else if (held === undefined && atMs <= (this.#countedUntilMs.get(key) ?? -Infinity)) continue
      else this.#settleCharge(settled, held, atMs)
    }
    this.#close(id, 'settled')
    return hold === undefined ? 'late' : 'settled'
  }

  async release({ id }: { readonly id: string }): Promise<void> {
    const nowMs = this.#tick()
    const kept = this.#kept.get(id)
    if (kept === undefined && this.#closed.has(id)) return
    for (const held of this.#holds.get(id)?.amounts ?? kept ?? []) this.#giveBack(held, held.amount, nowMs)
    this.#close(id, 'released')
  }

  async adjust({ id, charge, adjustment, amount, atMs }: AdjustRequest): Promise<boolean> {
    assertAdjustable(charge, adjustment)
    const nowMs = this.#tick()
    if (this.#closed.has(id)) return false
    if (this.#isUnknown(charge, nowMs)) {
      this.#settledUnknown += 1
      return false
    }
    this.#closed.add(id)
    const { key } = charge.counter
    if (adjustment === 'top-up') this.#stateFor(charge, atMs).toppedUp += amount
    const state = this.#counters.get(key)
    if (state === undefined) return true
    const view = viewCounter(state, charge, atMs)
    if (adjustment === 'refund' && state.startMs === view.bucket) this.#takeBack(state, amount)
    if (adjustment === 'reset') this.#empty(state, nowMs)
    return true
  }

  async seed({ counters, fence, closed, countedUntilMs }: SeedRequest): Promise<boolean> {
    const nowMs = this.#tick()
    if (fence !== String(this.#settledUnknown)) return false
    for (const seeded of counters) {
      const { charge } = seeded
      if (!this.#isUnknown(charge, nowMs)) continue
      this.#counters.set(charge.counter.key, seededState(seeded, nowMs))
      this.#countedUntilMs.set(charge.counter.key, countedUntilMs)
    }
    for (const id of closed) if (!this.#holds.has(id)) this.#closed.add(id)
    return true
  }

  async holdState({ id }: { readonly id: string; readonly owner: string }): Promise<HoldState | undefined> {
    const hold = this.#holds.get(id)
    if (hold !== undefined)
      return { state: 'reserved', expiresAtMs: hold.expiresAtMs, held: hold.amounts.map(heldUnits) }
    const kept = this.#kept.get(id)
    if (kept !== undefined) return { state: 'expired', held: kept.map(heldUnits) }
    if (!this.#closed.has(id)) return undefined
    return { state: this.#released.has(id) ? 'released' : 'settled' }
  }

  async read(charges: readonly Charge[]): Promise<ReadReply> {
    const nowMs = this.#time()
    const unknown = this.#unknownOf(charges, nowMs)
    const statuses = charges.map((charge) => {
      const state = this.#counters.get(charge.counter.key)
      return statusOf(state, viewCounter(state, charge, nowMs), charge, nowMs)
    })
    return { nowMs, statuses, unknown, fence: unknown.length === 0 ? '' : String(this.#settledUnknown) }
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
    this.#released.tick(this.#nowMs)
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
      const toppedUp = state?.kind === window.kind && state.startMs === NOT_BEGUN ? state.toppedUp : 0
      state = newState(charge, view, [], 0)
      state.toppedUp = toppedUp
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

  #close(id: string, as: 'settled' | 'released'): void {
    this.#holds.delete(id)
    this.#expired.delete(id)
    this.#kept.delete(id)
    this.#closed.add(id)
    if (as === 'released') this.#released.add(id)
  }

  #unknownOf(charges: readonly Charge[], nowMs: number): number[] {
    const unknown: number[] = []
    for (const [index, charge] of charges.entries()) if (this.#isUnknown(charge, nowMs)) unknown.push(index)
    return unknown
  }

  /** Whether a counter may have been used before this store began: it is not there, and its window is older. */
  #isUnknown({ counter, window, isRebuilt }: Charge, nowMs: number): boolean {
    if (!isRebuilt || this.#counters.get(counter.key)?.kind === window.kind) return false
    switch (window.kind) {
      case 'fixed':
        return (nowMs >= window.endMs ? window.endMs : window.startMs) < this.#sinceMs
      case 'sliding':
        return (Math.floor(nowMs / window.bucketMs) - window.buckets) * window.bucketMs < this.#sinceMs
      case 'first-use':
      case 'lifetime':
        return true
      case 'concurrent':
        return false
    }
  }

  /** The counter with the bucket of an instant as its current one. */
  #stateFor(charge: Charge, atMs: number): CounterState {
    const state = this.#counters.get(charge.counter.key)
    const view = viewCounter(state, charge, atMs)
    if (state?.kind === charge.window.kind && (state.startMs === view.bucket || state.startMs === NOT_BEGUN))
      return state
    const fresh = newState(charge, view, [], 0)
    if (charge.window.kind === 'first-use') notBegun(fresh, atMs)
    this.#counters.set(charge.counter.key, fresh)
    return fresh
  }

  #takeBack(state: CounterState, amount: number): void {
    let left = Math.min(amount, state.used)
    state.used -= left
    // From the newest step on, so that what leaves the window first stays.
    for (let gone = 0; gone < state.ring.length && left > 0; gone += 1) {
      const place = (((state.latest - gone) % state.ring.length) + state.ring.length) % state.ring.length
      const taken = Math.min(left, state.ring[place]!)
      state.ring[place]! -= taken
      left -= taken
    }
  }

  #empty(state: CounterState, nowMs: number): void {
    state.used = 0
    state.ring.fill(0)
    if (state.kind === 'first-use') notBegun(state, nowMs)
  }

  /** Holds stand in the order of expiry, as far as their lifetimes are equal; {@link sweep} looks at all of them. */
  #expireFirst(nowMs: number): void {
    for (let left = CLEARED_PER_CALL; left > 0; left -= 1) {
      const first = this.#holds.first()
      if (first === undefined || first.value.expiresAtMs > nowMs) return
      this.#expire(first.key, first.value, nowMs)
    }
  }

  #expire(id: string, { amounts, owner, context, admittedAtMs, expiresAtMs }: Hold, nowMs: number): void {
    const kept = amounts.filter(({ charge }) => charge.onExpiry === 'keep' && charge.window.kind !== 'concurrent')
    for (const held of amounts) if (!kept.includes(held)) this.#giveBack(held, held.amount, nowMs)
    this.#close(id, 'settled')
    this.#kept.set(id, kept)
    const units = amounts.map((held) => (kept.includes(held) ? heldUnits(held) : { ...heldUnits(held), amount: 0 }))
    this.#expired.set(id, { id, owner, context, admittedAtMs, expiredAtMs: expiresAtMs, kept: units })
  }

  #forgetCounters(nowMs: number): void {
    for (let left = 2; left > 0; left -= 1) {
      const next = this.#cursor.next()
      if (next.done === true) {
        this.#cursor = this.#counters.entries()
        return
      }
      const [key, state] = next.value
      if (!isForgettable(state, nowMs)) continue
      this.#counters.delete(key)
      this.#countedUntilMs.delete(key)
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
  return {
    kind: window.kind,
    startMs: bucket,
    endMs,
    used: 0,
    quota,
    toppedUp: 0,
    lasts,
    bucketMs,
    latest: bucket,
    ring,
  }
}

function heldUnits({ charge: { counter }, amount }: HeldAmount): HeldUnits {
  return { owner: counter.owner, partition: counter.partition, counter: counter.name, amount }
}

function notBegun(state: CounterState, nowMs: number): void {
  state.startMs = NOT_BEGUN
  state.endMs = nowMs + NOT_BEGUN_FOR_MS
  state.used = 0
}

function seededState(seeded: SeededCounter, nowMs: number): CounterState {
  const { charge, startMs, endMs, used, quota, toppedUp, steps = [] } = seeded
  const { window } = charge
  if (window.kind !== 'sliding') {
    const view = { bucket: startMs ?? NOT_BEGUN, endMs: endMs ?? Infinity, used, quota, ended: false }
    const state = newState({ ...charge, quota }, view, [], 0)
    state.used = used
    state.toppedUp = toppedUp
    if (startMs === null) notBegun(state, nowMs)
    return state
  }
  const bucket = Math.floor(nowMs / window.bucketMs)
  const ring = Array.from({ length: window.buckets + 1 }, () => 0)
  const state = newState(charge, { bucket, endMs: Infinity, used: 0, quota, ended: false }, ring, window.bucketMs)
  for (const [step, amount] of steps) {
    if (step > bucket || step <= bucket - ring.length) continue
    ring[step % ring.length]! += amount
    state.used += amount
  }
  return state
}

/**
 * @throws QuotaError `ERR_QUOTA_CONFIG` for a top-up of a window that has no bucket to hold it.
 */
export function assertAdjustable({ counter, window }: Charge, adjustment: AdjustRequest['adjustment']): void {
  if (adjustment === 'top-up' && (window.kind === 'sliding' || window.kind === 'concurrent')) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `${counter.name} is a ${window.kind} window, which can't be topped up: change its quota`,
    )
  }
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
