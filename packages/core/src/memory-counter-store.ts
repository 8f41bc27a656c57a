import { assertAdjustable } from './assert-adjustable.ts'
import { monotonicClock, type Clock } from './clock.ts'
import { add, giveBack, refund, reset, seed, topUp } from './counter-change.ts'
import { CounterFence } from './counter-fence.ts'
import { CounterSlab, type SlabState } from './counter-slab.ts'
import type {
  AdjustRequest,
  Charge,
  CounterStatus,
  CounterStore,
  CounterStoreCapability,
  Eventually,
  ExpiredHold,
  HeldUnits,
  HoldState,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SeedRequest,
  SettleOutcome,
  SettleRequest,
} from './counter-store.ts'
import { isStale, refuses, statusOf, viewCounter } from './counter-view.ts'
import { heldUnits, isHeld, NOT_HELD, placeIn, unitsOf, type HeldCharges } from './held-charges.ts'
import { HoldTable, type Hold } from './hold-table.ts'
import { IdTable } from './id-table.ts'
import { isPast, settleHeld, settleQuickly, settleUnheld } from './settle-charge.ts'
import { SlotMap } from './slot-map.ts'

export interface MemoryCounterStoreOptions {
  readonly clock?: Clock
  /**
   * How long at least a settled or released id is remembered, so that a repeat charges nothing. Default: a minute, as
   * within a process nothing is sent twice.
   */
  readonly closedForMs?: number
}

/** Numbers of closed ids; those of open ones are the indices of their holds. */
const SETTLED = -1
const RELEASED = -2
const EXPIRED = -3
type Closed = typeof SETTLED | typeof RELEASED | typeof EXPIRED
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
  readonly #slab = new CounterSlab()
  readonly #holds = new HoldTable()
  readonly #ids: IdTable
  /** What expired holds have kept. */
  readonly #kept = new SlotMap<HeldCharges>()
  /** Those that nobody acknowledged. */
  readonly #expired = new SlotMap<ExpiredHold>()
  readonly #fence: CounterFence
  #nowMs = -Infinity

  constructor({ clock = monotonicClock, closedForMs = 60_000 }: MemoryCounterStoreOptions = {}) {
    this.#clock = clock
    this.#ids = new IdTable(closedForMs)
    this.#fence = new CounterFence(Math.floor(clock()))
  }

  /** What is kept now, and how many counters there is room for without more memory. */
  get size(): {
    readonly counters: number
    readonly slots: number
    readonly partitions: number
    readonly holds: number
  } {
    return { ...this.#slab.size, holds: this.#holds.size }
  }

  reserve(request: ReserveRequest): Eventually<ReserveReply> {
    const nowMs = this.#tick()
    return this.#reserveQuickly(request, nowMs) ?? this.#reserve(request, nowMs)
  }

  extend({ id, owner, charges, lifetimeMs, context }: ReserveRequest): Eventually<void> {
    const nowMs = this.#tick()
    const entry = this.#ids.find(id)
    const value = this.#ids.valueOf(entry)
    if (value === SETTLED || value === RELEASED) return
    if (value !== undefined && value !== EXPIRED) return this.#holds.extend(this.#holds.at(value), nowMs, lifetimeMs)
    const kept = this.#kept.get(id)
    this.#expired.delete(id)
    this.#kept.delete(id)
    const places = charges.map((charge, index) => placeIn(kept, charge, index))
    const held = charges.map((charge, index) => kept?.charges[places[index]!] ?? charge)
    const hold = this.#holds.open(owner, context, held, nowMs, lifetimeMs)
    hold.entry = entry === -1 ? this.#ids.add(id, hold.index) : entry
    this.#ids.open(hold.entry, hold.index)
    for (const [index, charge] of charges.entries()) {
      hold.buckets[index] = kept?.buckets[places[index]!] ?? this.#addAnew(charge, nowMs)
    }
  }

  settle({ id, charges, atMs }: SettleRequest): Eventually<SettleOutcome> {
    const nowMs = this.#tick()
    const entry = this.#ids.find(id)
    const value = this.#ids.valueOf(entry)
    if (value === SETTLED || value === RELEASED) return 'closed'
    const hold = this.#openHold(value)
    const held = hold ?? (value === EXPIRED ? this.#kept.get(id) : undefined)
    const times = { atMs: Math.min(atMs, nowMs), nowMs }
    for (let index = 0; index < charges.length; index += 1) {
      const settled = charges[index]!
      const place = placeIn(held, settled.charge, index)
      if (place !== -1 && settleQuickly(this.#slab, settled, held!, place, times)) continue
      if (this.#isUnknown(settled.charge, this.#load(settled.charge, nowMs), times.atMs)) {
        this.#fence.skip(settled.charge, nowMs)
      } else if (place === -1) settleUnheld(this.#slab, settled, times)
      else settleHeld(this.#slab, settled, held!, place, times)
    }
    this.#close(id, entry, hold, SETTLED, nowMs)
    return hold === undefined ? 'late' : 'settled'
  }

  release({ id }: { readonly id: string; readonly owner: string }): Eventually<void> {
    const nowMs = this.#tick()
    const entry = this.#ids.find(id)
    const value = this.#ids.valueOf(entry)
    if (value === SETTLED || value === RELEASED) return
    const hold = this.#openHold(value)
    const held = hold ?? this.#kept.get(id)
    for (const [index, charge] of (held?.charges ?? []).entries()) this.#giveBack(charge, held!.buckets[index]!, nowMs)
    this.#close(id, entry, hold, RELEASED, nowMs)
  }

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a top-up of a window that has no bucket to hold it. */
  adjust({ id, charge, adjustment, amount, atMs }: AdjustRequest): Eventually<boolean> {
    assertAdjustable(charge, adjustment)
    const nowMs = this.#tick()
    if (this.#ids.find(id) !== -1) return false
    const state = this.#load(charge, nowMs)
    if (this.#isUnknown(charge, state, nowMs)) {
      this.#fence.skip(charge, nowMs)
      return false
    }
    this.#close(id, -1, undefined, SETTLED, nowMs)
    const view = viewCounter(state, charge, atMs)
    if (adjustment === 'top-up' && !isPast(state, charge, view)) topUp(this.#slab, charge, state, view, amount)
    else if (state !== undefined && adjustment === 'refund') refund(this.#slab, charge, state, view, amount)
    else if (state !== undefined && adjustment === 'reset') reset(this.#slab, charge, state, nowMs)
    return true
  }

  seed({ counters, fence, closed, countedUntilMs }: SeedRequest): Eventually<boolean> {
    const nowMs = this.#tick()
    if (fence !== this.#fence.value) return false
    for (const seeded of counters) {
      const { charge } = seeded
      if (this.#isUnknown(charge, this.#load(charge, nowMs), nowMs)) seed(this.#slab, seeded, countedUntilMs, nowMs)
    }
    for (const id of closed) if (this.#ids.find(id) === -1) this.#close(id, -1, undefined, SETTLED, nowMs)
    return true
  }

  holdState({ id }: { readonly id: string; readonly owner: string }): Eventually<HoldState | undefined> {
    const value = this.#ids.valueOf(this.#ids.find(id))
    if (value === undefined) return undefined
    if (value === SETTLED) return { state: 'settled' }
    if (value === RELEASED) return { state: 'released' }
    if (value === EXPIRED) return { state: 'expired', held: heldUnits(this.#kept.get(id)!) }
    const hold = this.#holds.at(value)
    return { state: 'reserved', expiresAtMs: hold.expiresAtMs, held: heldUnits(hold) }
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
    this.#ids.forget(nowMs, CLEARED_PER_SWEEP, EXPIRED, this.#kept)
    this.#slab.clear(nowMs, CLEARED_PER_SWEEP)
    const listed: ExpiredHold[] = []
    for (const [, expired] of this.#expired) {
      if (listed.length >= most) break
      listed.push(expired)
    }
    return listed
  }

  acknowledge(holds: readonly ExpiredHold[]): Eventually<void> {
    for (const { id } of holds) this.#expired.delete(id)
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
    this.#ids.forget(nowMs, FORGOTTEN_PER_CALL, EXPIRED, this.#kept)
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
    if (!this.#slab.haveRoom(charges, nowMs) || this.#ids.find(id) !== -1) return undefined
    const { buckets } = this.#open(id, owner, context, charges, nowMs, lifetimeMs)
    return { outcome: 'granted', nowMs, statuses: this.#slab.quickAdd(charges, buckets, nowMs) }
  }

  #reserve({ id, owner, charges, lifetimeMs, context }: ReserveRequest, nowMs: number): ReserveReply {
    if (charges.some(({ window }) => isStale(window, nowMs))) return { outcome: 'stale', nowMs }
    const value = this.#ids.valueOf(this.#ids.find(id))
    if (value !== undefined && value < 0) return { outcome: 'closed', nowMs }
    const isRepeat = value !== undefined
    const states = charges.map((charge) => this.#load(charge, nowMs))
    const unknown = this.#unknownOf(charges, states, nowMs)
    if (unknown.length > 0 && !isRepeat) return { outcome: 'unknown', nowMs, unknown, fence: this.#fence.value }
    const views = charges.map((charge, index) => viewCounter(states[index], charge, nowMs))
    const statuses = charges.map((charge, index) => statusOf(states[index], views[index]!, charge, nowMs))
    if (isRepeat) return { outcome: 'granted', nowMs, statuses }
    if (refuses(charges, statuses)) return { outcome: 'refused', nowMs, statuses }

    const { buckets } = this.#open(id, owner, context, charges, nowMs, lifetimeMs)
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

  #giveBack(charge: Charge, bucket: number, nowMs: number): void {
    if (isHeld(bucket)) giveBack(this.#slab, charge, bucket, charge.amount, nowMs, nowMs)
  }

  #open(
    id: string,
    owner: string,
    context: string,
    charges: readonly Charge[],
    nowMs: number,
    lifetimeMs: number,
  ): Hold {
    const hold = this.#holds.open(owner, context, charges, nowMs, lifetimeMs)
    hold.entry = this.#ids.add(id, hold.index)
    return hold
  }

  #openHold(value: number | undefined): Hold | undefined {
    return value === undefined || value < 0 ? undefined : this.#holds.at(value)
  }

  #close(id: string, entry: number, hold: Hold | undefined, as: Closed, nowMs: number): void {
    if (hold !== undefined) this.#holds.close(hold)
    else if (this.#ids.valueOf(entry) === EXPIRED) {
      this.#expired.delete(id)
      this.#kept.delete(id)
    }
    this.#ids.close(entry === -1 ? this.#ids.add(id, 0) : entry, as, nowMs)
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
      const hold = this.#holds.due(nowMs)
      if (hold === undefined) return
      this.#slab.begin()
      this.#expire(hold, nowMs)
    }
  }

  /** Gives back what is not to be kept, and lists the hold with its context. */
  #expire(hold: Hold, nowMs: number): void {
    const { entry, owner, context, charges, admittedAtMs, expiresAtMs } = hold
    const id = this.#ids.idOf(entry)
    const kept: HeldUnits[] = []
    const buckets = charges.map((charge, index) => {
      const bucket = hold.buckets[index]!
      const isKept = charge.onExpiry === 'keep' && charge.window.kind !== 'concurrent'
      if (isHeld(bucket)) kept.push(unitsOf(charge, isKept ? charge.amount : 0))
      if (!isKept) this.#giveBack(charge, bucket, nowMs)
      return isKept ? bucket : NOT_HELD
    })
    this.#close(id, entry, hold, EXPIRED, nowMs)
    this.#kept.set(id, { charges, buckets })
    this.#expired.set(id, { id, owner, context, admittedAtMs, expiredAtMs: expiresAtMs, kept })
  }
}
