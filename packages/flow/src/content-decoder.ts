import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import type { Transform } from 'node:stream'

/** An answer that unfolds to more is metered no further: no honest one is so large. */
const MOST_DECODED_BYTES = 256 * 1_048_576

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

/** Undoes a content coding, piece by piece, in order. */
export class ContentDecoder {
  readonly #stream: Transform
  readonly #onBytes: (bytes: Buffer) => void
  #decoded = 0
  #isBroken = false

  private constructor(stream: Transform, onBytes: (bytes: Buffer) => void) {
    this.#stream = stream
    this.#onBytes = onBytes
    stream.on('data', (bytes: Buffer) => this.#take(bytes))
    stream.on('error', () => {
      this.#isBroken = true
    })
  }

  /** `undefined` for a coding, or several at once, that is not known. */
  static for(coding: string, onBytes: (bytes: Buffer) => void): ContentDecoder | undefined {
    const create = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined
    return create === undefined ? undefined : new ContentDecoder(create(), onBytes)
  }

  /** Whether what came can't be decoded any further. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** Resolves when all that this piece completes has been handed on. */
  write(chunk: Buffer): Promise<void> {
    if (this.#isBroken) return Promise.resolve()
    return new Promise((resolve) => {
      this.#stream.once('error', resolve)
      this.#stream.write(chunk, () => {
        this.#stream.off('error', resolve)
        // Output of a flushed block is handed on in the turn after its input was taken.
        setImmediate(resolve)
      })
    })
  }

  /** Resolves when everything has been handed on; also when the answer was cut off. */
  end(): Promise<void> {
    if (this.#isBroken) return Promise.resolve()
    return new Promise((resolve) => {
      this.#stream.once('error', () => resolve()).once('end', resolve)
      this.#stream.end()
    })
  }

  /** Frees the stream. */
  destroy(): void {
    this.#stream.destroy()
  }

  #take(bytes: Buffer): void {
    this.#decoded += bytes.length
    if (this.#decoded <= MOST_DECODED_BYTES) return this.#onBytes(bytes)
    this.#isBroken = true
    this.#stream.destroy()
  }
}
