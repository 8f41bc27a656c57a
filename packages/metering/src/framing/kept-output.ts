const MOST_BYTES = 1_048_576

/** The beginning of an answer, kept by reference until its provider states what it used: at most 1 MiB. */
export class KeptOutput {
  #chunks: Buffer[] = []
  #bytes = 0
  #passedBytes = 0

  add(chunk: Buffer): void {
    const room = this.#passedBytes > 0 ? 0 : MOST_BYTES - this.#bytes
    const kept = chunk.length > room ? chunk.subarray(0, room) : chunk
    this.#passedBytes += chunk.length - kept.length
    if (kept.length === 0) return
    this.#chunks.push(kept)
    this.#bytes += kept.length
  }

  /** Forgets what figures have covered. */
  clear(): void {
    if (this.#bytes === 0) return
    this.#chunks = []
    this.#bytes = 0
    this.#passedBytes = 0
  }

  /** All that was kept, in memory of its own, as it goes to another thread. */
  get body(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#chunks))
  }

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  /** How many times as much went by as was kept. */
  get scale(): number {
    return this.#bytes === 0 ? 1 : (this.#bytes + this.#passedBytes) / this.#bytes
  }
}
