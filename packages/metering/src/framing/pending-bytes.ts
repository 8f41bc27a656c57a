const NOTHING = Buffer.alloc(0)

/** Pieces of a stream, kept by reference in their order. */
export class PendingBytes {
  #pieces: Buffer[] = []
  #length = 0

  get length(): number {
    return this.#length
  }

  get pieces(): readonly Buffer[] {
    return this.#pieces
  }

  push(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#length += piece.length
  }

  clear(): void {
    this.#pieces = []
    this.#length = 0
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
