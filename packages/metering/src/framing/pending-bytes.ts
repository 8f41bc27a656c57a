const NOTHING = Buffer.alloc(0)

/** So many small pieces in a row become one: each takes some hundred bytes of memory beside what it holds. */
const MOST_SMALL_PIECES = 1_024
const SMALL_BYTES = 65_536

/** Pieces of a stream, kept by reference in their order. */
export class PendingBytes {
  #pieces: Buffer[] = []
  #length = 0
  /** Index of the first piece that was not looked at for being small, and the length before it. */
  #from = 0
  #before = 0

  get length(): number {
    return this.#length
  }

  get pieces(): readonly Buffer[] {
    return this.#pieces
  }

  push(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#length += piece.length
    if (this.#pieces.length - this.#from >= MOST_SMALL_PIECES) this.#join()
  }

  clear(): void {
    this.#pieces = []
    this.#length = 0
    this.#from = 0
    this.#before = 0
  }

  #join(): void {
    if (this.#length - this.#before <= SMALL_BYTES) this.#pieces.push(Buffer.concat(this.#pieces.splice(this.#from)))
    this.#from = this.#pieces.length
    this.#before = this.#length
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
    for (let index = this.#pieces.length - 1; missing > 0; index -= 1) {
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
