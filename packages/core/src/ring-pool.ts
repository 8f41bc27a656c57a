import type { CounterState } from './counter-view.ts'

/** Numbers of all rings in one chunk, about: 32 KiB. */
const NUMBERS_OF_CHUNK = 4_096

/** Where in a ring its numbers are. The latest bucket's number and the sum of all stand beside the amounts. */
const LATEST = 0
const SUM = 1
const AMOUNTS = 2

/** Rings of sliding counters, all with equally many places. What is given back is used again. */
export class RingPool {
  readonly places: number
  readonly #bits: number
  readonly #size: number
  readonly #chunks: Float64Array[] = []
  readonly #free: number[] = []
  #made = 0

  constructor(places: number) {
    this.places = places
    this.#size = AMOUNTS + places
    this.#bits = Math.max(0, Math.floor(Math.log2(NUMBERS_OF_CHUNK / this.#size)))
  }

  /** Takes a ring: empty, with `latest` as its latest bucket. Returns its number. */
  take(latest: number): number {
    const ring = this.#free.pop() ?? this.#made
    if (ring === this.#made) {
      this.#made += 1
      if (ring >>> this.#bits === this.#chunks.length) this.#chunks.push(new Float64Array(this.#size << this.#bits))
    }
    const chunk = this.#chunkOf(ring)
    const at = this.#startOf(ring)
    chunk.fill(0, at, at + this.#size)
    chunk[at + LATEST] = latest
    return ring
  }

  giveBack(ring: number): void {
    this.#free.push(ring)
  }

  /** Lets a state be what its ring says. Its amounts are those of the ring, and not a copy. */
  read(ring: number, state: CounterState): void {
    const chunk = this.#chunkOf(ring)
    const from = this.#startOf(ring)
    state.used = chunk[from + SUM]!
    state.latest = chunk[from + LATEST]!
    state.places = this.places
    state.ring = chunk
    state.ringAt = from + AMOUNTS
  }

  write(ring: number, { used, latest }: CounterState): void {
    const chunk = this.#chunkOf(ring)
    const from = this.#startOf(ring)
    chunk[from + SUM] = used
    chunk[from + LATEST] = latest
  }

  latestOf(ring: number): number {
    return this.#chunkOf(ring)[this.#startOf(ring) + LATEST]!
  }

  #chunkOf(ring: number): Float64Array {
    return this.#chunks[ring >>> this.#bits]!
  }

  #startOf(ring: number): number {
    return (ring & ((1 << this.#bits) - 1)) * this.#size
  }
}
