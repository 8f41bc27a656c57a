import type { Amounts, BoundLimit, Charge, Decision, LimitStatus, Reservation } from '@tallygate/core'
import type { Walk } from './walk.ts'

/** One limit that a stream under way uses up. */
interface Cutting {
  /** Its place in the reservation. */
  readonly index: number
  readonly bound: BoundLimit
  readonly effect: Charge['effect']
  /** Units that the call holds of it in all. */
  reserved: number
  /** Those that are within the quota: a limit that trips late lets a call reserve more than there is. */
  held: number
  /** As it stood last. */
  status: LimitStatus
  /** Of a limit that does not refuse: it would have given nothing more than what stands in {@link held}. */
  isSpent: boolean
}

interface Purchase {
  readonly reservation: Reservation
  extendedAtMs: number
}

/** Output tokens that are bought at once: so many at least, or what is left; more of a quota that has much room. */
const LEAST_STEP = 1_024
const MOST_STEP = 65_536
/** A step takes no more than this share of what is left, so that there is room for calls that begin meanwhile. */
const SHARE_OF_ROOM = 32
/** Others can take what was just left. */
const MOST_TRIES = 3
/** Between the id of a reservation and the number of what is bought beside it. */
const BOUGHT = '+'

/** Whether a hold was bought for a stream under way: settled or expired, what it took is given back. */
export function isPurchase(id: string): boolean {
  return /\+\d+$/.test(id)
}

/**
 * How much a stream may write under the limits of one reservation that cut streams: what it holds, and what it buys
 * beside that in further, smaller reservations. Those are given back when the call is settled, whose excess then is
 * charged, so that each token is charged once.
 */
export class HeldAllowance {
  readonly #walk: Walk
  readonly #reservation: Reservation
  readonly #subject: string | undefined
  readonly #limits: Cutting[]
  readonly #alternatives: ReadonlySet<number>
  readonly #onOverage: () => void
  readonly #purchases: Purchase[] = []
  #inputTokens: number
  #number = 0
  #isClosed = false

  /**
   * `undefined` where no limit cuts.
   *
   * @param statuses Of the reservation's limits; without them nobody has counted, and nothing is cut.
   * @param onOverage Told when the stream passes a limit that flags.
   */
  static of(
    walk: Walk,
    reservation: Reservation,
    statuses: readonly LimitStatus[],
    subject: string | undefined,
    onOverage: () => void,
  ): HeldAllowance | undefined {
    const limits = reservation.bound.flatMap((bound, index): Cutting[] => {
      const { onStream, quota } = bound.limit.definition
      const status = statuses[index]
      const { effect, amount } = reservation.charges[index]!
      // What tripped when the call began is not for the stream to trip again.
      if (onStream !== 'cut' || quota === null || status === undefined) return []
      if (effect !== 'refuse' && status.tripped) return []
      return [{ index, bound, effect, reserved: amount, held: withinQuota(amount, status), status, isSpent: false }]
    })
    return limits.length === 0 ? undefined : new HeldAllowance(walk, reservation, limits, subject, onOverage)
  }

  private constructor(
    walk: Walk,
    reservation: Reservation,
    limits: Cutting[],
    subject: string | undefined,
    onOverage: () => void,
  ) {
    this.#walk = walk
    this.#reservation = reservation
    this.#limits = limits
    this.#subject = subject
    this.#onOverage = onOverage
    this.#inputTokens = reservation.amounts['input-tokens'] ?? 0
    this.#alternatives = new Set(reservation.bound.map(({ alternative }) => alternative).filter(Boolean))
  }

  /** Output tokens that the limits which refuse allow by now; `Infinity` where one plan of several allows any. */
  get outputTokens(): number {
    return this.#most((limit) => this.#roomOf(limit))
  }

  /** As {@link outputTokens}, with the limits that only watch and have something to give yet. */
  get watchedTokens(): number {
    return this.#withWatching(this.outputTokens, (limit) => this.#roomOf(limit))
  }

  /** How many tokens are bought next: so many that nobody else feels it. */
  get step(): number {
    const left = ({ status }: Cutting): number => status.remaining ?? Infinity
    const room = this.#withWatching(this.#most(left), left)
    const share = Math.floor(room / SHARE_OF_ROOM)
    // Where nothing was left, there may be by now.
    return Math.min(MOST_STEP, Math.max(1, Math.min(room, Math.max(LEAST_STEP, share))))
  }

  /** Whether the limits that refuse had nothing left when they were last asked. */
  get isDrained(): boolean {
    return this.#most(({ status }) => status.remaining ?? Infinity) <= 0
  }

  /** What the input really is, in place of the bound that was set aside for it. */
  useInput(tokens: number): void {
    this.#inputTokens = tokens
  }

  /** Sets more aside, all or nothing for all its limits. Returns how many tokens; 0: there are no more. */
  async buy(): Promise<number> {
    let amount = this.step
    for (let tries = 0; tries < MOST_TRIES && amount > 0; tries += 1) {
      const decision = await this.#ask(amount)
      if (decision === undefined) return 0
      if (decision.admitted) return this.#take(decision, amount)
      if (decision.reason === 'unavailable') return 0
      amount = Math.min(amount - 1, this.#note(decision.statuses, amount))
    }
    return 0
  }

  /** Marks the limits that would have cut the stream, when it has ended and its figures are known. */
  watch(actual: Amounts): void {
    for (const { bound, effect, held, isSpent } of this.#limits) {
      if (!isSpent || (actual[bound.limit.definition.unit] ?? 0) <= held) continue
      this.#walk.telemetry.streamCut(bound.counter.name, effect)
      if (effect === 'flag') this.#onOverage()
    }
  }

  /** Limits that refuse and have nothing more for the stream. */
  spent(writtenTokens: number): readonly string[] {
    return this.#limits
      .filter((limit) => limit.effect === 'refuse' && writtenTokens >= this.#roomOf(limit))
      .map(({ bound }) => bound.counter.name)
  }

  /** Units that are held of a limit in all, and where it stood last; `undefined` for one that does not cut. */
  reservedOf(index: number): { readonly reserved: number; readonly status: LimitStatus } | undefined {
    return this.#limits.find((limit) => limit.index === index)
  }

  /** Keeps what was bought from expiring. */
  async extend(nowMs: number): Promise<void> {
    for (const purchase of this.#purchases) {
      const { reservation, extendedAtMs } = purchase
      if (nowMs - extendedAtMs < reservation.lifetimeMs / 3) continue
      await this.#walk.admission.extend(reservation)
      purchase.extendedAtMs = nowMs
    }
  }

  /** Gives back what was bought: after the call was settled, so that nobody takes meanwhile what it has used. */
  close(): void {
    this.#isClosed = true
    for (const { reservation } of this.#purchases.splice(0)) this.#walk.settler.release(reservation)
  }

  async #ask(amount: number): Promise<Decision | undefined> {
    const { admission, settler } = this.#walk
    const { id, context } = this.#reservation
    const amounts: Amounts = { requests: 0, tokens: amount, 'output-tokens': amount }
    this.#number += 1
    const asked = { id: `${id}${BOUGHT}${this.#number}`, amounts, context, isFurther: true }
    const bound = this.#limits.filter(({ isSpent }) => !isSpent).map((limit) => limit.bound)
    const decision = await admission.admit({ ...asked, bound, subject: this.#subject })
    const { reservation } = decision
    if (reservation === undefined) return decision
    if (!decision.admitted || this.#isClosed) {
      settler.release(reservation)
      return this.#isClosed ? undefined : decision
    }
    this.#purchases.push({ reservation, extendedAtMs: this.#walk.clock() })
    return decision
  }

  /** Where the counters could not be reached, and the limits let calls pass, there are no statuses. */
  #take({ statuses }: Decision, amount: number): number {
    for (const limit of this.#limits) {
      if (limit.isSpent) continue
      const status = statuses.find(({ bound }) => bound === limit.bound)
      if (status !== undefined) limit.status = status
      limit.isSpent = limit.effect !== 'refuse' && status?.tripped === true
      limit.reserved += amount
      limit.held += limit.isSpent ? Math.min(amount, leftBefore(status!, amount)) : amount
    }
    return amount
  }

  /** Takes note of a refusal. Returns what the limits would have given. */
  #note(statuses: readonly LimitStatus[], asked: number): number {
    for (const limit of this.#limits) {
      limit.status = statuses.find(({ bound }) => bound === limit.bound) ?? limit.status
      // Where it has reserved more than there was, others can have given something back since.
      if (!limit.isSpent) limit.held = Math.max(limit.held, withinQuota(limit.reserved, limit.status))
    }
    return this.#most(({ status: { tripped, remaining } }) => (tripped ? (remaining ?? asked) : asked))
  }

  #roomOf({ bound, held }: Cutting): number {
    return Math.max(0, held - (bound.limit.definition.unit === 'tokens' ? this.#inputTokens : 0))
  }

  #withWatching(least: number, of: (limit: Cutting) => number): number {
    let found = least
    for (const limit of this.#limits) {
      if (limit.effect !== 'refuse' && !limit.isSpent) found = Math.min(found, of(limit))
    }
    return found
  }

  /** The least of limits that must all have room; of alternatives the one that has most. */
  #most(of: (limit: Cutting) => number): number {
    const least = (alternative: number): number => {
      let found = Infinity
      for (const limit of this.#limits) {
        if (limit.effect === 'refuse' && limit.bound.alternative === alternative) found = Math.min(found, of(limit))
      }
      return found
    }
    const always = least(0)
    return this.#alternatives.size === 0 ? always : Math.min(always, Math.max(...[...this.#alternatives].map(least)))
  }
}

/** What of a reservation is within the quota. */
function withinQuota(reserved: number, { used, quota }: LimitStatus): number {
  return Math.max(0, reserved - Math.max(0, used - (quota ?? Infinity)))
}

/** What a limit that lets everything pass had left before it was charged so much. */
function leftBefore({ quota, used }: LimitStatus, amount: number): number {
  return Math.max(0, (quota ?? Infinity) - (used - amount))
}
