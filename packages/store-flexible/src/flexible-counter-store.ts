import { assertMembers, monotonicClock, QuotaError } from '@tallygate/core'
import type {
  AdjustRequest,
  Charge,
  Clock,
  CounterStore,
  CounterStoreCapability,
  ExpiredHold,
  HoldState,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SettleOutcome,
  SettleRequest,
} from '@tallygate/core'
import { ClosedIds } from './closed-ids.ts'
import { assertCountable, isStale, placeOf, refuses, statusOf } from './counter-place.ts'
import { assertLimiter, endsByTimer, forget, usedIn, type FlexibleLimiter } from './flexible-limiter.ts'
import {
  addAll,
  amountsAt,
  giveBack,
  giveBackAll,
  readAll,
  settleAll,
  throwFirst,
  unitsOf,
  type HeldAmount,
  type SettledAmount,
} from './held-amount.ts'

export interface FlexibleCounterStoreOptions {
  /**
   * Counts, and decides nothing: its points, duration, blocks and even execution play no part. Its `keyPrefix` does, and
   * its `insuranceLimiter`. Not memcached, which can't take back, and no union, burst or queue.
   */
  readonly limiter: FlexibleLimiter
  /** Tells which bucket is current. Default: the clock of this process, which never goes back. */
  readonly clock?: Clock
  /** How long this process remembers ids that were settled or released, in milliseconds. Default: 15 minutes. */
  readonly closedForMs?: number
}

interface Hold {
  readonly amounts: readonly HeldAmount[]
  /** A settlement that came without a reservation, and failed half-way. */
  readonly isLate: boolean
  expiresAtMs: number
}

/**
 * Counters in a limiter of rate-limiter-flexible: fixed windows, and quotas for good. Atomic for one limit, not over
 * several, and safe to repeat within this process: the README of this package says what holds and what doesn't.
 *
 * A failure of the limiter throws `ERR_QUOTA_STORE_UNAVAILABLE`.
 */
export class FlexibleCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability>
  readonly rebuildsFromMs = Infinity
  readonly #limiter: FlexibleLimiter
  readonly #clock: Clock
  readonly #closedForMs: number
  readonly #closed: ClosedIds
  readonly #holds = new Map<string, Hold>()
  /** Decisions under way: a repeat gets the same answer. */
  readonly #underWay = new Map<string, Promise<ReserveReply>>()
  readonly #endsByTimer: boolean
  #nowMs = -Infinity

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a limiter that can't count for others. */
  constructor(options: FlexibleCounterStoreOptions) {
    assertMembers(options, ['limiter', 'clock', 'closedForMs'], 'FlexibleCounterStore')
    const { limiter, clock = monotonicClock, closedForMs = 15 * 60_000 } = options
    assertLimiter(limiter, 'FlexibleCounterStore.limiter')
    this.#limiter = limiter
    this.#clock = clock
    this.#closedForMs = closedForMs
    this.#closed = new ClosedIds(closedForMs)
    this.#endsByTimer = endsByTimer(limiter)
    // Months and years among them, which are too long for timers.
    const calendar = this.#endsByTimer ? [] : (['calendar'] as const)
    this.capabilities = new Set([...calendar, 'lifetime', 'alternatives'] as const)
  }

  reserve(request: ReserveRequest): Promise<ReserveReply> {
    const underWay = this.#underWay.get(request.id)
    if (underWay !== undefined) return underWay
    const reply = this.#reserve(request).finally(() => this.#underWay.delete(request.id))
    this.#underWay.set(request.id, reply)
    return reply
  }

  async extend({ id, charges, lifetimeMs }: ReserveRequest): Promise<void> {
    const nowMs = this.#tick()
    if (this.#closed.get(id) !== undefined) return
    const known = this.#holds.get(id)
    if (known !== undefined) {
      known.expiresAtMs = nowMs + lifetimeMs
      return
    }
    const current = charges.filter((charge) => !isStale(charge, nowMs))
    const amounts = this.#amountsAt(current, nowMs)
    const hold = { amounts: [], isLate: false, expiresAtMs: nowMs + lifetimeMs }
    // There before it has counted: another extension meanwhile must not count as well.
    this.#holds.set(id, hold)
    const counted = await addAll(this.#limiter, amounts)
    const held = amounts.filter((_, index) => counted[index]!.status === 'fulfilled')
    if (this.#holds.get(id) === hold) this.#holds.set(id, { ...hold, amounts: held })
    else await giveBackAll(this.#limiter, held, nowMs)
    throwFirst(counted)
  }

  async settle({ id, charges, atMs }: SettleRequest): Promise<SettleOutcome> {
    const nowMs = this.#tick()
    if (this.#closed.get(id) !== undefined) return 'closed'
    const hold = this.#holds.get(id) ?? { amounts: [], isLate: true, expiresAtMs: nowMs }
    assertCountable(
      charges.map(({ charge }) => charge),
      this.#endsByTimer,
    )
    const settled = charges.map(({ charge, actual }): SettledAmount => {
      const current = placeOf(charge, atMs, nowMs)
      const held = hold.amounts.find((each) => each.charge.counter.key === charge.counter.key)
      return { held: held ?? { charge, place: current, amount: 0 }, actual, current }
    })
    this.#close(id, 'settled', nowMs)
    const done = await settleAll(this.#limiter, settled, atMs, nowMs)
    if (done.some(({ status }) => status === 'rejected')) {
      // What has arrived is held as it was used, so that another try finds no difference there.
      const amounts = settled.map(({ actual, held }, index) =>
        done[index]!.status === 'fulfilled' ? { ...held, amount: actual } : held,
      )
      this.#reopen(id, { ...hold, amounts })
      throwFirst(done)
    }
    return hold.isLate ? 'late' : 'settled'
  }

  async release({ id }: { readonly id: string; readonly owner: string }): Promise<void> {
    const nowMs = this.#tick()
    const hold = this.#holds.get(id)
    if (this.#closed.get(id) !== undefined) return
    this.#close(id, 'released', nowMs)
    if (hold === undefined) return
    const done = await giveBackAll(this.#limiter, hold.amounts, nowMs)
    if (done.every(({ status }) => status === 'fulfilled')) return
    this.#reopen(id, { ...hold, amounts: hold.amounts.filter((_, index) => done[index]!.status === 'rejected') })
    throwFirst(done)
  }

  /** @throws QuotaError `ERR_QUOTA_CAPABILITY` for a top-up: a quota is not in the limiter. */
  async adjust({ id, charge, adjustment, amount, atMs }: AdjustRequest): Promise<boolean> {
    if (adjustment === 'top-up')
      throw missing(`${charge.counter.name} can not be topped up: raise its quota, or use another store`)
    const nowMs = this.#tick()
    if (this.#closed.get(id) !== undefined) return false
    assertCountable([charge], this.#endsByTimer)
    const place = placeOf(charge, atMs, nowMs)
    this.#closed.add(id, 'settled', nowMs)
    try {
      if (adjustment === 'reset') await forget(this.#limiter, place)
      else await giveBack(this.#limiter, place, Math.min(amount, await usedIn(this.#limiter, place)), nowMs)
    } catch (error) {
      this.#closed.delete(id)
      throw error
    }
    return true
  }

  async seed(): Promise<boolean> {
    throw missing('counters in a limiter of rate-limiter-flexible can not be seeded: use another store')
  }

  async holdState({ id }: { readonly id: string; readonly owner: string }): Promise<HoldState | undefined> {
    const hold = this.#holds.get(id)
    const ending = this.#closed.get(id)
    if (hold === undefined) return ending === undefined ? undefined : { state: ending }
    return { state: 'reserved', expiresAtMs: hold.expiresAtMs, held: hold.amounts.map(unitsOf) }
  }

  async read(charges: readonly Charge[]): Promise<ReadReply> {
    const nowMs = this.#time()
    const amounts = this.#amountsAt(charges, nowMs)
    const used = await readAll(this.#limiter, amounts)
    const statuses = amounts.map(({ charge, place }, index) => statusOf(charge, place, used[index]!, nowMs))
    return { nowMs, statuses, unknown: [], fence: '' }
  }

  /** Nothing expires: what a process that dies has held stays until its bucket ends. Forgets holds that nobody ends. */
  async sweep(): Promise<readonly ExpiredHold[]> {
    const nowMs = this.#tick()
    for (const [id, { expiresAtMs }] of this.#holds)
      if (expiresAtMs + this.#closedForMs <= nowMs) this.#close(id, 'settled', nowMs)
    return []
  }

  async acknowledge(): Promise<void> {}

  async close(): Promise<void> {}

  async #reserve({ id, charges, lifetimeMs }: ReserveRequest): Promise<ReserveReply> {
    const nowMs = this.#tick()
    if (charges.some((charge) => isStale(charge, nowMs))) return { outcome: 'stale', nowMs }
    if (this.#closed.get(id) !== undefined) return { outcome: 'closed', nowMs }
    const amounts = this.#amountsAt(charges, nowMs)
    // Looks first: a refusal then writes nothing, but where another call takes the room in between.
    const before = await readAll(this.#limiter, amounts)
    const statuses = amounts.map(({ charge, place }, index) => statusOf(charge, place, before[index]!, nowMs))
    if (this.#holds.has(id)) return { outcome: 'granted', nowMs, statuses }
    if (refuses(charges, statuses)) return { outcome: 'refused', nowMs, statuses }
    return this.#take(id, amounts, before, nowMs, lifetimeMs)
  }

  /** Counts, and decides by what each counter held when it counted: of calls at the same time, the first ones fit. */
  async #take(
    id: string,
    amounts: readonly HeldAmount[],
    before: readonly number[],
    nowMs: number,
    lifetimeMs: number,
  ): Promise<ReserveReply> {
    const counted = await addAll(this.#limiter, amounts)
    const taken = amounts.filter((_, index) => counted[index]!.status === 'fulfilled')
    if (taken.length < amounts.length) {
      await giveBackAll(this.#limiter, taken, nowMs)
      throwFirst(counted)
    }
    const after = counted.map((each, index) => (each.status === 'fulfilled' ? each.value : undefined) ?? before[index]!)
    const statuses = amounts.map(({ charge, place, amount }, index) =>
      statusOf(charge, place, after[index]! - amount, nowMs),
    )
    const isClosed = this.#closed.get(id) !== undefined
    const charges = amounts.map(({ charge }) => charge)
    if (isClosed || refuses(charges, statuses)) {
      await giveBackAll(this.#limiter, amounts, nowMs)
      return isClosed ? { outcome: 'closed', nowMs } : { outcome: 'refused', nowMs, statuses }
    }
    this.#holds.set(id, { amounts, isLate: false, expiresAtMs: nowMs + lifetimeMs })
    const granted = statuses.map((status, index) => ({ ...status, used: after[index]! }))
    return { outcome: 'granted', nowMs, statuses: granted }
  }

  #amountsAt(charges: readonly Charge[], nowMs: number): readonly HeldAmount[] {
    assertCountable(charges, this.#endsByTimer)
    return amountsAt(charges, nowMs, nowMs)
  }

  #close(id: string, as: 'settled' | 'released', nowMs: number): void {
    this.#holds.delete(id)
    this.#closed.add(id, as, nowMs)
  }

  #reopen(id: string, hold: Hold): void {
    this.#closed.delete(id)
    this.#holds.set(id, hold)
  }

  /** Reads the clock, which for this store never goes back. */
  #time(): number {
    this.#nowMs = Math.max(this.#nowMs, Math.floor(this.#clock()))
    return this.#nowMs
  }

  #tick(): number {
    this.#closed.tick(this.#time())
    return this.#nowMs
  }
}

function missing(message: string): QuotaError {
  return new QuotaError('ERR_QUOTA_CAPABILITY', message)
}
