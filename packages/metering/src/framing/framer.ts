const NOTHING = Buffer.alloc(0)

/** A unit that is longer is handed on in pieces. */
const MOST_HELD_BYTES = 65_536
/** What the end of a unit takes before the byte that completes it: for a blank line the end of the line before, and a CR. */
const END_BYTES = 2

/** What a piece of a stream completes. */
export interface Frames {
  /** Whole events or lines, each with what ends it, as they came. */
  readonly events: Buffer
  /** How many bytes of `events` came with earlier pieces. */
  readonly carried: number
}

/** Index behind the last whole unit in some bytes; 0 if there is none. No unit ends before the byte `from`. */
export type EndOfLast = (bytes: Buffer, from: number) => number

/** Cuts a stream into whole units, wherever the network cut it. Holds one incomplete unit, of at most 64 KiB. */
export class Framer {
  readonly #endOfLast: EndOfLast
  #held: Buffer = NOTHING
  #isInLongEvent = false
  /** The last bytes of a long unit that went by: its end can begin there. */
  #passed: Buffer = NOTHING

  constructor(endOfLast: EndOfLast) {
    this.#endOfLast = endOfLast
  }

  /** Bytes of the unit that is not complete yet. */
  get held(): Buffer {
    return this.#held
  }

  /** True while a unit goes by that is too long to hold: its pieces come out as they are. */
  get isInLongEvent(): boolean {
    return this.#isInLongEvent
  }

  push(chunk: Buffer): Frames {
    if (this.#isInLongEvent) return this.#pushLong(chunk)
    const carried = this.#held.length
    const bytes = carried === 0 ? chunk : Buffer.concat([this.#held, chunk])
    return this.#cut(bytes, carried, this.#endOfLast(bytes, carried - 1))
  }

  #pushLong(chunk: Buffer): Frames {
    const passed = this.#passed
    const bytes = Buffer.concat([passed, chunk])
    const end = this.#endOfLast(bytes, 0)
    if (end > 0) {
      this.#isInLongEvent = false
      return this.#cut(chunk, 0, Math.max(0, end - passed.length))
    }
    this.#passed = tailOf(bytes)
    return { events: chunk, carried: 0 }
  }

  #cut(bytes: Buffer, carried: number, end: number): Frames {
    if (bytes.length - end > MOST_HELD_BYTES) {
      this.#held = NOTHING
      this.#isInLongEvent = true
      this.#passed = tailOf(bytes)
      return { events: bytes, carried }
    }
    this.#held = end === bytes.length ? NOTHING : bytes.subarray(end)
    return { events: end === bytes.length ? bytes : bytes.subarray(0, end), carried }
  }
}

/** A copy, so that the rest can be given back. */
function tailOf(bytes: Buffer): Buffer {
  return Buffer.from(bytes.subarray(Math.max(0, bytes.length - END_BYTES)))
}
