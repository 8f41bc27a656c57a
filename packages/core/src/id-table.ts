import { monotonicClock } from './clock.ts'

const NOWHERE = -1
const NOT_QUEUED = -2
const LEAST_PLACES = 1_024
/** Characters of an id that stands in numbers: a UUID and a little more. */
const MOST_PACKED = 44
/** Numbers of an id: four characters each, then the length. */
const WORDS = MOST_PACKED / 4 + 1
const LENGTH = WORDS - 1
/** In place of the length: an id that is too long, or not of ASCII alone. The string itself is kept. */
const UNPACKED = -1

interface Encoder {
  encodeInto(text: string, into: Uint8Array): { readonly read: number; readonly written: number }
}

declare const TextEncoder: new () => Encoder

/** It takes half as long as asking for one character after the other. */
const ENCODER = new TextEncoder()
/** Ids are made by hosts, not by callers; all the same nobody shall know which of them collide. */
const SEED = Math.floor(monotonicClock() * 4_099) | 0

/**
 * What became of reservations, by id: a number for each. Open addressing on numbers, as a `Map` of as many ids as were
 * closed within a minute is slow to miss one: it looks at strings in many places. Ids stand in numbers too, letter by
 * letter, so that no collector has to carry along a minute's strings.
 *
 * An id is open with a number from 0, or closed with a number below. Closed ones are forgotten in the order in which they
 * were closed, a few at a time.
 */
export class IdTable {
  readonly #closedForMs: number
  /** Entry in each place of the table, plus one; 0: none. */
  #places = new Int32Array(LEAST_PLACES)
  /** By entry, as what follows: its {@link WORDS}. */
  #words = new Int32Array((LEAST_PLACES / 2) * WORDS)
  /** Those that are {@link UNPACKED}; others have none here, or an empty one. */
  readonly #ids: string[] = []
  #hashes = new Int32Array(LEAST_PLACES / 2)
  #values = new Int32Array(LEAST_PLACES / 2)
  #forgetAtMs = new Float64Array(LEAST_PLACES / 2)
  /** The next in the queue of closed ids, or the next free entry. */
  #next = new Int32Array(LEAST_PLACES / 2)
  #made = 0
  #free = NOWHERE
  #size = 0
  #firstClosed = NOWHERE
  #lastClosed = NOWHERE
  /** Of the id that was looked for last, which is added next. */
  #soughtHash = 0
  readonly #sought = new Int32Array(WORDS)
  readonly #soughtBytes = new Uint8Array(this.#sought.buffer, 0, MOST_PACKED)

  /** @param closedForMs How long at least a closed id is remembered. */
  constructor(closedForMs: number) {
    this.#closedForMs = closedForMs
  }

  get size(): number {
    return this.#size
  }

  /** Entry of an id; -1: it is not there. Valid until the next {@link forget}. */
  find(id: string): number {
    const hash = this.#seek(id)
    const mask = this.#places.length - 1
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const entry = this.#places[place]! - 1
      if (entry === NOWHERE) return NOWHERE
      if (this.#hashes[entry] === hash && this.#isSought(entry, id)) return entry
    }
  }

  idOf(entry: number): string {
    const length = this.#words[entry * WORDS + LENGTH]!
    if (length === UNPACKED) return this.#ids[entry]!
    return String.fromCharCode(...new Uint8Array(this.#words.buffer, entry * WORDS * 4, length))
  }

  /** Number of an entry, or `undefined` for none. */
  valueOf(entry: number): number | undefined {
    return entry === NOWHERE ? undefined : this.#values[entry]!
  }

  /** Adds the id that {@link find} was asked for last and did not find, open. Returns its entry. */
  add(id: string, value: number): number {
    const entry = this.#takeEntry()
    const hash = this.#soughtHash
    const sought = this.#sought
    const from = entry * WORDS
    for (let word = 0; word < WORDS; word += 1) this.#words[from + word] = sought[word]!
    if (sought[LENGTH] === UNPACKED) this.#ids[entry] = id
    this.#hashes[entry] = hash
    this.#values[entry] = value
    this.#next[entry] = NOT_QUEUED
    this.#place(entry, hash)
    this.#size += 1
    return entry
  }

  /** Opens an entry that was closed. */
  open(entry: number, value: number): void {
    this.#values[entry] = value
  }

  /** Closes an entry, from now on for as long as closed ids are remembered. */
  close(entry: number, value: number, nowMs: number): void {
    this.#values[entry] = value
    this.#forgetAtMs[entry] = nowMs + this.#closedForMs
    if (this.#next[entry] === NOT_QUEUED) this.#enqueue(entry)
  }

  /** Forgets up to so many closed ids whose time is over; tells which had this value. */
  forget(nowMs: number, most: number, value: number, tell: { delete(id: string): void }): void {
    for (let left = most; left > 0; left -= 1) {
      const entry = this.#firstClosed
      if (entry === NOWHERE || this.#forgetAtMs[entry]! > nowMs) return
      this.#dequeue()
      if (this.#values[entry]! >= 0) continue
      if (this.#values[entry] === value) tell.delete(this.idOf(entry))
      this.#remove(entry)
    }
  }

  /** Makes an id the one that is looked for. Returns its hash. */
  #seek(id: string): number {
    const words = this.#sought
    const { read, written } = ENCODER.encodeInto(id, this.#soughtBytes)
    // All of it, in as many bytes as characters: it is ASCII, and whole.
    const isPacked = read === id.length && written === read
    words[LENGTH] = isPacked ? written : UNPACKED
    // Of the id that was sought before.
    for (let at = written; at < MOST_PACKED && (at & 7) !== 0; at += 1) this.#soughtBytes[at] = 0
    this.#soughtHash = isPacked ? hashOfWords(words, written) : hashOfLetters(id)
    return this.#soughtHash
  }

  #isSought(entry: number, id: string): boolean {
    const sought = this.#sought
    const from = entry * WORDS
    const length = sought[LENGTH]!
    if (this.#words[from + LENGTH] !== length) return false
    if (length === UNPACKED) return this.#ids[entry] === id
    for (let word = 0; word * 4 < length; word += 1) if (this.#words[from + word] !== sought[word]) return false
    return true
  }

  #enqueue(entry: number): void {
    this.#next[entry] = NOWHERE
    if (this.#lastClosed === NOWHERE) this.#firstClosed = entry
    else this.#next[this.#lastClosed] = entry
    this.#lastClosed = entry
  }

  #dequeue(): void {
    const entry = this.#firstClosed
    this.#firstClosed = this.#next[entry]!
    if (this.#firstClosed === NOWHERE) this.#lastClosed = NOWHERE
    this.#next[entry] = NOT_QUEUED
  }

  #takeEntry(): number {
    const free = this.#free
    if (free !== NOWHERE) {
      this.#free = this.#next[free]!
      return free
    }
    if (this.#made === this.#hashes.length) this.#grow()
    this.#made += 1
    return this.#made - 1
  }

  #place(entry: number, hash: number): void {
    const mask = this.#places.length - 1
    let place = hash & mask
    while (this.#places[place] !== 0) place = (place + 1) & mask
    this.#places[place] = entry + 1
  }

  /** Takes an entry out of the table, and moves up those that had to give way to it. */
  #remove(entry: number): void {
    const mask = this.#places.length - 1
    let hole = this.#hashes[entry]! & mask
    while (this.#places[hole] !== entry + 1) hole = (hole + 1) & mask
    for (let place = (hole + 1) & mask; this.#places[place] !== 0; place = (place + 1) & mask) {
      const home = this.#hashes[this.#places[place]! - 1]! & mask
      if (((place - home) & mask) < ((place - hole) & mask)) continue
      this.#places[hole] = this.#places[place]!
      hole = place
    }
    this.#places[hole] = 0
    if (this.#words[entry * WORDS + LENGTH] === UNPACKED) this.#ids[entry] = ''
    this.#next[entry] = this.#free
    this.#free = entry
    this.#size -= 1
  }

  #grow(): void {
    const most = this.#hashes.length * 2
    this.#words = copied(this.#words, new Int32Array(most * WORDS))
    this.#hashes = copied(this.#hashes, new Int32Array(most))
    this.#values = copied(this.#values, new Int32Array(most))
    this.#next = copied(this.#next, new Int32Array(most))
    this.#forgetAtMs = copied(this.#forgetAtMs, new Float64Array(most))
    this.#places = new Int32Array(most * 2)
    for (let entry = 0; entry < this.#made; entry += 1) this.#place(entry, this.#hashes[entry]!)
  }
}

/** Two lanes, as each step of one waits for the one before. */
function hashOfWords(words: Int32Array, length: number): number {
  let even = SEED ^ length
  let odd = 0x811c9dc5
  for (let word = 0; word * 4 < length; word += 2) {
    even = Math.imul(even ^ words[word]!, 0x01000193)
    even ^= even >>> 15
    odd = Math.imul(odd ^ words[word + 1]!, 0x2c1b3c6d)
    odd ^= odd >>> 13
  }
  return mixed(even, odd)
}

function hashOfLetters(id: string): number {
  let hash = SEED ^ id.length
  for (let at = 0; at < id.length; at += 1) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193)
  return mixed(hash, 0)
}

function mixed(even: number, odd: number): number {
  const both = Math.imul(even ^ (odd >>> 15) ^ Math.imul(odd, 0x2c1b3c6d), 0x297a2d39)
  return both ^ (both >>> 15)
}

function copied<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}
