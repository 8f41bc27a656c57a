import type { Charge, ExpiredHold, HoldState } from './counter-store.ts'
import { heldUnits, isHeld, NOT_HELD, unitsOf, type HeldCharges } from './held-charges.ts'
import { HoldTable, type Hold } from './hold-table.ts'
import { IdTable } from './id-table.ts'
import { SlotMap } from './slot-map.ts'

/** Numbers of closed ids; those of open ones are the indices of their holds. */
const SETTLED = -1
const RELEASED = -2
const EXPIRED = -3
const NUMBERS = { settled: SETTLED, released: RELEASED } as const

/** Reservations by id, from the moment that they are made until nobody will ask for them any more. */
export class Reservations {
  readonly #holds = new HoldTable()
  readonly #ids: IdTable
  /** What expired holds have kept. */
  readonly #kept = new SlotMap<HeldCharges>()
  /** Those that nobody acknowledged. */
  readonly #expired = new SlotMap<ExpiredHold>()

  /** @param closedForMs How long at least a closed id is remembered. */
  constructor(closedForMs: number) {
    this.#ids = new IdTable(closedForMs)
  }

  /** How many are open. */
  get size(): number {
    return this.#holds.size
  }

  /** Entry of an id, for the methods that ask for it, until another id is looked for; -1: nobody has heard of it. */
  find(id: string): number {
    return this.#ids.find(id)
  }

  /** Whether an id was settled or released. */
  isClosed(entry: number): boolean {
    const value = this.#ids.valueOf(entry)
    return value === SETTLED || value === RELEASED
  }

  /** What an id holds; `undefined`: it is not open. */
  open(entry: number): Hold | undefined {
    const value = this.#ids.valueOf(entry)
    return value === undefined || value < 0 ? undefined : this.#holds.at(value)
  }

  /** What an id has kept since it expired. */
  kept(id: string): HeldCharges | undefined {
    return this.#kept.size === 0 ? undefined : this.#kept.get(id)
  }

  /** Makes a hold of an id that is not open. The caller says the buckets. */
  make(
    id: string,
    entry: number,
    owner: string,
    context: string,
    charges: readonly Charge[],
    nowMs: number,
    lifetimeMs: number,
  ): Hold {
    const hold = this.#holds.open(owner, context, charges, nowMs, lifetimeMs)
    if (entry === -1) hold.entry = this.#ids.add(id, hold.index)
    else this.#openAgain(id, entry, hold)
    return hold
  }

  extend(hold: Hold, nowMs: number, lifetimeMs: number): void {
    this.#holds.extend(hold, nowMs, lifetimeMs)
  }

  /** Closes an id, whatever it was. */
  close(id: string, entry: number, as: 'settled' | 'released', nowMs: number): void {
    const value = this.#ids.valueOf(entry)
    if (value === EXPIRED) this.#unlist(id)
    else if (value !== undefined && value >= 0) this.#holds.close(this.#holds.at(value))
    this.#ids.close(entry === -1 ? this.#ids.add(id, 0) : entry, NUMBERS[as], nowMs)
  }

  /** A hold whose lifetime is over. */
  due(nowMs: number): Hold | undefined {
    return this.#holds.due(nowMs)
  }

  /** Closes a hold that is due, and lists it with its context and what it keeps. Returns what it does not keep. */
  expire(hold: Hold, nowMs: number): HeldCharges {
    const { entry, owner, context, charges, admittedAtMs, expiresAtMs } = hold
    const id = this.#ids.idOf(entry)
    const all = hold.buckets.slice(0, charges.length)
    const isKept = charges.map(({ onExpiry, window }) => onExpiry === 'keep' && window.kind !== 'concurrent')
    const units = charges.flatMap((charge, index) =>
      isHeld(all[index]) ? [unitsOf(charge, isKept[index]! ? charge.amount : 0)] : [],
    )
    this.#holds.close(hold)
    this.#ids.close(entry, EXPIRED, nowMs)
    this.#kept.set(id, { charges, buckets: all.map((bucket, index) => (isKept[index]! ? bucket : NOT_HELD)) })
    this.#expired.set(id, { id, owner, context, admittedAtMs, expiredAtMs: expiresAtMs, kept: units })
    return { charges, buckets: all.map((bucket, index) => (isKept[index]! ? NOT_HELD : bucket)) }
  }

  /** Up to so many that expired and were not acknowledged, in the order in which they did. */
  listed(most: number): readonly ExpiredHold[] {
    const listed: ExpiredHold[] = []
    for (const [, expired] of this.#expired) {
      if (listed.length >= most) break
      listed.push(expired)
    }
    return listed
  }

  acknowledge(holds: readonly ExpiredHold[]): void {
    for (const { id } of holds) this.#expired.delete(id)
  }

  /** Forgets up to so many closed ids whose time is over. */
  forget(nowMs: number, most: number): void {
    this.#ids.forget(nowMs, most, EXPIRED, this.#kept)
  }

  stateOf(id: string): HoldState | undefined {
    const value = this.#ids.valueOf(this.#ids.find(id))
    if (value === undefined) return undefined
    if (value === SETTLED) return { state: 'settled' }
    if (value === RELEASED) return { state: 'released' }
    if (value === EXPIRED) return { state: 'expired', held: heldUnits(this.#kept.get(id)!) }
    const hold = this.#holds.at(value)
    return { state: 'reserved', expiresAtMs: hold.expiresAtMs, held: heldUnits(hold) }
  }

  #openAgain(id: string, entry: number, hold: Hold): void {
    hold.entry = entry
    this.#ids.open(entry, hold.index)
    this.#unlist(id)
  }

  #unlist(id: string): void {
    this.#expired.delete(id)
    this.#kept.delete(id)
  }
}
