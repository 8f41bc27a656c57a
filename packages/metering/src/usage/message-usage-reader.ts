import { KeptOutput } from '../framing/kept-output.ts'
import { JsonPicker, type JsonPickTarget } from '../framing/json-picker.ts'
import { isRaw } from './reported-usage.ts'
import type { UsageCollector, UsageReading } from './usage-collector.ts'
import { mayStateUsage } from './usage-marks.ts'
import type { UsageReader } from './usage-reader.ts'
import { USAGE_SHAPES } from './usage-shapes.ts'

const MOST_PARSED_BYTES = 65_536
/** So many first messages are looked at for a model, if they are not long. */
const HEAD_MESSAGES = 4
const MOST_HEAD_BYTES = 16_384

/** Reads the usage of a session of WebSocket messages: each is one JSON document, as text or in binary. */
export class MessageUsageReader implements UsageReader, JsonPickTarget {
  readonly framing = 'messages'
  readonly isWithinEvent = false
  /** Of a session, nothing is kept: what is not stated is not counted afterwards. */
  readonly kept = new KeptOutput()
  readonly #collector: UsageCollector

  #headsLeft = HEAD_MESSAGES

  constructor(collector: UsageCollector) {
    this.#collector = collector
  }

  get reading(): UsageReading {
    return this.#collector.reading
  }

  write(message: Buffer): -1 {
    const isHead = this.#headsLeft > 0 && message.length <= MOST_HEAD_BYTES
    if (this.#headsLeft > 0) this.#headsLeft -= 1
    if (!isHead && !mayStateUsage(message, this.#collector.shape)) return -1
    if (message.length > MOST_PARSED_BYTES) {
      const picker = new JsonPicker(USAGE_SHAPES[this.#collector.shape].picks, this)
      picker.write(message)
      picker.end()
      return -1
    }
    let document: unknown
    try {
      document = JSON.parse(message.toString('utf8'))
    } catch {
      return -1
    }
    if (isRaw(document)) this.#collector.absorb(document)
    return -1
  }

  end(): void {}

  /** Takes a member of a long message; for its own picker. */
  pick(path: string, value: unknown): void {
    this.#collector.pick(path, value)
  }
}
