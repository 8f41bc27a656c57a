import { firstByte } from '../framing/framing.ts'
import { JsonPicker, type JsonPickTarget } from '../framing/json-picker.ts'
import { KeptOutput } from '../framing/kept-output.ts'
import { isRaw } from './reported-usage.ts'
import type { UsageCollector, UsageReading } from './usage-collector.ts'
import type { UsageReader } from './usage-reader.ts'
import { USAGE_SHAPES } from './usage-shapes.ts'

/** A longer document is looked through as it passes: most of it is text. */
const MOST_PARSED_BYTES = 16_384
const OPEN_BRACKET = 0x5b

/**
 * Reads the usage of an answer that is one JSON document, or an array of them: a small one when it is asked for, parsed as
 * a whole, which takes a third of looking through it; a larger one as its bytes go by.
 */
export class JsonUsageReader implements UsageReader, JsonPickTarget {
  readonly framing = 'json'
  readonly isWithinEvent = false
  readonly #collector: UsageCollector
  readonly #kept = new KeptOutput()
  /** What was not looked at yet; absent once the answer is too long, or was asked for before its end. */
  #waiting: Buffer[] | undefined = []
  #waitingBytes = 0
  #picker: JsonPicker | undefined
  #isBegun = false
  #isArray = false
  /** Figures that cover the output so far were just picked. */
  #isCovered = false

  constructor(collector: UsageCollector) {
    this.#collector = collector
    // Headers have stated them.
    this.#isCovered = collector.reading.coversOutput
  }

  get reading(): UsageReading {
    this.#settle()
    return this.#collector.reading
  }

  get kept(): KeptOutput {
    this.#settle()
    return this.#kept
  }

  write(bytes: Buffer): -1 {
    this.#waitingBytes += bytes.length
    if (this.#waiting === undefined || this.#waitingBytes > MOST_PARSED_BYTES) {
      this.#lookThrough()
      this.#look(bytes)
    } else this.#waiting.push(bytes)
    return -1
  }

  end(): void {
    this.#settle()
    this.#picker?.end()
  }

  /** Takes a member of a document; for its own picker. */
  pick(path: string, value: unknown): void {
    if (this.#collector.pick(path, value)) this.#isCovered = true
  }

  /** Reads what has waited: as a document, if it is one, else piece by piece, as all that follows. */
  #settle(): void {
    const [first, ...more] = this.#waiting ?? []
    if (first === undefined) return
    // In an array, what follows the figures of an element is told from what they cover by its piece.
    const isOne = more.length === 0 || first[firstByte(first)] !== OPEN_BRACKET
    if (!isOne || !this.#parse(more.length === 0 ? first : Buffer.concat([first, ...more]))) return this.#lookThrough()
    this.#waiting = undefined
    for (const piece of [first, ...more]) this.#keep(piece)
  }

  #lookThrough(): void {
    const pieces = this.#waiting ?? []
    this.#waiting = undefined
    for (const piece of pieces) this.#look(piece)
  }

  #look(bytes: Buffer): void {
    if (!this.#isBegun) {
      const first = firstByte(bytes)
      this.#isBegun = first !== -1
      this.#isArray = bytes[first] === OPEN_BRACKET
    }
    this.#picker ??= new JsonPicker(USAGE_SHAPES[this.#collector.shape].picks, this)
    this.#picker.write(bytes)
    this.#keep(bytes)
  }

  #keep(bytes: Buffer): void {
    if (!this.#isCovered) this.#kept.add(bytes)
    else {
      this.#kept.clear()
      // Figures cover all of their document, wherever in it they stand; in an array, others can follow.
      if (this.#isArray) this.#isCovered = false
    }
  }

  /** Whether it is JSON. */
  #parse(body: Buffer): boolean {
    let document: unknown
    try {
      document = JSON.parse(body.toString('utf8'))
    } catch {
      return false
    }
    this.#isBegun = true
    this.#isArray = Array.isArray(document)
    for (const each of Array.isArray(document) ? document : [document])
      if (isRaw(each) && this.#collector.absorb(each)) this.#isCovered = true
    return true
  }
}
