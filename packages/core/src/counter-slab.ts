import { BucketRecords, isOf, type BucketRecord } from './bucket-records.ts'
import type { Counter } from './counter-store.ts'
import { isForgettable, type CounterState } from './counter-view.ts'
import { PartitionRows } from './partition-rows.ts'
import { QuickCounters } from './quick-counters.ts'
import { newState, type SlabState } from './slab-state.ts'
import { BITS, MASK, newChunk, newStamp, remember, type SlotChunk } from './slot-chunk.ts'

const NOWHERE = -1

/**
 * Counters, in columns of numbers that no collector has to look at: 20 bytes a counter beside what its limit shares with
 * others, and some 40 a partition. Which partition has which counters is in {@link PartitionRows}.
 */
export class CounterSlab {
  readonly records = new BucketRecords()
  readonly #rows = new PartitionRows()
  readonly #chunks: SlotChunk[] = []
  readonly quick = new QuickCounters(this.#chunks, this.records)
  readonly #states: SlabState[] = []
  #lent = 0
  #made = 0
  #free = NOWHERE
  #live = 0
  /** No partition is over before. */
  #quietUntilMs = Infinity
  #soonestMs = Infinity

  /** Counters that are kept, and how many there is room for without more memory. */
  get size(): { readonly counters: number; readonly slots: number; readonly partitions: number } {
    return { counters: this.#live, slots: this.#made, partitions: this.#rows.size }
  }

  /** Takes back all states that were lent: to be called once, at the beginning of each operation. */
  begin(): void {
    this.#lent = 0
  }

  /**
   * Reads a counter; `undefined` where nothing is known of it, or what is known is over, so that it does not matter when
   * it is cleared away. Lent until {@link begin}.
   */
  load(counter: Counter, nowMs: number): SlabState | undefined {
    const slot = this.#find(counter)
    if (slot === NOWHERE) return undefined
    const state = this.#lend()
    this.#read(slot, state)
    if (!isForgettable(state, nowMs)) return state
    this.#lent -= 1
    return undefined
  }

  /** Begins a counter anew, whatever was known of it. The caller says the rest, and has to save it. */
  renew(counter: Counter, kind: CounterState['kind'], bucketMs: number, places: number, latest: number): SlabState {
    let slot = this.#find(counter)
    if (slot === NOWHERE) slot = this.#takeSlot(counter)
    else this.#leave(slot)
    const state = this.#lend()
    const chunk = this.#chunks[slot >>> BITS]!
    chunk.record[slot & MASK] = NOWHERE
    state.slot = slot
    state.kind = kind
    state.startMs = 0
    state.endMs = Infinity
    state.used = 0
    state.quota = null
    state.toppedUp = 0
    state.lasts = false
    state.bucketMs = bucketMs
    state.places = places
    if (kind === 'sliding') {
      const pool = this.records.poolOf(places)
      chunk.used[slot & MASK] = pool.take(latest)
      pool.read(chunk.used[slot & MASK]!, state)
    }
    return state
  }

  /** Writes a state back, and returns the record of its bucket. */
  save(name: string, state: SlabState): BucketRecord {
    const { slot, used } = state
    const chunk = this.#chunks[slot >>> BITS]!
    const index = chunk.record[slot & MASK]!
    let record = index === NOWHERE ? undefined : this.records.at(index)
    if (record === undefined || !isOf(record, name, state)) {
      if (record !== undefined) this.records.leave(record)
      record = this.records.take(name, state)
      chunk.record[slot & MASK] = record.index
      this.#endsAt(state)
    }
    const { pool } = record
    if (pool === undefined) {
      chunk.used[slot & MASK] = used
      if (state.kind === 'concurrent' && used === 0) this.#endsAt(state)
    } else pool.write(chunk.used[slot & MASK]!, state)
    return record
  }

  /** Until when settlements are among what a counter was seeded with. */
  countedUntil(counter: Counter): number {
    const slot = this.#find(counter)
    return slot === NOWHERE ? -Infinity : (this.#chunks[slot >>> BITS]!.countedUntilMs?.[slot & MASK] ?? -Infinity)
  }

  setCountedUntil({ slot }: SlabState, atMs: number): void {
    const chunk = this.#chunks[slot >>> BITS]!
    chunk.countedUntilMs ??= new Float64Array(1 << BITS).fill(-Infinity)
    chunk.countedUntilMs[slot & MASK] = atMs
  }

  /** Looks at the next few partitions, and frees those whose counters are all over. */
  clear(nowMs: number, partitions: number): void {
    if (nowMs < this.#quietUntilMs) return
    for (let left = partitions; left > 0; left -= 1) {
      const head = this.#rows.next()
      if (head === NOWHERE) {
        this.#quietUntilMs = this.#soonestMs
        this.#soonestMs = Infinity
        return
      }
      const endMs = this.#endOf(head)
      if (nowMs >= endMs) this.#freeFrom(this.#rows.remove())
      else if (endMs < this.#soonestMs) this.#soonestMs = endMs
    }
  }

  #find(counter: Counter): number {
    const { slot: known, stamp } = counter
    if (known !== undefined && known >= 0 && this.#chunks[known >>> BITS]?.stamp[known & MASK] === stamp) return known
    for (let slot = this.#rows.head(counter); slot !== NOWHERE;) {
      const chunk = this.#chunks[slot >>> BITS]!
      const index = slot & MASK
      if (this.records.at(chunk.record[index]!).name === counter.name) {
        remember(counter, slot, chunk.stamp[index]!)
        return slot
      }
      slot = chunk.next[index]!
    }
    return NOWHERE
  }

  /** A slot for a counter that has none, among those of its partition. */
  #takeSlot(counter: Counter): number {
    let slot = this.#free
    if (slot === NOWHERE) {
      slot = this.#made
      this.#made += 1
      if (slot >>> BITS === this.#chunks.length) this.#chunks.push(newChunk())
    } else this.#free = this.#chunks[slot >>> BITS]!.next[slot & MASK]!
    const chunk = this.#chunks[slot >>> BITS]!
    const index = slot & MASK
    const stamp = newStamp()
    chunk.stamp[index] = stamp
    chunk.next[index] = this.#rows.put(counter, slot)
    if (chunk.countedUntilMs !== undefined) chunk.countedUntilMs[index] = -Infinity
    this.#live += 1
    remember(counter, slot, stamp)
    return slot
  }

  /** Notes when a counter is over, so as not to look for such as are before. */
  #endsAt({ kind, lasts, endMs, latest, places, bucketMs }: CounterState): void {
    const isIdle = kind === 'concurrent'
    const overMs = kind === 'sliding' ? (latest + places) * bucketMs : isIdle ? -Infinity : lasts ? Infinity : endMs
    if (overMs < this.#quietUntilMs) this.#quietUntilMs = overMs
    if (overMs < this.#soonestMs) this.#soonestMs = overMs
  }

  /** A slot no longer has the record that it had, nor a ring. */
  #leave(slot: number): void {
    const chunk = this.#chunks[slot >>> BITS]!
    const record = this.records.at(chunk.record[slot & MASK]!)
    record.pool?.giveBack(chunk.used[slot & MASK]!)
    chunk.used[slot & MASK] = 0
    this.records.leave(record)
  }

  /** When the last of a partition's counters is over. */
  #endOf(head: number): number {
    let endMs = -Infinity
    for (let slot = head; slot !== NOWHERE; slot = this.#chunks[slot >>> BITS]!.next[slot & MASK]!) {
      const { used, record: records } = this.#chunks[slot >>> BITS]!
      const { kind, lasts, pool, bucketMs, endMs: recordEndMs } = this.records.at(records[slot & MASK]!)
      const ring = used[slot & MASK]!
      if (pool !== undefined) endMs = Math.max(endMs, (pool.latestOf(ring) + pool.places) * bucketMs)
      else if (kind === 'concurrent') endMs = ring === 0 ? endMs : Infinity
      else endMs = lasts ? Infinity : Math.max(endMs, recordEndMs)
    }
    return endMs
  }

  #freeFrom(head: number): void {
    for (let slot = head; slot !== NOWHERE;) {
      const chunk = this.#chunks[slot >>> BITS]!
      const next = chunk.next[slot & MASK]!
      this.#leave(slot)
      chunk.stamp[slot & MASK] = 0
      chunk.next[slot & MASK] = this.#free
      this.#free = slot
      this.#live -= 1
      slot = next
    }
  }

  #lend(): SlabState {
    const state = this.#states[this.#lent] ?? newState()
    this.#states[this.#lent] = state
    this.#lent += 1
    return state
  }

  #read(slot: number, state: SlabState): void {
    const chunk = this.#chunks[slot >>> BITS]!
    const record = this.records.at(chunk.record[slot & MASK]!)
    state.slot = slot
    state.kind = record.kind
    state.startMs = record.startMs
    state.endMs = record.endMs
    state.used = chunk.used[slot & MASK]!
    state.quota = record.quota
    state.toppedUp = record.toppedUp
    state.lasts = record.lasts
    state.bucketMs = record.bucketMs
    state.places = 0
    record.pool?.read(chunk.used[slot & MASK]!, state)
  }
}
