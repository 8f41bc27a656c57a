import { monotonicClock, type Clock } from './clock.ts'
import { CounterRebuild, type RebuildOptions, type UnknownCounters } from './counter-rebuild.ts'
import type {
  AdjustRequest,
  Charge,
  CounterStatus,
  CounterStore,
  Eventually,
  ReserveReply,
  SettleOutcome,
  SettleRequest,
} from './counter-store.ts'
import type { Decision, LimitStatus, Reservation } from './decision.ts'
import { LocalShare } from './local-share.ts'
import { isQuotaError, QuotaError } from './quota-error.ts'
import { chargesOf, type BoundLimit } from './plan.ts'
import { refusal } from './refusal.ts'
import type { Amounts } from './unit.ts'
import { WindowStarts } from './window-start.ts'

export interface AdmissionOptions {
  readonly store: CounterStore
  readonly clock?: Clock
  /** How long a hold lives without an extension, in milliseconds. Default: 60 s. */
  readonly lifetimeMs?: number
  /** Where counters are rebuilt from that the store has lost. Default: they begin at 0. */
  readonly rebuild?: RebuildOptions
}

export interface AdmitRequest {
  /** Id of the reservation: one for each attempt and limiter. */
  readonly id: string
  readonly bound: readonly BoundLimit[]
  /** Upper guess of what the call will use. */
  readonly amounts: Amounts
  /** Kept with the hold, for the entry of a call whose process dies. */
  readonly context: string
  /** Goes before what the limits say for when the store can't be reached. */
  readonly onUnavailable?: 'refuse' | 'admit' | undefined
  /**
   * More for a call under way: only what fits is given, whatever makes the limits trip, and a hold that expires gives it
   * back, whatever the plans say.
   */
  readonly isFurther?: boolean
  /** Where counters of this key are charged by nobody else: spares a rebuild looking at the calls of others. */
  readonly subject?: string | undefined
}

/** How to look at limits. */
export interface ReadOptions {
  /** Of a call that would be made. Default: of none. */
  readonly amounts?: Amounts
  /** As in {@link AdmitRequest}. */
  readonly subject?: string | undefined
}

/** A change of one limit's counter that is not a call: see {@link AdjustRequest}. */
export interface CounterAdjustment extends Omit<AdjustRequest, 'charge'> {
  readonly bound: BoundLimit
}

/** A node's windows and the store's clock can miss each other once at an edge; more often means a broken clock. */
const MOST_TRIES = 3
/** A store that has lost counters again that were seeded just now; that often in a row means that it keeps none. */
const MOST_SEEDS = 10

const FURTHER = { trip: 'fits', onExpiry: 'release' } as const

/** Decides on calls, and settles them: plans and amounts on one side, charges and a counter store on the other. */
export class Admission {
  readonly store: CounterStore
  /** Least length of windows whose counters are rebuilt when they are lost; `Infinity`: none is. */
  readonly rebuildsFromMs: number
  readonly #clock: Clock
  readonly #lifetimeMs: number
  readonly #rebuild: CounterRebuild | undefined
  /** Absent where no ledger has to know. */
  readonly #starts: WindowStarts | undefined
  /** The store's clock minus ours, as last seen. */
  #offsetMs = 0
  #failedAtMs = -Infinity
  #localShare: LocalShare | undefined

  constructor({ store, clock = monotonicClock, lifetimeMs = 60_000, rebuild }: AdmissionOptions) {
    this.store = store
    this.#clock = clock
    this.#lifetimeMs = lifetimeMs
    this.#rebuild = rebuild === undefined ? undefined : new CounterRebuild(store, rebuild)
    this.#starts = rebuild?.record && new WindowStarts(rebuild.record)
    const isRebuilt = rebuild !== undefined && store.capabilities.has('rebuild')
    this.rebuildsFromMs = isRebuilt ? store.rebuildsFromMs : Infinity
  }

  /** Whether the last decision found the store unreachable, and not longer ago than this. */
  failedWithin(ms: number): boolean {
    return this.#clock() - this.#failedAtMs < ms
  }

  /** The store's time, as well as this node knows it without asking. */
  nowMs(): number {
    return this.#clock() + this.#offsetMs
  }

  /**
   * Reserves a call's amounts under all its limits, or under none. An unreachable store is a decision too, as the limits
   * say: refused if any of them refuses then.
   *
   * @throws QuotaError `ERR_QUOTA_STALE` when the store's time can't be met.
   */
  async admit({
    id,
    bound,
    amounts,
    context,
    onUnavailable,
    isFurther = false,
    subject,
  }: AdmitRequest): Promise<Decision> {
    const [first] = bound
    if (first === undefined) return admittedWithoutLimits(this.nowMs())
    const { owner } = first.counter
    const lifetimeMs = this.#lifetimeMs
    let atMs = this.nowMs()
    let seeds = 0
    let untilMs: number | undefined
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const ofPlans = this.#chargesOf(bound, amounts, atMs)
      const charges = isFurther ? ofPlans.map((charge) => ({ ...charge, ...FURTHER })) : ofPlans
      const held = { id, owner, bound, charges, amounts, lifetimeMs, context }
      let reply: ReserveReply
      try {
        reply = await this.store.reserve({ id, owner, charges, lifetimeMs, context })
        while (reply.outcome === 'unknown') {
          const { unknown, fence, nowMs } = reply
          seeds += 1
          untilMs ??= this.#rebuild?.untilMs()
          await this.#seed({ charges, unknown, fence, nowMs, subject }, seeds, untilMs)
          reply = await this.store.reserve({ id, owner, charges, lifetimeMs, context })
        }
      } catch (error) {
        if (!isUnavailable(error)) throw error
        this.#failedAtMs = this.#clock()
        return this.#withoutStore(held, atMs, onUnavailable ?? whileUnavailable(bound), error.mayHaveRun)
      }
      this.#failedAtMs = -Infinity
      if (this.#localShare?.isOver === true) this.#localShare = undefined
      atMs = reply.nowMs
      const learnedAtMs = this.#clock()
      this.#offsetMs = reply.nowMs - learnedAtMs
      if (reply.outcome === 'stale') continue
      if (reply.outcome === 'closed') {
        throw new QuotaError('ERR_QUOTA_CONFIG', `reservation ${id} was settled before: use a new id for each attempt`)
      }
      const statuses = reply.statuses.map((status, index) => limitStatus(bound[index]!, status))
      if (reply.outcome === 'refused') return refusal(charges, statuses, atMs)
      this.#starts?.reserved(charges, reply.statuses, atMs)
      return {
        admitted: true,
        reservation: { ...held, admittedAtMs: atMs, learnedAtMs },
        statuses,
        tripped: statuses.filter(({ tripped }) => tripped),
        counted: true,
        atMs,
      }
    }
    throw new QuotaError(
      'ERR_QUOTA_STALE',
      `the counter store's time stays outside the windows of ${owner}: check its clock`,
    )
  }

  /** The instant to settle a reservation at, by the store's clock: the same for its entry and for its counters. */
  settlementTime({ admittedAtMs, learnedAtMs }: Reservation): number {
    return Math.floor(admittedAtMs + Math.max(0, this.#clock() - learnedAtMs))
  }

  /**
   * Replaces the reserved by the actual amounts. A unit whose actual amount nobody knows stays as it was reserved.
   * Repeating it changes nothing.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE`; settle again later with the same `atMs`.
   */
  settle(reservation: Reservation, actual: Amounts, atMs: number): Eventually<SettleOutcome> {
    const { id, owner, bound, charges, amounts, spared } = reservation
    // Most calls end in the buckets that they began in.
    const isSameBucket = bound.every(({ limit }, index) => limit.windowAt(atMs) === charges[index]!.window)
    const current = isSameBucket ? charges : this.#chargesOf(bound, amounts, atMs)
    const settled = current.map((charge, index) => ({
      charge,
      actual: spared?.[index] === true ? 0 : (actual[bound[index]!.limit.definition.unit] ?? charge.amount),
    }))
    reservation.localShare?.settle(reservation, actual, atMs)
    if (!isSameBucket) this.#starts?.settled(charges, settled)
    const request = { id, owner, charges: settled, atMs }
    const gate = this.#rebuild?.gate
    if (gate?.isOpen === false && gate.holds(reservation)) return this.#settleLater(reservation, request)
    return this.store.settle(request)
  }

  /**
   * Changes a counter otherwise than by a call, after its entry was written. `false`: it was changed by that id before, or
   * is unknown, and will be seeded with the entry.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE`; `ERR_QUOTA_CONFIG` for what its window does not have.
   */
  adjust({ id, bound, adjustment, amount, atMs }: CounterAdjustment): Eventually<boolean> {
    const charge = this.#chargesOf([bound], {}, atMs)[0]!
    if (adjustment === 'top-up') this.#starts?.uncalled(charge)
    return this.store.adjust({ id, charge, adjustment, amount, atMs })
  }

  /** Gives back all that a reservation holds. */
  release({ id, owner, localShare }: Reservation): Eventually<void> {
    localShare?.release(id, owner)
    return this.store.release({ id, owner })
  }

  /** Keeps a reservation from expiring while its call runs. */
  async extend(reservation: Reservation): Promise<void> {
    const { id, owner, charges, lifetimeMs, context, localShare } = reservation
    localShare?.extend(reservation)
    await this.store.extend({ id, owner, charges, lifetimeMs, context })
  }

  /**
   * Where limits stand, counting nothing; with amounts, also whether a call of so much would have room.
   *
   * @param subject As in {@link AdmitRequest}.
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` or `ERR_QUOTA_LEDGER_UNAVAILABLE`.
   */
  async read(
    bound: readonly BoundLimit[],
    { amounts = {}, subject }: ReadOptions = {},
  ): Promise<{ nowMs: number; statuses: readonly LimitStatus[] }> {
    if (bound.length === 0) return { nowMs: this.nowMs(), statuses: [] }
    const charges = this.#chargesOf(bound, amounts, this.nowMs())
    let reply = await this.store.read(charges)
    const untilMs = reply.unknown.length === 0 ? undefined : this.#rebuild?.untilMs()
    for (let seeds = 1; reply.unknown.length > 0; seeds += 1) {
      const { unknown, fence, nowMs } = reply
      await this.#seed({ charges, unknown, fence, nowMs, subject }, seeds, untilMs)
      reply = await this.store.read(charges)
    }
    const { nowMs, statuses } = reply
    return { nowMs, statuses: statuses.map((status, index) => limitStatus(bound[index]!, status)) }
  }

  #chargesOf(bound: readonly BoundLimit[], amounts: Amounts, atMs: number): readonly Charge[] {
    return chargesOf(bound, amounts, atMs, this.rebuildsFromMs)
  }

  async #seed(lost: UnknownCounters, times: number, untilMs: number | undefined): Promise<void> {
    if (this.#rebuild === undefined || untilMs === undefined || times > MOST_SEEDS) {
      const { owner } = lost.charges[lost.unknown[0]!]!.counter
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `counters of ${owner} are lost, and could not be rebuilt`)
    }
    await this.#rebuild.seed(lost, untilMs)
  }

  async #settleLater(reservation: Reservation, request: SettleRequest): Promise<SettleOutcome> {
    await this.#rebuild!.gate.pass(reservation)
    return this.store.settle(request)
  }

  /** @param mayHold Whether the store may have reserved all the same. */
  async #withoutStore(
    held: Held,
    atMs: number,
    onUnavailable: 'refuse' | 'admit' | 'local',
    mayHold: boolean,
  ): Promise<Decision> {
    const reservation = { ...held, admittedAtMs: atMs, learnedAtMs: this.#clock() }
    if (onUnavailable === 'admit') return admittedWithoutStore({ ...reservation, withoutStore: 'admit' })
    if (onUnavailable === 'local') {
      this.#localShare ??= new LocalShare(() => this.nowMs())
      const localShare = this.#localShare
      if (await localShare.reserve(reservation))
        return admittedWithoutStore({ ...reservation, withoutStore: 'local', localShare })
    }
    return {
      admitted: false,
      reason: 'unavailable',
      binding: undefined,
      statuses: [],
      retryAtMs: null,
      atMs,
      withoutStore: onUnavailable === 'local' ? 'local' : undefined,
      reservation: mayHold ? reservation : undefined,
    }
  }
}

/** The store or the ledger: without either, nobody can say what was used. */
function isUnavailable(error: unknown): error is QuotaError {
  return isQuotaError(error, 'ERR_QUOTA_STORE_UNAVAILABLE') || isQuotaError(error, 'ERR_QUOTA_LEDGER_UNAVAILABLE')
}

type Held = Omit<Reservation, 'admittedAtMs' | 'learnedAtMs'>

/** What limits say together for when the store can't be reached: one that refuses is enough, then one that is `local`. */
export function whileUnavailable(bound: readonly BoundLimit[]): 'refuse' | 'admit' | 'local' {
  const enforced = bound.filter(({ limit: { definition } }) => definition.mode === 'enforce')
  const all = enforced.map(({ limit: { definition } }) => definition.onUnavailable)
  if (all.includes('refuse')) return 'refuse'
  return all.some((each) => each !== 'admit') ? 'local' : 'admit'
}

function admittedWithoutStore(reservation: Reservation): Decision {
  const { withoutStore, admittedAtMs: atMs } = reservation
  return { admitted: true, reservation, statuses: [], tripped: [], counted: false, withoutStore, atMs }
}

function admittedWithoutLimits(atMs: number): Decision {
  return { admitted: true, reservation: undefined, statuses: [], tripped: [], counted: true, atMs }
}

function limitStatus(bound: BoundLimit, status: CounterStatus): LimitStatus {
  const { used, quota, startMs, tripped, resetAtMs, roomAtMs } = status
  const remaining = quota === null ? null : Math.max(0, quota - used)
  return { used, quota, startMs, tripped, resetAtMs, roomAtMs, bound, remaining }
}
