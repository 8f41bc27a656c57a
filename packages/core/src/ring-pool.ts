/** Places of all rings in one chunk, about: 32 KiB. */
const PLACES_OF_CHUNK = 4_096

/** Rings of equally many places, beside each other. */
export interface RingChunk {
  readonly amounts: Float64Array
  /** Number of the latest bucket of each ring. */
  readonly latest: Float64Array
  /** Sum of each ring. */
  readonly sum: Float64Array
}

/** Rings of sliding counters, all with equally many places. What is given back is used again. */
export class RingPool {
  readonly places: number
  readonly #bits: number
  readonly #chunks: RingChunk[] = []
  readonly #free: number[] = []
  #made = 0

  constructor(places: number) {
    this.places = places
    this.#bits = Math.max(0, Math.floor(Math.log2(PLACES_OF_CHUNK / places)))
  }

  /** Takes a ring: empty, with `latest` as its latest bucket. Returns its number. */
  take(latest: number): number {
    const ring = this.#free.pop() ?? this.#made
    if (ring === this.#made) {
      this.#made += 1
      if (ring >>> this.#bits === this.#chunks.length) this.#chunks.push(newChunk(1 << this.#bits, this.places))
    }
    const { amounts, latest: latests, sum } = this.chunkOf(ring)
    const index = this.indexOf(ring)
    amounts.fill(0, index * this.places, (index + 1) * this.places)
    latests[index] = latest
    sum[index] = 0
    return ring
  }

  giveBack(ring: number): void {
    this.#free.push(ring)
  }

  chunkOf(ring: number): RingChunk {
    return this.#chunks[ring >>> this.#bits]!
  }

  /** Place of a ring in its chunk. */
  indexOf(ring: number): number {
    return ring & ((1 << this.#bits) - 1)
  }
}

function newChunk(rings: number, places: number): RingChunk {
  return {
    amounts: new Float64Array(rings * places),
    latest: new Float64Array(rings),
    sum: new Float64Array(rings),
  }
}
