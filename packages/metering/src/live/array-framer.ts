import type { StreamFramer } from './stream-framer.ts'

const NOTHING = Buffer.alloc(0)
const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
/** A document that is longer is handed on in pieces. */
const MOST_HELD_BYTES = 65_536

/** Cuts a streamed JSON array into whole elements, each with what stands before it. Holds at most 64 KiB. */
export class ArrayFramer implements StreamFramer {
  #held: Buffer = NOTHING
  #depth = 0
  #isInString = false
  #isEscaped = false
  #isInLongEvent = false
  #isEnded = false

  /** Bytes of the element that is not complete yet. */
  get held(): Buffer {
    return this.#held
  }

  /** True while an element goes by that is too long to hold. */
  get isInLongEvent(): boolean {
    return this.#isInLongEvent
  }

  /** Whether the array is closed. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  push(chunk: Buffer): { readonly events: Buffer } {
    const carried = this.#held.length
    const end = this.#endOfLast(chunk)
    const bytes = carried === 0 ? chunk : Buffer.concat([this.#held, chunk])
    if (end === 0 && (this.#isInLongEvent || bytes.length > MOST_HELD_BYTES)) {
      this.#held = NOTHING
      this.#isInLongEvent = true
      return { events: bytes }
    }
    if (end > 0) this.#isInLongEvent = false
    const whole = end === 0 ? 0 : carried + end
    this.#held = bytes.subarray(whole)
    return { events: bytes.subarray(0, whole) }
  }

  /** Index behind the last element, or the end of the array, that ends in these bytes; 0: none does. */
  #endOfLast(bytes: Buffer): number {
    let end = 0
    for (let at = 0; at < bytes.length; at += 1) {
      const byte = bytes[at]!
      if (this.#isInString) {
        if (this.#isEscaped) this.#isEscaped = false
        else if (byte === BACKSLASH) this.#isEscaped = true
        else if (byte === QUOTE) this.#isInString = false
      } else if (byte === QUOTE) this.#isInString = true
      else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) this.#depth += 1
      else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) {
        this.#depth -= 1
        if (this.#depth <= 1) end = at + 1
        if (this.#depth <= 0) this.#isEnded = true
      }
    }
    return end
  }
}
