import type { BucketRecord, BucketRecords } from './bucket-records.ts'
import type { Charge, Counter, CounterStatus, SettledCharge } from './counter-store.ts'
import { isForgettable, isOver } from './counter-view.ts'
import type { HeldCharges } from './held-charges.ts'
import { newState, type SlabState } from './slab-state.ts'
import { addToBucket, slidingResetAt, takeFromBucket } from './sliding-steps.ts'
import { BITS, MASK, type SlotChunk } from './slot-chunk.ts'

/** When a settlement happened, by the store's clock, and the store's time now, which is not before. */
export interface SettlementTimes {
  readonly atMs: number
  readonly nowMs: number
}

/**
 * The way of most calls: counters that know their slot, in the fixed bucket that the charge comes with or sliding in its
 * steps. Whatever is not so is answered with `false`, and goes the long way.
 */
export class QuickCounters {
  readonly #chunks: readonly SlotChunk[]
  readonly #records: BucketRecords
  /** Of the sliding counter that is looked at. */
  readonly #sliding = newState()

  constructor(chunks: readonly SlotChunk[], records: BucketRecords) {
    this.#chunks = chunks
    this.#records = records
  }

  /** Whether the counters of all charges have room. Then {@link add} does the rest. */
  haveRoom(charges: readonly Charge[], nowMs: number): boolean {
    for (let index = 0; index < charges.length; index += 1) {
      const charge = charges[index]!
      const chunk = this.#chunkOf(charge.counter)
      if (chunk === undefined) return false
      const at = charge.counter.slot! & MASK
      const record = this.#records.at(chunk.record[at]!)
      if (record.window !== charge.window) return false
      let used = chunk.used[at]!
      if (record.kind === 'sliding') {
        const state = this.#read(record, used)
        if (isForgettable(state, nowMs)) return false
        // With what has left since: where that is in the way, the long way finds out.
        used = state.used
      } else if (record.quota !== charge.quota || nowMs < record.startMs || nowMs >= record.endMs) return false
      if (isOver(used, charge.quota, charge)) return false
    }
    return true
  }

  /** Counts charges that {@link haveRoom}, and notes their buckets. */
  add(charges: readonly Charge[], buckets: number[], nowMs: number): readonly CounterStatus[] {
    // oxlint-disable-next-line unicorn/no-new-array -- of its length at once: a list that grows is four times as large
    const statuses = new Array<CounterStatus>(charges.length)
    for (let index = 0; index < charges.length; index += 1) {
      const { counter, amount, quota } = charges[index]!
      const chunk = this.#chunks[counter.slot! >>> BITS]!
      const at = counter.slot! & MASK
      const record = this.#records.at(chunk.record[at]!)
      if (record.kind === 'sliding') {
        const state = this.#read(record, chunk.used[at]!)
        const bucket = Math.floor(nowMs / record.bucketMs)
        const resetAtMs = slidingResetAt(state, bucket)
        addToBucket(state, bucket, amount)
        record.pool!.write(chunk.used[at]!, state)
        buckets[index] = bucket
        statuses[index] = { used: state.used, quota, startMs: null, tripped: false, resetAtMs, roomAtMs: nowMs }
        continue
      }
      const { startMs, endMs } = record
      const used = chunk.used[at]! + amount
      chunk.used[at] = used
      buckets[index] = startMs
      statuses[index] = { used, quota, startMs, tripped: false, resetAtMs: endMs, roomAtMs: nowMs }
    }
    return statuses
  }

  /** Replaces what is held by what was used, where the call ends in the fixed bucket that it began in, or the window slides. */
  settle(
    { charge, actual }: SettledCharge,
    { charges, buckets }: HeldCharges,
    place: number,
    { atMs, nowMs }: SettlementTimes,
  ): boolean {
    const chunk = this.#chunkOf(charge.counter)
    if (chunk === undefined) return false
    const at = charge.counter.slot! & MASK
    const record = this.#records.at(chunk.record[at]!)
    if (record.window !== charge.window) return false
    const held = charges[place]!
    const bucket = buckets[place]!
    const by = actual - held.amount
    if (record.kind === 'sliding') {
      const state = this.#read(record, chunk.used[at]!)
      if (held.window !== charge.window || isForgettable(state, nowMs)) return false
      if (by < 0) takeFromBucket(state, bucket, -by)
      else addToBucket(state, Math.floor(atMs / record.bucketMs), by)
      record.pool!.write(chunk.used[at]!, state)
      return true
    }
    if (record.startMs !== bucket || record.quota !== charge.quota) return false
    if (atMs < record.startMs || Math.max(atMs, nowMs) >= record.endMs) return false
    chunk.used[at] = Math.max(0, chunk.used[at]! + by)
    return true
  }

  /** Where the slot of a counter is that knows it; `undefined`: it may have one all the same. */
  #chunkOf({ slot, stamp }: Counter): SlotChunk | undefined {
    if (slot === undefined || slot < 0) return undefined
    const chunk = this.#chunks[slot >>> BITS]
    return chunk !== undefined && chunk.stamp[slot & MASK] === stamp ? chunk : undefined
  }

  /** Lent until the next one is read. */
  #read({ bucketMs, pool }: BucketRecord, ring: number): SlabState {
    const state = this.#sliding
    state.kind = 'sliding'
    state.bucketMs = bucketMs
    pool!.read(ring, state)
    return state
  }
}
