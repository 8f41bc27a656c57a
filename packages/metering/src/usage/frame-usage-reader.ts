import { frameDocument, frameLength, parseFrame, PRELUDE_BYTES } from '../framing/aws-frame.ts'
import { KeptOutput } from '../framing/kept-output.ts'
import { PendingBytes } from '../framing/pending-bytes.ts'
import { isRaw } from './reported-usage.ts'
import type { UsageCollector, UsageReading } from './usage-collector.ts'
import { mayStateUsage } from './usage-marks.ts'
import type { UsageReader } from './usage-reader.ts'

/** A frame that is longer is passed over unread; one that states usage has some hundred bytes. */
const MOST_HELD_BYTES = 1_048_576
/** The last frame of ConverseStream, and the member that the last one of InvokeModelWithResponseStream has. */
const LAST_EVENT = 'metadata'
const LAST_MEMBER = 'amazon-bedrock-invocationMetrics'

/**
 * Reads the usage of an AWS event stream, frame by frame. A frame with a wrong checksum states nothing; where a length is
 * wrong, nobody knows where the next frame begins, and nothing more is read. The reading says so.
 */
export class FrameUsageReader implements UsageReader {
  readonly framing = 'eventstream'
  readonly kept = new KeptOutput()
  readonly #collector: UsageCollector
  /** Bytes of the frame that is not complete yet. */
  readonly #held = new PendingBytes()
  /** Length of that frame; 0: its prelude is not complete. */
  #frameBytes = 0
  /** Bytes still to come of a frame that is too long to be held. */
  #toPass = 0
  #isDamaged = false
  #isLost = false

  constructor(collector: UsageCollector) {
    this.#collector = collector
  }

  get reading(): UsageReading {
    const { reading } = this.#collector
    return this.#isDamaged ? { ...reading, isDamaged: true } : reading
  }

  get isWithinEvent(): boolean {
    return this.#held.length > 0 || this.#toPass > 0 || this.#isLost
  }

  write(bytes: Buffer): number {
    let terminalAt = -1
    let at = 0
    while (at < bytes.length && !this.#isLost) {
      const wanted = this.#toPass > 0 ? this.#toPass : (this.#frameBytes || PRELUDE_BYTES) - this.#held.length
      const end = Math.min(bytes.length, at + wanted)
      const isAll = end - at === wanted
      if (this.#toPass > 0) this.#toPass -= end - at
      else {
        this.#held.push(bytes.subarray(at, end))
        if (isAll && this.#frameBytes === 0) this.#begin()
        else if (isAll) {
          const from = Math.max(0, end - this.#frameBytes)
          if (this.#complete() && terminalAt === -1) terminalAt = from
        }
      }
      at = end
    }
    return terminalAt
  }

  end(): void {}

  /** The prelude of a frame is there. */
  #begin(): void {
    const length = frameLength(this.#held.head(PRELUDE_BYTES))
    if (length === undefined) {
      this.#isDamaged = true
      this.#isLost = true
    } else if (length > MOST_HELD_BYTES) {
      this.#held.clear()
      this.#toPass = length - PRELUDE_BYTES
    } else this.#frameBytes = length
  }

  /** A frame is there. Returns whether it is the last of its stream. */
  #complete(): boolean {
    const bytes = this.#held.tail(this.#held.length)
    this.#held.clear()
    this.#frameBytes = 0
    const frame = parseFrame(bytes)
    if (frame === undefined) {
      this.#isDamaged = true
      return false
    }
    const document = frameDocument(frame, (json) => mayStateUsage(json, this.#collector.shape))
    if (!isRaw(document)) {
      this.kept.add(bytes)
      return false
    }
    if (this.#collector.absorb(document)) this.kept.clear()
    else this.kept.add(bytes)
    return frame.headers.get(':event-type') === LAST_EVENT || document[LAST_MEMBER] !== undefined
  }
}
