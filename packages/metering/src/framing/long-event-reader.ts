import { JsonPicker, type JsonPicks, type JsonPickTarget } from './json-picker.ts'

const LF = 0x0a
const CR = 0x0d
const DATA = Buffer.from('data:')
const SPACE = 0x20

/** Picks members out of events, or lines, that are too long to hold, as their bytes go by. */
export class LongEventReader {
  readonly #picks: JsonPicks
  readonly #target: JsonPickTarget
  /** Of a document a line, all bytes of a line are data. */
  readonly #nameBytes: number
  #picker: JsonPicker
  /** Bytes of the line's field name that were seen; -1: not a data line. */
  #matched = 0
  #isLineEmpty = true
  #isAfterColon = false
  #isAfterCr = false

  constructor(picks: JsonPicks, target: JsonPickTarget, framing: 'sse' | 'ndjson' = 'sse') {
    this.#picks = picks
    this.#target = target
    this.#nameBytes = framing === 'sse' ? DATA.length : 0
    this.#picker = new JsonPicker(picks, target)
  }

  write(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      const byte = chunk[at]!
      const isSecondOfCrLf = byte === LF && this.#isAfterCr
      this.#isAfterCr = byte === CR
      if (byte === LF || byte === CR) {
        if (!isSecondOfCrLf) this.#endLine()
        at += 1
      } else if (this.#matched === this.#nameBytes) {
        const end = endOfLine(chunk, at)
        const from = this.#isAfterColon && byte === SPACE ? at + 1 : at
        this.#isAfterColon = false
        this.#picker.write(chunk.subarray(from, end))
        this.#isLineEmpty = false
        at = end
      } else {
        this.#isLineEmpty = false
        this.#matched = this.#matched >= 0 && byte === DATA[this.#matched] ? this.#matched + 1 : -1
        this.#isAfterColon = this.#matched === this.#nameBytes
        at = this.#matched === -1 ? endOfLine(chunk, at) : at + 1
      }
    }
  }

  #endLine(): void {
    if (this.#isLineEmpty || this.#nameBytes === 0) this.#picker = new JsonPicker(this.#picks, this.#target)
    this.#isLineEmpty = true
    this.#matched = 0
    this.#isAfterColon = false
  }
}

function endOfLine(chunk: Buffer, from: number): number {
  const lf = chunk.indexOf(LF, from)
  const cr = chunk.indexOf(CR, from)
  if (lf === -1) return cr === -1 ? chunk.length : cr
  return cr === -1 ? lf : Math.min(lf, cr)
}
