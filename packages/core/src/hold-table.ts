import type { Charge } from './counter-store.ts'

const NOWHERE = -1
const NO_CHARGES: readonly Charge[] = []
/** Lifetimes that have a queue of their own; holds of further ones stand sorted in one more. */
const MOST_QUEUES = 16

/** The record of a reservation. Used again when it has ended. */
export interface Hold {
  owner: string
  context: string
  charges: readonly Charge[]
  /** Bucket in which the amount of each charge was counted; NaN where it was not. As long as `charges`, or longer. */
  readonly buckets: number[]
  admittedAtMs: number
  expiresAtMs: number
  readonly index: number
  /** Of its id in the table of ids. */
  entry: number
  queue: number
  next: number
  previous: number
}

/**
 * Open holds, in the order in which they expire: those that live equally long stand in a queue, as they were made or
 * extended.
 */
export class HoldTable {
  readonly #holds: Hold[] = []
  readonly #free: number[] = []
  readonly #lifetimes: number[] = []
  readonly #heads: number[] = [NOWHERE]
  readonly #tails: number[] = [NOWHERE]

  get size(): number {
    return this.#holds.length - this.#free.length
  }

  at(index: number): Hold {
    return this.#holds[index]!
  }

  /** Opens a hold. The caller says its entry and its buckets. */
  open(owner: string, context: string, charges: readonly Charge[], nowMs: number, lifetimeMs: number): Hold {
    let index = this.#free.pop()
    if (index === undefined) {
      index = this.#holds.length
      this.#holds.push(newHold(index))
    }
    const hold = this.#holds[index]!
    hold.owner = owner
    hold.context = context
    hold.charges = charges
    hold.admittedAtMs = nowMs
    this.#enqueue(hold, nowMs + lifetimeMs, lifetimeMs)
    return hold
  }

  extend(hold: Hold, nowMs: number, lifetimeMs: number): void {
    this.#dequeue(hold)
    this.#enqueue(hold, nowMs + lifetimeMs, lifetimeMs)
  }

  /** Lets go of a hold; what it says is gone with the next {@link open}. */
  close(hold: Hold): void {
    this.#dequeue(hold)
    hold.charges = NO_CHARGES
    hold.owner = hold.context = ''
    this.#free.push(hold.index)
  }

  /** A hold that expires not later than any other of its lifetime, and is due. */
  due(nowMs: number): Hold | undefined {
    for (const head of this.#heads) {
      if (head !== NOWHERE && this.#holds[head]!.expiresAtMs <= nowMs) return this.#holds[head]
    }
    return undefined
  }

  #enqueue(hold: Hold, expiresAtMs: number, lifetimeMs: number): void {
    hold.expiresAtMs = expiresAtMs
    hold.queue = this.#queueOf(lifetimeMs)
    let after = this.#tails[hold.queue]!
    while (after !== NOWHERE && this.#holds[after]!.expiresAtMs > expiresAtMs) after = this.#holds[after]!.previous
    hold.previous = after
    hold.next = after === NOWHERE ? this.#heads[hold.queue]! : this.#holds[after]!.next
    this.#link(hold, hold.index, hold.index)
  }

  #dequeue(hold: Hold): void {
    this.#link(hold, hold.next, hold.previous)
  }

  /** Tells the neighbours of a hold who comes after the one, and before the other. */
  #link({ previous, next, queue }: Hold, afterPrevious: number, beforeNext: number): void {
    if (previous === NOWHERE) this.#heads[queue] = afterPrevious
    else this.#holds[previous]!.next = afterPrevious
    if (next === NOWHERE) this.#tails[queue] = beforeNext
    else this.#holds[next]!.previous = beforeNext
  }

  /** Queue 0 is for lifetimes that have none of their own. */
  #queueOf(lifetimeMs: number): number {
    const known = this.#lifetimes.indexOf(lifetimeMs)
    if (known !== -1) return known + 1
    if (this.#lifetimes.length === MOST_QUEUES) return 0
    this.#lifetimes.push(lifetimeMs)
    this.#heads.push(NOWHERE)
    this.#tails.push(NOWHERE)
    return this.#lifetimes.length
  }
}

function newHold(index: number): Hold {
  const texts = { owner: '', context: '' }
  const instants = { admittedAtMs: -Infinity, expiresAtMs: -Infinity }
  const links = { index, entry: NOWHERE, queue: 0, next: NOWHERE, previous: NOWHERE }
  return { ...texts, charges: NO_CHARGES, buckets: [], ...instants, ...links }
}
