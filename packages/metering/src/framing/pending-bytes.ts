const NOTHING = Buffer.alloc(0)

/** So many small pieces in a row become one: each takes some hundred bytes of memory beside what it holds. */
const MOST_SMALL_PIECES = 1_024
const SMALL_BYTES = 65_536

/** Room for the pieces of most streams: to grow an array takes half of what keeping them costs. */
const ROOM: readonly Buffer[] = Array.from({ length: 256 })

/** Pieces of a stream, kept by reference in their order. */
export class PendingBytes {
  #pieces = ROOM.slice()
  #count = 0
  #length = 0
  /** Index of the first piece that was not looked at for being small, and the length before it. */
  #from = 0
  #before = 0
  #joinAt = MOST_SMALL_PIECES

  get length(): number {
    return this.#length
  }

  /** All of them, the oldest first. */
  get pieces(): readonly Buffer[] {
    return this.#pieces.slice(0, this.#count)
  }

  get first(): Buffer | undefined {
    return this.#pieces[0]
  }

  /** The latest piece; that before so many of the latest. */
  before(latest: number): Buffer | undefined {
    return latest < this.#count ? this.#pieces[this.#count - 1 - latest] : undefined
  }

  push(piece: Buffer): void {
    this.#length += piece.length
    this.#pieces[this.#count] = piece
    this.#count += 1
    if (this.#count === this.#joinAt) this.#join()
  }

  clear(): void {
    this.#pieces = []
    this.#count = 0
    this.#length = 0
    this.#from = 0
    this.#before = 0
    this.#joinAt = MOST_SMALL_PIECES
  }

  #join(): void {
    if (this.#length - this.#before <= SMALL_BYTES) {
      const joined = Buffer.concat(this.#pieces.splice(this.#from))
      this.#pieces[this.#from] = joined
      this.#count = this.#from + 1
    }
    this.#from = this.#count
    this.#before = this.#length
    this.#joinAt = this.#from + MOST_SMALL_PIECES
  }

  /** The first bytes, or all where there are fewer. A copy only where they lie in several pieces. */
  head(bytes: number): Buffer {
    const parts: Buffer[] = []
    let missing = Math.min(bytes, this.#length)
    for (let index = 0; missing > 0; index += 1) {
      const piece = this.#pieces[index]!
      parts.push(piece.length > missing ? piece.subarray(0, missing) : piece)
      missing -= piece.length
    }
    return joined(parts)
  }

  /** As {@link head}, for the last bytes. */
  tail(bytes: number): Buffer {
    const parts: Buffer[] = []
    let missing = Math.min(bytes, this.#length)
    for (let index = this.#count - 1; missing > 0; index -= 1) {
      const piece = this.#pieces[index]!
      parts.push(piece.length > missing ? piece.subarray(piece.length - missing) : piece)
      missing -= piece.length
    }
    return joined(parts.reverse())
  }
}

function joined(parts: readonly Buffer[]): Buffer {
  return parts.length === 1 ? parts[0]! : parts.length === 0 ? NOTHING : Buffer.concat(parts)
}
