import { assertAdjustable } from './assert-adjustable.ts'
import { monotonicClock, type Clock } from './clock.ts'
import { add, giveBack, refund, reset, seed, topUp } from './counter-change.ts'
import { CounterFence } from './counter-fence.ts'
import { CounterSlab } from './counter-slab.ts'
import {
  COUNTER_STORE_CAPABILITIES,
  type AdjustRequest,
  type Charge,
  type CounterStatus,
  type CounterStore,
  type CounterStoreCapability,
  type Eventually,
  type ExpiredHold,
  type HoldState,
  type ReadReply,
  type ReserveReply,
  type ReserveRequest,
  type SeedRequest,
  type SettleOutcome,
  type SettleRequest,
} from './counter-store.ts'
import { isStale, refuses, statusOf, viewCounter } from './counter-view.ts'
import { isHeld, NOT_HELD, placeIn, type HeldCharges } from './held-charges.ts'
import { Reservations } from './reservations.ts'
import { settleHeld, settleUnheld } from './settle-charge.ts'
import type { SlabState } from './slab-state.ts'

export interface MemoryCounterStoreOptions {
  readonly clock?: Clock
  /**
   * How long at least a settled or released id is remembered, so that a repeat charges nothing. Default: a minute, as
   * within a process nothing is sent twice.
   */
  readonly closedForMs?: number
}

/** How many holds that are due one call expires, and at how many partitions it looks, so that none pays for all. */
const EXPIRED_PER_CALL = 8
const CLEARED_PER_CALL = 2
const FORGOTTEN_PER_CALL = 4
const CLEARED_PER_SWEEP = 20_000

/**
 * Counters of one process, and the reference for what every other store does. Answers at once, and throws at once. No
 * timers: each call clears away a little of what is over. Everything is gone when the process ends.
 */
export class MemoryCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability> = new Set(COUNTER_STORE_CAPABILITIES)
  readonly rebuildsFromMs = 0
  readonly #clock: Clock
  readonly #slab = new CounterSlab()
  readonly #reservations: Reservations
  readonly #fence: CounterFence
  #nowMs = -Infinity

  constructor({ clock = monotonicClock, closedForMs = 60_000 }: MemoryCounterStoreOptions = {}) {
    this.#clock = clock
    this.#reservations = new Reservations(closedForMs)
    this.#fence = new CounterFence(Math.floor(clock()))
  }

  /** What is kept now, and how many counters there is room for without more memory. */
  get size(): {
    readonly counters: number
    readonly slots: number
    readonly partitions: number
    readonly holds: number
  } {
    return { ...this.#slab.size, holds: this.#reservations.size }
  }

  reserve(request: ReserveRequest): Eventually<ReserveReply> {
    const nowMs = this.#tick()
    return this.#reserveQuickly(request, nowMs) ?? this.#reserve(request, nowMs)
  }

  extend({ id, owner, charges, lifetimeMs, context }: ReserveRequest): Eventually<void> {
    const nowMs = this.#tick()
    const reservations = this.#reservations
    const entry = reservations.find(id)
    if (reservations.isClosed(entry)) return
    const open = reservations.open(entry)
    if (open !== undefined) return reservations.extend(open, nowMs, lifetimeMs)
    const kept = reservations.kept(id)
    const places = charges.map((charge, index) => placeIn(kept, charge, index))
    const held = charges.map((charge, index) => kept?.charges[places[index]!] ?? charge)
    const { buckets } = reservations.make(id, entry, owner, context, held, nowMs, lifetimeMs)
    for (const [index, charge] of charges.entries()) {
      buckets[index] = kept?.buckets[places[index]!] ?? this.#addAnew(charge, nowMs)
    }
  }

  settle({ id, charges, atMs }: SettleRequest): Eventually<SettleOutcome> {
    const nowMs = this.#tick()
    const entry = this.#reservations.find(id)
    if (this.#reservations.isClosed(entry)) return 'closed'
    const hold = this.#reservations.open(entry)
    const held = hold ?? this.#reservations.kept(id)
    const times = { atMs: Math.min(atMs, nowMs), nowMs }
    for (let index = 0; index < charges.length; index += 1) {
      const settled = charges[index]!
      const place = placeIn(held, settled.charge, index)
      if (place !== -1 && this.#slab.quick.settle(settled, held!, place, times)) continue
      if (this.#isUnknown(settled.charge, this.#load(settled.charge, nowMs), times.atMs)) {
        this.#fence.skip(settled.charge, nowMs)
      } else if (place === -1) settleUnheld(this.#slab, settled, times)
      else settleHeld(this.#slab, settled, held!, place, times)
    }
    this.#reservations.close(id, entry, 'settled', nowMs)
    return hold === undefined ? 'late' : 'settled'
  }

  release({ id }: { readonly id: string; readonly owner: string }): Eventually<void> {
    const nowMs = this.#tick()
    const entry = this.#reservations.find(id)
    if (this.#reservations.isClosed(entry)) return
    const held = this.#reservations.open(entry) ?? this.#reservations.kept(id)
    if (held !== undefined) this.#giveBack(held, nowMs)
    this.#reservations.close(id, entry, 'released', nowMs)
  }

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a top-up of a window that has no bucket to hold it. */
  adjust({ id, charge, adjustment, amount, atMs }: AdjustRequest): Eventually<boolean> {
    assertAdjustable(charge, adjustment)
    const nowMs = this.#tick()
    if (this.#reservations.find(id) !== -1) return false
    const state = this.#load(charge, nowMs)
    if (this.#isUnknown(charge, state, nowMs)) {
      this.#fence.skip(charge, nowMs)
      return false
    }
    this.#reservations.close(id, -1, 'settled', nowMs)
    const view = viewCounter(state, charge, atMs)
    const isOver = charge.window.kind === 'fixed' && nowMs >= view.endMs
    if (adjustment === 'top-up' && !isOver) topUp(this.#slab, charge, state, view, amount)
    else if (state !== undefined && adjustment === 'refund') refund(this.#slab, charge, state, view, amount)
    else if (state !== undefined && adjustment === 'reset') reset(this.#slab, charge, state, nowMs)
    return true
  }

  seed({ counters, fence, closed, countedUntilMs }: SeedRequest): Eventually<boolean> {
    const nowMs = this.#tick()
    if (fence !== this.#fence.value) return false
    // One that is known by now was seeded with what somebody else read: of its ids, ours may not be.
    if (counters.some(({ charge }) => !this.#isUnknown(charge, this.#load(charge, nowMs), nowMs))) return false
    for (const seeded of counters) seed(this.#slab, seeded, countedUntilMs, nowMs)
    for (const id of closed) if (this.#reservations.find(id) === -1) this.#reservations.close(id, -1, 'settled', nowMs)
    return true
  }

  holdState({ id }: { readonly id: string; readonly owner: string }): Eventually<HoldState | undefined> {
    return this.#reservations.stateOf(id)
  }

  read(charges: readonly Charge[]): Eventually<ReadReply> {
    const nowMs = this.#time()
    this.#slab.begin()
    const states = charges.map((charge) => this.#load(charge, nowMs))
    const unknown = this.#unknownOf(charges, states, nowMs)
    const statuses = charges.map((charge, index) =>
      statusOf(states[index], viewCounter(states[index], charge, nowMs), charge, nowMs),
    )
    return { nowMs, statuses, unknown, fence: unknown.length === 0 ? '' : this.#fence.value }
  }

  sweep(most: number): Eventually<readonly ExpiredHold[]> {
    const nowMs = this.#time()
    this.#expireDue(nowMs, most)
    this.#reservations.forget(nowMs, CLEARED_PER_SWEEP)
    this.#slab.clear(nowMs, CLEARED_PER_SWEEP)
    return this.#reservations.listed(most)
  }

  acknowledge(holds: readonly ExpiredHold[]): Eventually<void> {
    this.#reservations.acknowledge(holds)
  }

  async close(): Promise<void> {}

  /** Reads the clock, which for this store never goes back. */
  #time(): number {
    const readMs = Math.floor(this.#clock())
    if (readMs > this.#nowMs) this.#nowMs = readMs
    return this.#nowMs
  }

  /** The time, after clearing away a little of what is over. */
  #tick(): number {
    const nowMs = this.#time()
    this.#expireDue(nowMs, EXPIRED_PER_CALL)
    this.#reservations.forget(nowMs, FORGOTTEN_PER_CALL)
    this.#slab.clear(nowMs, CLEARED_PER_CALL)
    this.#slab.begin()
    return nowMs
  }

  /**
   * The way of most calls: all windows are fixed, their counters are in the bucket that the charges come with, and all
   * have room. `undefined`: this is not such a call.
   */
  #reserveQuickly(
    { id, owner, charges, lifetimeMs, context }: ReserveRequest,
    nowMs: number,
  ): ReserveReply | undefined {
    if (!this.#slab.quick.haveRoom(charges, nowMs) || this.#reservations.find(id) !== -1) return undefined
    const { buckets } = this.#reservations.make(id, -1, owner, context, charges, nowMs, lifetimeMs)
    return { outcome: 'granted', nowMs, statuses: this.#slab.quick.add(charges, buckets, nowMs) }
  }

  #reserve({ id, owner, charges, lifetimeMs, context }: ReserveRequest, nowMs: number): ReserveReply {
    if (charges.some(({ window }) => isStale(window, nowMs))) return { outcome: 'stale', nowMs }
    const entry = this.#reservations.find(id)
    const isRepeat = this.#reservations.open(entry) !== undefined
    if (!isRepeat && entry !== -1) return { outcome: 'closed', nowMs }
    const states = charges.map((charge) => this.#load(charge, nowMs))
    const unknown = this.#unknownOf(charges, states, nowMs)
    if (unknown.length > 0 && !isRepeat) return { outcome: 'unknown', nowMs, unknown, fence: this.#fence.value }
    const views = charges.map((charge, index) => viewCounter(states[index], charge, nowMs))
    const statuses = charges.map((charge, index) => statusOf(states[index], views[index]!, charge, nowMs))
    if (isRepeat) return { outcome: 'granted', nowMs, statuses }
    if (refuses(charges, statuses)) return { outcome: 'refused', nowMs, statuses }

    const { buckets } = this.#reservations.make(id, entry, owner, context, charges, nowMs, lifetimeMs)
    const after = charges.map((charge, index): CounterStatus => {
      add(this.#slab, charge, states[index], views[index]!, charge.amount)
      buckets[index] = views[index]!.bucket
      const { used, quota, startMs, tripped, resetAtMs, roomAtMs } = statuses[index]!
      return { used: used + charge.amount, quota, startMs, tripped, resetAtMs, roomAtMs }
    })
    return { outcome: 'granted', nowMs, statuses: after }
  }

  /** Counts a charge of a hold that was lost, without a decision. Returns its bucket. */
  #addAnew(charge: Charge, nowMs: number): number {
    if (isStale(charge.window, nowMs)) return NOT_HELD
    const state = this.#load(charge, nowMs)
    if (this.#isUnknown(charge, state, nowMs)) return NOT_HELD
    const view = viewCounter(state, charge, nowMs)
    add(this.#slab, charge, state, view, charge.amount)
    return view.bucket
  }

  #giveBack({ charges, buckets }: HeldCharges, nowMs: number): void {
    for (const [index, charge] of charges.entries()) {
      const bucket = buckets[index]
      if (isHeld(bucket)) giveBack(this.#slab, charge, bucket, charge.amount, nowMs, nowMs)
    }
  }

  #load({ counter }: Charge, nowMs: number): SlabState | undefined {
    return this.#slab.load(counter, nowMs)
  }

  #isUnknown(charge: Charge, state: SlabState | undefined, atMs: number): boolean {
    return this.#fence.isUnknown(charge, state, atMs)
  }

  #unknownOf(charges: readonly Charge[], states: readonly (SlabState | undefined)[], nowMs: number): number[] {
    const unknown: number[] = []
    for (const [index, charge] of charges.entries()) {
      if (this.#isUnknown(charge, states[index], nowMs)) unknown.push(index)
    }
    return unknown
  }

  #expireDue(nowMs: number, most: number): void {
    for (let left = most; left > 0; left -= 1) {
      const hold = this.#reservations.due(nowMs)
      if (hold === undefined) return
      this.#slab.begin()
      this.#giveBack(this.#reservations.expire(hold, nowMs), nowMs)
    }
  }
}
