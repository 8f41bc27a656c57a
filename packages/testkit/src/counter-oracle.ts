import type {
  AdjustRequest,
  Charge,
  ChargeWindow,
  CounterStatus,
  ExpiredHold,
  HeldUnits,
  HoldState,
  ReserveReply,
  ReserveRequest,
  SeededCounter,
  SeedRequest,
  SettleOutcome,
  SettleRequest,
} from '@tallygate/core'
import { OracleCounter, type OracleHeld } from './oracle-counter.ts'

interface Hold {
  readonly state: HoldState['state']
  readonly request: Pick<ReserveRequest, 'owner' | 'context'>
  readonly held: readonly OracleHeld[]
  readonly admittedAtMs: number
  readonly expiresAtMs: number
}

/**
 * What a counter store has to answer, worked out the slow way: it forgets nothing, keeps every event of every bucket, and
 * adds them up for each question. It knows every counter; a test tells it when the store under test has lost its own.
 */
export class CounterOracle {
  /** The time, which a test sets. */
  nowMs = 0
  readonly #counters = new Map<string, OracleCounter>()
  readonly #holds = new Map<string, Hold>()
  /** Expired, and not acknowledged. */
  readonly #expired = new Map<string, ExpiredHold>()
  /** Ids whose units are in the ledger, with the instant of their entries. */
  readonly #entries = new Map<string, number>()
  readonly #lost = new Set<string>()

  reserve(request: ReserveRequest): ReserveReply {
    const { id, charges, lifetimeMs } = request
    const { nowMs } = this
    this.#expire()
    if (charges.some(({ window }) => isStale(window, nowMs))) return { outcome: 'stale', nowMs }
    const known = this.#holds.get(id)
    if (known !== undefined && known.state !== 'reserved') return { outcome: 'closed', nowMs }
    const statuses = this.read(charges)
    if (known !== undefined) return { outcome: 'granted', nowMs, statuses }
    if (refuses(charges, statuses)) return { outcome: 'refused', nowMs, statuses }
    const held = charges.map((charge) => this.#of(charge).add(id, charge, charge.amount, nowMs))
    this.#holds.set(id, { state: 'reserved', request, held, admittedAtMs: nowMs, expiresAtMs: nowMs + lifetimeMs })
    const after = statuses.map((status, index) => ({ ...status, used: status.used + charges[index]!.amount }))
    return { outcome: 'granted', nowMs, statuses: after }
  }

  extend(request: ReserveRequest): void {
    const { id, charges, lifetimeMs } = request
    const { nowMs } = this
    this.#expire()
    const known = this.#holds.get(id)
    const expiresAtMs = nowMs + lifetimeMs
    if (known?.state === 'reserved') this.#holds.set(id, { ...known, expiresAtMs })
    if (known !== undefined && known.state !== 'expired') return
    const held = charges.flatMap((charge) => {
      const kept = heldIn(known, charge)
      if (kept !== undefined) return [kept]
      return isStale(charge.window, nowMs) ? [] : [this.#of(charge).add(id, charge, charge.amount, nowMs)]
    })
    this.#expired.delete(id)
    this.#holds.set(id, { state: 'reserved', request, held, admittedAtMs: nowMs, expiresAtMs })
  }

  settle({ id, charges, atMs }: SettleRequest): SettleOutcome {
    this.#expire()
    const known = this.#holds.get(id)
    if (known?.state === 'settled' || known?.state === 'released') return 'closed'
    for (const { charge, actual } of charges) {
      // A repeat from before a loss: the ledger has counted it already.
      if (known === undefined && charge.isRebuilt && this.#entries.has(id)) continue
      const held = heldIn(known, charge)
      const isReturned = charge.window.kind === 'concurrent'
      const excess = (isReturned ? 0 : actual) - (held?.amount ?? 0)
      if (excess < 0) this.#of(charge).giveBack(id, held!, -excess, atMs)
      else if (excess > 0) this.#of(charge).addExcess(id, charge, excess, atMs, this.nowMs)
    }
    this.#close(id, 'settled')
    this.#entries.set(id, atMs)
    return known?.state === 'reserved' ? 'settled' : 'late'
  }

  release({ id }: { readonly id: string }): void {
    this.#expire()
    const known = this.#holds.get(id)
    if (known?.state === 'settled' || known?.state === 'released') return
    for (const held of known?.held ?? []) this.#of(held.charge).giveBack(id, held, held.amount, this.nowMs)
    this.#close(id, 'released')
  }

  adjust({ id, charge, adjustment, amount, atMs }: AdjustRequest): boolean {
    this.#expire()
    if (this.#holds.has(id)) return false
    this.#close(id, 'settled')
    this.#entries.set(id, atMs)
    const counter = this.#of(charge)
    if (adjustment === 'top-up') counter.topUp(charge, amount, atMs)
    else if (adjustment === 'refund') counter.refund(id, charge, amount, atMs)
    else counter.reset(atMs)
    return true
  }

  /** The store was seeded; what with, is known already. */
  seed({ counters, closed }: Pick<SeedRequest, 'counters' | 'closed'>): void {
    this.#expire()
    for (const { charge } of counters) this.#of(charge).seeded(charge, this.nowMs)
    for (const id of closed) if (!this.#holds.has(id)) this.#close(id, 'settled')
  }

  /** The store has lost everything: what is in the ledger of counters that are rebuilt is all that is left. */
  lose(): void {
    const pending = [...this.#holds].filter(([id, { state }]) => state !== 'settled' && !this.#entries.has(id))
    const gone = new Set(pending.map(([id]) => id))
    for (const [key, counter] of this.#counters) {
      if (counter.isRebuilt) counter.forget(gone)
      else this.#counters.delete(key)
    }
    for (const id of this.#holds.keys()) this.#lost.add(id)
    this.#holds.clear()
    this.#expired.clear()
  }

  read(charges: readonly Charge[]): readonly CounterStatus[] {
    return charges.map((charge) => this.#of(charge).status(charge, this.nowMs))
  }

  holdState(id: string): HoldState | undefined {
    const known = this.#holds.get(id)
    if (known?.state === 'settled' || known?.state === 'released') return { state: known.state }
    const held = known?.held.map(({ charge, amount }) => heldUnits(charge, amount)) ?? []
    if (known?.state === 'expired') return { state: 'expired', held }
    return known && { state: 'reserved', expiresAtMs: known.expiresAtMs, held }
  }

  sweep(): readonly ExpiredHold[] {
    this.#expire()
    return [...this.#expired.values()]
  }

  /** The node has written entries of these. */
  acknowledge(holds: readonly ExpiredHold[]): void {
    for (const { id } of holds) if (this.#expired.delete(id)) this.#entries.set(id, this.nowMs)
  }

  /** What the ledger says of a counter. */
  seedOf(charge: Charge): SeededCounter {
    return this.#of(charge).seedOf(charge, this.nowMs)
  }

  /** Ids in the ledger with entries from after an instant. */
  idsSince(atMs: number): string[] {
    return [...this.#entries].flatMap(([id, entryAtMs]) => (entryAtMs > atMs ? [id] : []))
  }

  /** Whether the store has lost what it knew of an id. */
  hasLost(id: string): boolean {
    return this.#lost.has(id)
  }

  /** Holds that are open, and those of them that are due to expire. */
  open(): { readonly all: number; readonly due: number } {
    const open = [...this.#holds.values()].filter(({ state }) => state === 'reserved')
    return { all: open.length, due: open.filter(({ expiresAtMs }) => expiresAtMs <= this.nowMs).length }
  }

  #of({ counter: { key } }: Charge): OracleCounter {
    const counter = this.#counters.get(key) ?? new OracleCounter()
    this.#counters.set(key, counter)
    return counter
  }

  #expire(): void {
    for (const [id, hold] of this.#holds) {
      if (hold.state !== 'reserved' || hold.expiresAtMs > this.nowMs) continue
      const { owner, context } = hold.request
      const kept = hold.held.filter(({ charge }) => charge.onExpiry === 'keep' && charge.window.kind !== 'concurrent')
      const units = hold.held.map((held) => {
        if (kept.includes(held)) return heldUnits(held.charge, held.amount)
        this.#of(held.charge).giveBack(id, held, held.amount, this.nowMs)
        return heldUnits(held.charge, 0)
      })
      const times = { admittedAtMs: hold.admittedAtMs, expiredAtMs: hold.expiresAtMs }
      this.#expired.set(id, { id, owner, context, ...times, kept: units })
      this.#holds.set(id, { ...hold, state: 'expired', held: kept })
    }
  }

  #close(id: string, state: 'settled' | 'released'): void {
    const request = { owner: '', context: '' }
    this.#expired.delete(id)
    this.#holds.set(id, { state, request, held: [], admittedAtMs: 0, expiresAtMs: 0 })
  }
}

function isStale(window: ChargeWindow, nowMs: number): boolean {
  return window.kind === 'fixed' && !(window.startMs <= nowMs && nowMs < window.nextEndMs)
}

/** One of those that must have room has none, or each alternative has a charge without. */
function refuses(charges: readonly Charge[], statuses: readonly CounterStatus[]): boolean {
  const full = charges.filter(({ effect }, index) => effect === 'refuse' && statuses[index]!.tripped)
  const without = new Set(full.map(({ alternative }) => alternative))
  const alternatives = charges.map(({ alternative }) => alternative).filter((alternative) => alternative > 0)
  return without.has(0) || (alternatives.length > 0 && alternatives.every((alternative) => without.has(alternative)))
}

function heldIn(hold: Hold | undefined, { counter }: Charge): OracleHeld | undefined {
  return hold?.held.find(({ charge }) => charge.counter.key === counter.key)
}

function heldUnits({ counter: { owner, partition, name } }: Charge, amount: number): HeldUnits {
  return { owner, partition, counter: name, amount }
}
