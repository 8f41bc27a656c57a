const LF = 0x0a
const CR = 0x0d
const NOTHING = Buffer.alloc(0)

/** An event that is longer is handed on in pieces. */
const MOST_HELD_BYTES = 65_536
/** What a blank line takes before the byte that completes it: the end of the line before, and a CR. */
const BLANK_LINE_BYTES = 2

/** What a piece of an event stream completes. */
export interface SseFrames {
  /** Whole events, each with the blank line that ends it, as they came. */
  readonly events: Buffer
  /** How many bytes of `events` came with earlier pieces. */
  readonly carried: number
}

/**
 * Cuts an event stream into whole events, wherever the network cut it: lines end in LF, CR or CRLF, events in a blank
 * line (WHATWG HTML, server-sent events). Holds one incomplete event, of at most 64 KiB.
 */
export class SseFramer {
  #held: Buffer = NOTHING
  #isInLongEvent = false
  /** The last bytes of a long event that went by: its blank line can begin there. */
  #passed: Buffer = NOTHING

  /** Bytes of the event that is not complete yet. */
  get held(): Buffer {
    return this.#held
  }

  /** True while an event goes by that is too long to hold: its pieces come out as they are. */
  get isInLongEvent(): boolean {
    return this.#isInLongEvent
  }

  push(chunk: Buffer): SseFrames {
    if (this.#isInLongEvent) return this.#pushLong(chunk)
    const carried = this.#held.length
    const bytes = carried === 0 ? chunk : Buffer.concat([this.#held, chunk])
    return this.#cut(bytes, carried, endOfLastEvent(bytes, carried - 1))
  }

  #pushLong(chunk: Buffer): SseFrames {
    const passed = this.#passed
    const bytes = Buffer.concat([passed, chunk])
    const end = endOfLastEvent(bytes)
    if (end > 0) {
      this.#isInLongEvent = false
      return this.#cut(chunk, 0, Math.max(0, end - passed.length))
    }
    this.#passed = tailOf(bytes)
    return { events: chunk, carried: 0 }
  }

  #cut(bytes: Buffer, carried: number, end: number): SseFrames {
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
  return Buffer.from(bytes.subarray(Math.max(0, bytes.length - BLANK_LINE_BYTES)))
}

/**
 * Index behind the last blank line; 0 if there is none. A CR at the very end may be half of a CRLF: it ends nothing yet.
 *
 * @param from No blank line ends before this byte.
 */
function endOfLastEvent(bytes: Buffer, from = 0): number {
  for (let at = bytes.length - 1; at > 0 && at >= from; at -= 1) {
    const byte = bytes[at]!
    if (byte !== LF && (byte !== CR || at === bytes.length - 1 || bytes[at + 1] === LF)) continue
    const lineEnd = byte === LF && bytes[at - 1] === CR ? at - 2 : at - 1
    if (lineEnd >= 0 && (bytes[lineEnd] === LF || bytes[lineEnd] === CR)) return at + 1
  }
  return 0
}
