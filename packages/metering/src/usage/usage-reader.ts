import { firstByte, framingAt, framingOf, type Framing } from '../framing/framing.ts'
import { KeptOutput } from '../framing/kept-output.ts'
import { FrameUsageReader } from './frame-usage-reader.ts'
import { JsonUsageReader } from './json-usage-reader.ts'
import { LazyUsageReader } from './lazy-usage-reader.ts'
import { MessageUsageReader } from './message-usage-reader.ts'
import { StreamUsageReader } from './stream-usage-reader.ts'
import { UsageCollector, type HeaderValue, type UsageReading } from './usage-collector.ts'
import { isCumulative } from './usage-marks.ts'
import type { UsageShape } from './usage-shapes.ts'

/**
 * Reads the usage of one answer as its bytes pass, whatever its framing. Nothing that passes makes it throw. It holds at
 * most 64 KiB of what is not complete, of AWS frames 1 MiB, and by reference the first MiB of output that no figures
 * have covered.
 */
export interface UsageReader {
  readonly framing: Framing
  /** What was learned by now. */
  readonly reading: UsageReading
  /** Output that no figures have covered. */
  readonly kept: KeptOutput
  /** Whether the bytes so far end within an event. */
  readonly isWithinEvent: boolean
  /**
   * Takes the next bytes; of `messages`, one whole message. They must not be changed afterwards.
   *
   * @returns Index in these bytes from which they belong to the event that ends the answer; -1: not there yet.
   */
  write(bytes: Buffer): number
  /** Tells that the answer is complete, so that what has no proper end counts as well. */
  end(): void
}

export interface UsageReaderOptions {
  readonly shape: UsageShape
  /** Media type of the answer; empty where it has none. */
  readonly contentType: string
  /** Headers of the answer, some of which state usage. */
  readonly header?: HeaderValue
}

/** A reader for an answer, by its media type, and where that leaves it open or is mistaken, by its first byte. */
export function createUsageReader({ shape, contentType, header }: UsageReaderOptions): UsageReader {
  const collector = new UsageCollector(shape)
  if (header !== undefined) collector.absorbHeaders(header)
  return new FirstByteUsageReader(collector, contentType)
}

/** A reader for a framing that is known. */
export function usageReaderFor(framing: Framing, collector: UsageCollector): UsageReader {
  switch (framing) {
    case 'json':
      return new JsonUsageReader(collector)
    case 'sse':
      return isCumulative(collector.shape) ? new LazyUsageReader(collector) : new StreamUsageReader(collector)
    case 'ndjson':
      return new StreamUsageReader(collector, 'ndjson')
    case 'eventstream':
      return new FrameUsageReader(collector)
    case 'messages':
      return new MessageUsageReader(collector)
    case 'opaque':
      return new OpaqueUsageReader(collector)
  }
}

/** Of a body without documents: sound, pictures, plain text. */
class OpaqueUsageReader implements UsageReader {
  readonly framing = 'opaque'
  readonly isWithinEvent = false
  readonly kept = new KeptOutput()
  readonly #collector: UsageCollector

  constructor(collector: UsageCollector) {
    this.#collector = collector
  }

  get reading(): UsageReading {
    return this.#collector.reading
  }

  write(): -1 {
    return -1
  }

  end(): void {}
}

/** Waits for the first byte to see what the framing is. */
class FirstByteUsageReader implements UsageReader {
  readonly #collector: UsageCollector
  readonly #contentType: string
  readonly #announced: Framing | undefined
  #reader: UsageReader | undefined

  constructor(collector: UsageCollector, contentType: string) {
    this.#collector = collector
    this.#contentType = contentType
    this.#announced = framingOf(contentType)
  }

  get framing(): Framing {
    return this.#reader?.framing ?? this.#announced ?? 'opaque'
  }

  get reading(): UsageReading {
    return this.#reader?.reading ?? this.#collector.reading
  }

  get kept(): KeptOutput {
    return this.#reader?.kept ?? new KeptOutput()
  }

  get isWithinEvent(): boolean {
    return this.#reader?.isWithinEvent ?? false
  }

  write(bytes: Buffer): number {
    if (this.#reader !== undefined) return this.#reader.write(bytes)
    const at = firstByte(bytes)
    // White space before the first byte belongs to no document.
    if (at === -1) return -1
    this.#reader = usageReaderFor(framingAt(bytes[at]!, this.#announced, this.#contentType), this.#collector)
    return this.#reader.write(bytes)
  }

  end(): void {
    this.#reader?.end()
  }
}
