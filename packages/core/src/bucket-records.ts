import type { ChargeWindow } from './counter-store.ts'
import type { CounterState } from './counter-view.ts'
import { RingPool } from './ring-pool.ts'

/** What all counters of one limit that are in the same bucket have in common: a million of them share one. */
export interface BucketRecord extends Readonly<
  Pick<CounterState, 'kind' | 'startMs' | 'endMs' | 'quota' | 'toppedUp' | 'lasts' | 'bucketMs'>
> {
  /** Name of the counters: plan and limit. */
  readonly name: string
  readonly index: number
  /** Sliding only. */
  readonly pool: RingPool | undefined
  /** Counters that point here. */
  counters: number
  /**
   * The window of charges whose current bucket this is, if nothing was topped up, or whose steps these are: what most
   * calls come with.
   */
  window: ChargeWindow | undefined
}

/** Places where an equal record is looked for; one that is not found there is made twice, which does no harm. */
const RECENT = 1_024

/** All records of a store. */
export class BucketRecords {
  readonly #records: (BucketRecord | undefined)[] = []
  readonly #free: number[] = []
  readonly #recent: (BucketRecord | undefined)[] = Array.from({ length: RECENT }, () => undefined)
  readonly #pools: RingPool[] = []

  at(index: number): BucketRecord {
    return this.#records[index]!
  }

  /** The record of a counter in this state, for one counter more. */
  take(name: string, state: CounterState): BucketRecord {
    const place = placeOf(name, state)
    const recent = this.#recent[place]
    if (recent !== undefined && recent.counters > 0 && isOf(recent, name, state)) {
      recent.counters += 1
      return recent
    }
    const { kind, startMs, endMs, quota, toppedUp, lasts, bucketMs, places } = state
    const pool = kind === 'sliding' ? this.poolOf(places) : undefined
    const index = this.#free.pop() ?? this.#records.length
    const shape = { kind, startMs, endMs, quota, toppedUp, lasts, bucketMs }
    const record: BucketRecord = { name, index, pool, counters: 1, window: undefined, ...shape }
    this.#records[index] = record
    this.#recent[place] = record
    return record
  }

  /** A counter has left it. */
  leave(record: BucketRecord): void {
    record.counters -= 1
    if (record.counters > 0) return
    this.#records[record.index] = undefined
    this.#free.push(record.index)
  }

  /** Where rings of so many places are. */
  poolOf(places: number): RingPool {
    let pool = this.#pools.find((known) => known.places === places)
    if (pool === undefined) this.#pools.push((pool = new RingPool(places)))
    return pool
  }
}

/** Whether a record says what a state does. */
export function isOf(record: BucketRecord, name: string, state: CounterState): boolean {
  return (
    record.startMs === state.startMs &&
    record.endMs === state.endMs &&
    record.kind === state.kind &&
    record.quota === state.quota &&
    record.toppedUp === state.toppedUp &&
    record.lasts === state.lasts &&
    record.bucketMs === state.bucketMs &&
    (record.pool === undefined || record.pool.places === state.places) &&
    record.name === name
  )
}

function placeOf(name: string, { startMs, endMs, bucketMs, quota }: CounterState): number {
  let hash = Math.imul(startMs % 2_147_483_647, 31) ^ (endMs === Infinity ? bucketMs : endMs % 2_147_483_647)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) ^ ((quota ?? 0) | 0) ^ Math.imul(name.length, 0x9e3779b1)
  hash ^= Math.imul(name.charCodeAt(name.length - 1), 0x85ebca6b)
  return (hash ^ (hash >>> 16)) & (RECENT - 1)
}
