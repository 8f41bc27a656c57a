import { firstByte } from '../framing/framing.ts'
import { JsonPicker, type JsonPickTarget } from '../framing/json-picker.ts'
import { KeptOutput } from '../framing/kept-output.ts'
import { isRaw } from './reported-usage.ts'
import type { UsageCollector, UsageReading } from './usage-collector.ts'
import type { UsageReader } from './usage-reader.ts'
import { USAGE_SHAPES } from './usage-shapes.ts'

const MOST_PARSED_BYTES = 16_384
const OPEN_BRACKET = 0x5b

/** Reads the usage of an answer that is one JSON document, or an array of them, as its bytes go by. */
export class JsonUsageReader implements UsageReader, JsonPickTarget {
  readonly framing = 'json'
  readonly isWithinEvent = false
  readonly #collector: UsageCollector
  readonly #kept = new KeptOutput()
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
    return this.#collector.reading
  }

  get kept(): KeptOutput {
    return this.#kept
  }

  write(bytes: Buffer, isWhole = false): -1 {
    // A body that is there as a whole is parsed, if it is small: that is quicker than to look through it.
    if (!(isWhole && bytes.length <= MOST_PARSED_BYTES && this.#parse(bytes))) this.#look(bytes)
    if (!this.#isCovered) this.#kept.add(bytes)
    else {
      this.#kept.clear()
      // Figures cover all of their document, wherever in it they stand; in an array, others can follow.
      if (this.#isArray) this.#isCovered = false
    }
    return -1
  }

  end(): void {
    this.#picker?.end()
  }

  /** Takes a member of a document; for its own picker. */
  pick(path: string, value: unknown): void {
    if (this.#collector.pick(path, value)) this.#isCovered = true
  }

  #look(bytes: Buffer): void {
    if (!this.#isBegun) {
      const first = firstByte(bytes)
      if (first === -1) return
      this.#isBegun = true
      this.#isArray = bytes[first] === OPEN_BRACKET
    }
    this.#picker ??= new JsonPicker(USAGE_SHAPES[this.#collector.shape].picks, this)
    this.#picker.write(bytes)
  }

  /** Whether it is JSON. */
  #parse(body: Buffer): boolean {
    let document: unknown
    try {
      document = JSON.parse(body.toString('utf8'))
    } catch {
      return false
    }
    this.#isArray = Array.isArray(document)
    for (const each of Array.isArray(document) ? document : [document])
      if (isRaw(each) && this.#collector.absorb(each)) this.#isCovered = true
    return true
  }
}
