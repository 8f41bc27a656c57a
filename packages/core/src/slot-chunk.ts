import { monotonicClock } from './clock.ts'
import type { Counter } from './counter-store.ts'

/** Slots of one chunk: 4,096. */
export const BITS = 12
export const MASK = (1 << BITS) - 1

/** Slots beside each other, by column. */
export interface SlotChunk {
  /** Units used; of a sliding counter, the number of its ring. */
  readonly used: Float64Array
  /** Index of the bucket record. */
  readonly record: Int32Array
  /** The next slot of the same partition, or the next free one. */
  readonly next: Int32Array
  /** Tells who may go on using a slot that they remember; 0 where it is free. */
  readonly stamp: Int32Array
  /** Only where some counter was seeded. */
  countedUntilMs: Float64Array | undefined
}

/**
 * Stamps are drawn by all slabs together, so that what a counter remembers of one slab never fits another. The beginning
 * tells two copies of this module apart. `| 0`: what V8 once takes for a fraction, each counter would keep in a box.
 */
let lastStamp = (Math.floor(monotonicClock() * 1_000) % 0x3fffffff) | 0

export function newStamp(): number {
  lastStamp = (lastStamp % 0x3fffffff) + 1
  return lastStamp
}

/** Lets a counter that comes again find its slot; one that is frozen is looked up each time. */
export function remember(counter: Counter, slot: number, stamp: number): void {
  if (!Object.isExtensible(counter)) return
  counter.slot = slot
  counter.stamp = stamp
}

export function newChunk(): SlotChunk {
  return {
    used: new Float64Array(1 << BITS),
    record: new Int32Array(1 << BITS),
    next: new Int32Array(1 << BITS),
    stamp: new Int32Array(1 << BITS),
    countedUntilMs: undefined,
  }
}
