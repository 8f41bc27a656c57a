/**
 * Which members of a JSON document to pick: `true` picks the value, an object looks inside it, its member `[]` inside
 * each element of an array. `length` picks how many elements an array has, without looking at them.
 */
export type JsonPicks = { readonly [key: string]: JsonPick }
export type JsonPick = true | 'length' | JsonPicks

/** Takes what is picked. An object and not a function, as one is made for each answer; see docs/benchmarks.md. */
export interface JsonPickTarget {
  /** @param path Of the member, joined by dots; an element of an array is `[]`. */
  pick(path: string, value: unknown): void
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
/** Stands for each element of an array, in picks and paths. */
const EACH = '[]'

/** A picked value or a key that is longer is passed over. */
const MOST_PICKED_BYTES = 65_536
const MOST_KEY_BYTES = 128

/** What the next byte belongs to. */
type Mode = 'value' | 'string' | 'nested' | 'nested-string' | 'scalar' | 'key-or-end' | 'key' | 'colon' | 'after-value'

interface Level {
  readonly picks: JsonPicks
  /** Of the keys that are wanted. */
  readonly lengths: ReadonlySet<number>
  readonly path: string
  /** An array is looked through: what to do with each element. */
  readonly isArray: boolean
  readonly each: JsonPick | undefined
  /** Elements that have begun. */
  count: number
}

const NO_PICKS: JsonPicks = {}

/**
 * Picks members out of a JSON document that comes in pieces, however it is cut, without keeping or parsing the rest.
 * Text inside strings is never taken for a member. A document that is not JSON picks nothing sensible and throws nothing.
 */
export class JsonPicker {
  readonly #target: JsonPickTarget
  readonly #picks: JsonPicks
  readonly #levels: Level[] = []
  #mode: Mode = 'value'
  #nested = 0
  #escaped = false
  /** Whether the value or key that is being read is wanted, and its bytes as Latin-1. */
  #isTaking = false
  #taken = ''
  #takenBytes = 0
  /** What to do with the value that comes next, and its path. */
  #wanted: JsonPick | undefined
  #path = ''

  constructor(picks: JsonPicks, target: JsonPickTarget) {
    this.#picks = picks
    this.#target = target
    this.#wanted = picks
  }

  /** Takes the next piece. Nothing of it is kept but picked values. */
  write(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      switch (this.#mode) {
        case 'value':
          at = this.#value(chunk, at)
          break
        case 'string':
        case 'key':
          at = this.#string(chunk, at)
          break
        case 'nested':
          at = this.#nestedValue(chunk, at)
          break
        case 'nested-string':
          at = this.#skipString(chunk, at)
          break
        case 'scalar':
          at = this.#scalar(chunk, at)
          break
        default:
          at = this.#structure(chunk, at)
      }
    }
  }

  /** Tells that there is no more; a number at the very end is complete only now. */
  end(): void {
    if (this.#mode === 'scalar') this.#finishValue()
  }

  /** First byte of a value, or white space before it. */
  #value(chunk: Buffer, at: number): number {
    const byte = chunk[at]!
    if (isSpace(byte) || (this.#levels.length === 0 && isByteOrderMark(byte))) return at + 1
    const level = this.#levels.at(-1)
    if (byte === CLOSE_BRACKET && level?.isArray === true) {
      this.#close()
      return at + 1
    }
    if (level?.isArray === true) level.count += 1
    const wanted = this.#wanted
    if (byte === OPEN_BRACE && typeof wanted === 'object') {
      const lengths = lengthsOf(wanted)
      this.#levels.push({ picks: wanted, lengths, path: this.#path, isArray: false, each: undefined, count: 0 })
      this.#mode = 'key-or-end'
      return at + 1
    }
    if (byte === OPEN_BRACKET && this.#opensArray(wanted)) return at + 1
    this.#begin(wanted === true)
    if (byte === QUOTE) {
      this.#mode = 'string'
      this.#take(chunk, at, at + 1)
      return at + 1
    }
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      this.#mode = 'nested'
      this.#nested = 0
      return at
    }
    this.#mode = 'scalar'
    return at
  }

  /** Whether an array is looked through: one of documents, one whose elements are picked from, one that is counted. */
  #opensArray(wanted: JsonPick | undefined): boolean {
    const isRoot = this.#levels.length === 0 && wanted === this.#picks
    const each = isRoot ? this.#picks : typeof wanted === 'object' ? wanted[EACH] : undefined
    if (each === undefined && wanted !== 'length') return false
    const path = isRoot || wanted === 'length' ? this.#path : `${this.#path}.${EACH}`
    this.#levels.push({ picks: NO_PICKS, lengths: lengthsOf(NO_PICKS), path, isArray: true, each, count: 0 })
    this.#element()
    return true
  }

  /** Rest of a string that is a value or a key. */
  #string(chunk: Buffer, from: number): number {
    const end = this.#endOfString(chunk, from)
    this.#take(chunk, from, end === -1 ? chunk.length : end)
    if (end === -1) return chunk.length
    if (this.#mode === 'string') {
      this.#finishValue()
      return end
    }
    this.#endKey(this.#takenText().slice(0, -1))
    return end
  }

  /** A key. Most lie whole in their chunk, and are as long as none that is wanted: those need no look. */
  #key(chunk: Buffer, from: number): number {
    const quote = chunk.indexOf(QUOTE, from)
    if (quote !== -1 && !this.#levels.at(-1)!.lengths.has(quote - from) && !hasBackslash(chunk, from, quote)) {
      this.#wanted = undefined
      this.#mode = 'colon'
      return quote + 1
    }
    this.#mode = 'key'
    this.#begin(true)
    return from
  }

  #endKey(text: string): void {
    const key = keyOf(text)
    const { picks, path } = this.#levels.at(-1)!
    this.#wanted = key !== EACH && Object.hasOwn(picks, key) ? picks[key] : undefined
    this.#path = path === '' ? key : `${path}.${key}`
    this.#mode = 'colon'
  }

  /** Rest of an object or array that is skipped, or taken whole. */
  #nestedValue(chunk: Buffer, from: number): number {
    let at = from
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at]!
      if (byte === QUOTE) {
        this.#mode = 'nested-string'
        this.#take(chunk, from, at + 1)
        return at + 1
      }
      if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#nested += 1
      else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        this.#nested -= 1
        if (this.#nested === 0) {
          this.#take(chunk, from, at + 1)
          this.#finishValue()
          return at + 1
        }
      }
    }
    this.#take(chunk, from, at)
    return at
  }

  #skipString(chunk: Buffer, from: number): number {
    const end = this.#endOfString(chunk, from)
    this.#take(chunk, from, end === -1 ? chunk.length : end)
    if (end === -1) return chunk.length
    this.#mode = 'nested'
    return end
  }

  /** Rest of a number, true, false or null. */
  #scalar(chunk: Buffer, from: number): number {
    let at = from
    while (at < chunk.length && !endsScalar(chunk[at]!)) at += 1
    this.#take(chunk, from, at)
    if (at < chunk.length) this.#finishValue()
    return at
  }

  /** Bytes between values: white space, commas, colons, the ends of objects and arrays. */
  #structure(chunk: Buffer, at: number): number {
    const byte = chunk[at]!
    switch (byte) {
      case QUOTE:
        if (this.#mode === 'key-or-end') return this.#key(chunk, at + 1)
        break
      case COLON:
        if (this.#mode === 'colon') this.#mode = 'value'
        break
      case COMMA:
        if (this.#mode === 'after-value') this.#next()
        break
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        this.#close()
        break
      case OPEN_BRACE:
      case OPEN_BRACKET:
        // Another document follows the one that is over.
        if (this.#levels.length > 0) break
        this.#wanted = this.#picks
        this.#path = ''
        this.#mode = 'value'
        return at
    }
    return at + 1
  }

  #next(): void {
    const level = this.#levels.at(-1)
    if (level === undefined) return
    if (level.isArray) this.#element()
    else this.#mode = 'key-or-end'
  }

  /** An element of the array on top comes next, if any does. */
  #element(): void {
    const { each, path } = this.#levels.at(-1)!
    this.#mode = 'value'
    this.#wanted = each
    this.#path = path
  }

  #begin(isTaking: boolean): void {
    this.#isTaking = isTaking
    this.#taken = ''
    this.#takenBytes = 0
  }

  #close(): void {
    const level = this.#levels.pop()
    this.#mode = 'after-value'
    if (level?.isArray === true && level.each === undefined) this.#target.pick(level.path, level.count)
  }

  #finishValue(): void {
    this.#mode = 'after-value'
    if (!this.#isTaking) return
    const text = this.#takenText()
    this.#isTaking = false
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return
    }
    this.#target.pick(this.#path, value)
  }

  /** Index behind the quote that ends a string; -1 if it does not end in this chunk. */
  #endOfString(chunk: Buffer, from: number): number {
    let at = from
    if (this.#escaped) {
      this.#escaped = false
      at += 1
    }
    for (;;) {
      const quote = chunk.indexOf(QUOTE, at)
      const end = quote === -1 ? chunk.length : quote
      let backslashes = 0
      while (end - backslashes > at && chunk[end - backslashes - 1] === BACKSLASH) backslashes += 1
      const isEscaped = backslashes % 2 === 1
      if (quote === -1) {
        this.#escaped = isEscaped
        return -1
      }
      if (!isEscaped) return quote + 1
      at = quote + 1
    }
  }

  #take(chunk: Buffer, from: number, to: number): void {
    if (!this.#isTaking) return
    this.#takenBytes += to - from
    const most = this.#mode === 'key' ? MOST_KEY_BYTES : MOST_PICKED_BYTES
    if (this.#takenBytes > most) {
      this.#isTaking = false
      this.#taken = ''
      return
    }
    // Bytes, not characters: a piece can end within one.
    this.#taken += chunk.toString('latin1', from, to)
  }

  #takenText(): string {
    const taken = this.#taken
    return isAscii(taken) ? taken : Buffer.from(taken, 'latin1').toString('utf8')
  }
}

const NOT_ASCII = /[^\x00-\x7f]/

function isAscii(text: string): boolean {
  return !NOT_ASCII.test(text)
}

const known = new WeakMap<JsonPicks, ReadonlySet<number>>()

function lengthsOf(picks: JsonPicks): ReadonlySet<number> {
  let lengths = known.get(picks)
  if (lengths === undefined) {
    lengths = new Set(Object.keys(picks).map((key) => Buffer.byteLength(key)))
    known.set(picks, lengths)
  }
  return lengths
}

/** Keys are short: a loop is faster than a search that does not know where to end. */
function hasBackslash(chunk: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += 1) if (chunk[at] === BACKSLASH) return true
  return false
}

/** A key as it is meant: escapes undone. */
function keyOf(text: string): string {
  if (!text.includes('\\')) return text
  try {
    return String(JSON.parse(`"${text}"`))
  } catch {
    return text
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** One of the three bytes of it; none of them begins a document. */
function isByteOrderMark(byte: number): boolean {
  return byte === 0xef || byte === 0xbb || byte === 0xbf
}

function endsScalar(byte: number): boolean {
  return (
    byte === COMMA ||
    byte === CLOSE_BRACE ||
    byte === CLOSE_BRACKET ||
    isSpace(byte) ||
    byte === QUOTE ||
    byte === COLON
  )
}
