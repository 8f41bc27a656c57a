import {
  Admission,
  assertMembers,
  bindLimits,
  BY_LIMITER,
  explain,
  MemoryCounterStore,
  MemoryLedger,
  MemoryOutbox,
  monotonicClock,
  QuotaError,
  type Amounts,
  type BoundLimit,
  type CallFacts,
  type CompiledPlan,
  type CounterStore,
  type Entry,
  type Explanation,
  type Ledger,
  type LimitStatus,
  type PlanSet,
  type Subject,
} from '@tallygate/core'
import { pepperFromFile, pepperOf, type Identification, type IdentifyRequest, type Pepper } from '@tallygate/identity'
import { TokenCounter } from '@tallygate/metering'
import { Telemetry } from '@tallygate/telemetry'
import { ActiveCalls } from './active-calls.ts'
import { Adjustments, type AdjustOptions, type RefundOptions } from './adjustments.ts'
import { BoundLimits } from './bound-limits.ts'
import { Call } from './call.ts'
import { assertCountable, assertPriced, CallerRules, REPLACEABLE, type CallerOptions } from './caller-rules.ts'
import { CountSampler } from './count-sampler.ts'
import { DriftWatch } from './drift-watch.ts'
import { driftOf, type Drift } from './drift.ts'
import { EndDelay } from './end-delay.ts'
import { EntryWriter } from './entry-writer.ts'
import { GuardedCounterStore } from './guarded-counter-store.ts'
import type { HoldContext } from './hold-context.ts'
import { KnownLimits } from './known-limits.ts'
import { LearnedEstimates } from './learned-estimates.ts'
import { consoleLogger, type Logger } from './logger.ts'
import type { CallRequest } from './metered-request.ts'
import { notReadyBecause, type NotReadyReason } from './not-ready.ts'
import { checkQuotaOptions, type QuotaOptions } from './quota-options.ts'
import { Settler } from './settler.ts'
import { SparedRetries } from './spared-retries.ts'
import { Sweeper } from './sweeper.ts'
import type { Walk } from './walk.ts'

/** While draining, stores that took nothing are asked again after this time. */
const AGAIN_AFTER_MS = 250
/** Windows from this length on are not compared with the ledger by themselves: theirs are histories to be read. */
const LONG_MS = 90_000_000

/** What hosts and report routers share: one set of plans, counters and books. Made by {@link createQuota}. */
export class Quota {
  readonly ledger: Ledger
  readonly logger: Logger
  readonly #walk: Walk
  readonly #options: QuotaOptions
  readonly #rulesFor: (options: QuotaOptions) => CallerRules
  #rules: CallerRules
  readonly #active: ActiveCalls
  readonly #store: CounterStore
  /** Around the store that was given. */
  readonly #guard: GuardedCounterStore | undefined
  readonly #slotOwner: readonly string[]
  readonly #closes: (() => Promise<void>)[]
  /** Plans of no caller in particular, which middlewares apply to all. */
  readonly #general = new Set<CompiledPlan>()
  /** What limiters count, by their names. */
  readonly #windows = new Map<string, string>()
  readonly #sweeper: Sweeper
  readonly #driftWatch: DriftWatch
  readonly #known: KnownLimits
  readonly #adjustments: Adjustments

  constructor(options: QuotaOptions) {
    checkQuotaOptions(options)
    const { clock = monotonicClock, logger = consoleLogger, slotOwner = ['tenant', 'key'] } = options
    const telemetry = new Telemetry(options.telemetry)
    const pepper = pepperFrom(options.pepper)
    this.logger = logger
    this.#slotOwner = slotOwner
    this.#guard = guardOf(options, telemetry, logger)
    this.#store = this.#guard ?? new MemoryCounterStore({ clock })
    this.ledger = options.ledger ?? new MemoryLedger()
    const outbox = options.outbox ?? new MemoryOutbox()
    const { holdLifetimeMs: lifetimeMs = 60_000, onFullOutbox = 'refuse' } = options
    const writer = new EntryWriter({ ledger: this.ledger, outbox, telemetry, logger })
    const beforeRead = (): Promise<void> => writer.bringIn()
    // A ledger of our own begins and ends with the counters.
    const rebuild = {
      ledger: this.ledger,
      beforeRead,
      record: (start: Entry): void => void writer.write(start),
      onRebuilt: (counters: number): void => telemetry.rebuilt(counters),
    }
    const admission = new Admission({
      store: this.#store,
      clock,
      lifetimeMs,
      ...(options.ledger === undefined ? {} : { rebuild }),
    })
    this.#options = options
    const parts = { pepper, clock, storeClock: () => admission.nowMs(), store: this.#store }
    this.#rulesFor = (changed) => new CallerRules(changed, parts)
    this.#rules = this.#rulesFor(options)
    const rules = (): CallerRules => this.#rules
    const { rebuildsFromMs } = admission
    this.#known = new KnownLimits(() => rules().planSource.plans)
    const swept = { store: this.#store, ledger: this.ledger, limits: this.#known, logger, rebuildsFromMs, beforeRead }
    this.#sweeper = new Sweeper({
      ...swept,
      nowMs: () => admission.nowMs(),
      plansOf: (caller) => this.#plansOf(caller),
      adjust: (change) => admission.adjust(change),
    })
    this.#adjustments = new Adjustments({
      admission,
      ledger: this.ledger,
      limitsOf: (subject, facts) => this.#limits(subject, facts),
    })
    const drift = async (subject: Subject): Promise<readonly Drift[]> => {
      const short = (await this.#limits(subject, 'any')).filter(({ limit }) => !limit.isAtLeast(LONG_MS))
      return driftOf(admission, this.ledger, short, subject.id)
    }
    this.#driftWatch = new DriftWatch({ drift, telemetry, logger })
    // What processes that are gone held there has to be written down, whether or not somebody calls.
    if (options.store !== undefined) this.#sweeper.start()
    const active = new ActiveCalls(clock, logger, lifetimeMs)
    this.#active = active
    this.#closes = [options.store, options.ledger].map((given, index) => async () => {
      if (given === undefined) await [this.#store, this.ledger][index]!.close()
    })
    const counter = new TokenCounter()
    const learned = new LearnedEstimates(options.calibrationStore, logger)
    const { sampleCounts = 'when-loaded', outputEstimate = 'ceiling' } = options
    this.#walk = {
      admission,
      clock,
      counter,
      denials: options.denials ?? {},
      injectsUsage: options.injectUsage !== 'never',
      learned,
      keepsRawUsage: options.keepRawUsage === true,
      limits: new BoundLimits(slotOwner),
      outputEstimate,
      parentHeader: (options.parentHeader ?? 'x-tallygate-parent').toLowerCase(),
      pepper,
      get rules() {
        return rules()
      },
      sessions: new Set(),
      sampler: new CountSampler(counter, learned, sampleCounts, () => admission.nowMs()),
      settler: new Settler({ admission, telemetry, logger }),
      sparedRetries:
        options.spareRetriesMs === undefined ? undefined : new SparedRetries(options.spareRetriesMs, clock),
      styles: options.rateLimitStyles ?? ['draft-8'],
      telemetry,
      unitEstimates: options.estimates ?? {},
      writer,
      get isBlocked() {
        return onFullOutbox === 'refuse' && writer.isBlocked
      },
      began: (call) => this.#began(call),
      ended: (call) => active.delete(call),
      endDelay: new EndDelay(options.durableWithinMs ?? 20, options.onLateEntry ?? 'leave'),
    }
  }

  /** Begins the walk of a request. */
  begin(request: CallRequest): Call {
    return new Call(this.#walk, request)
  }

  /** Tells who calls, outside of any call. */
  async identify(request: IdentifyRequest): Promise<Identification> {
    return this.#rules.identifier.identify(request)
  }

  /** The subject with an id, as reports name it, for asking where its limits stand. */
  subjectOf(id: string, tenant = 'default'): Promise<Subject> {
    return this.#rules.identifier.subjectOf(id, tenant)
  }

  /** Whether keys that were not handed out are refused, and {@link subjectOf} tells which were. */
  get refusesUnregistered(): boolean {
    return this.#rules.identifier.refusesUnregistered
  }

  /**
   * Replaces who may call and under which plans, all at once. Calls under way keep what they began under; counters go by
   * the names of plans and limits, and go on. What is not given is as if {@link createQuota} had not been given it.
   *
   * @throws QuotaError as `createQuota` does; then nothing has changed.
   */
  swap(replacement: CallerOptions): void {
    assertMembers(replacement, REPLACEABLE, 'swap()')
    const kept = Object.entries(this.#options).filter(([name]) => !REPLACEABLE.some((each) => each === name))
    this.#rules = this.#rulesFor({ ...Object.fromEntries(kept), ...replacement })
  }

  /**
   * Which limits would be for a call, from where, where they stand, which one binds, and by how much each can be exceeded
   * at worst. Counts nothing.
   *
   * @param amounts What it would use; units that are absent are taken for 0, requests for 1.
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE`
   */
  async explain(subject: Subject, facts: CallFacts = {}, amounts: Amounts = {}): Promise<Explanation> {
    const { store, ledger, topology = store === undefined ? 'memory' : 'redis', nodes = 1 } = this.#options
    return explain(this.#walk.admission, {
      sets: await this.#planSets(subject),
      dimensions: subject.dimensions,
      facts: { service: subject.dimensions['service'], ...facts },
      amounts,
      ownedBy: this.#slotOwner,
      conditions: { topology, nodes, isRebuilt: ledger !== undefined && this.#store.capabilities.has('rebuild') },
    })
  }

  /** Plans of the caller of a hold whose process is gone. */
  async #plansOf({ subject: id, tenant, dimensions }: HoldContext): Promise<readonly CompiledPlan[]> {
    const subject = { ...(await this.subjectOf(id, tenant)), dimensions }
    return (await this.#rules.planSource.plansOf(subject)).plans
  }

  get #generalPlans(): PlanSet {
    const plans = [...this.#general]
    return { plans, combine: 'all', origins: plans.map(() => BY_LIMITER) }
  }

  /**
   * Takes note of the limits that a middleware applies beside the plans of callers.
   *
   * @param isGeneral They are the same for all requests of a caller, so that {@link limitsOf} can tell of them.
   * @throws QuotaError `ERR_QUOTA_CONFIG` when a limit of that name has another window: each would begin the other's anew.
   * Also for cost or credits without a price book. `ERR_QUOTA_CAPABILITY` for a window that the counter store can't count.
   */
  alsoLimits(plan: CompiledPlan, isGeneral = true): void {
    assertCountable(plan, this.#store)
    assertPriced(plan, this.#rules.prices)
    for (const { name, definition } of plan.limits) {
      const window = JSON.stringify([definition.unit, definition.window])
      const known = this.#windows.get(name)
      if (known !== undefined && known !== window) {
        throw new QuotaError(
          'ERR_QUOTA_CONFIG',
          `two limiters named ${name} count different units or windows: give one an identifier of its own`,
        )
      }
      this.#windows.set(name, window)
    }
    this.#known.add(plan)
    if (isGeneral) this.#general.add(plan)
  }

  /**
   * Where the limits of a subject stand, counting nothing.
   *
   * @param facts Of a call, to see the limits that are for it; default: those that are for any call. `notShown` are then
   * those that count by what only a call tells, such as its model.
   */
  async limitsOf(
    subject: Subject,
    facts: CallFacts | 'any' = 'any',
  ): Promise<{ nowMs: number; statuses: readonly LimitStatus[]; notShown: readonly LimitOfPlan[] }> {
    const sets = await this.#planSets(subject)
    const bound = this.#bind(sets, subject, facts)
    const { nowMs, statuses } = await this.#walk.admission.read(bound, { subject: subject.id })
    const all = facts === 'any' ? sets.flatMap(({ plans }) => plans).flatMap(limitsWithin) : []
    return { nowMs, statuses, notShown: all.filter(({ limit }) => !bound.some((each) => each.limit === limit)) }
  }

  async #limits(subject: Subject, facts: CallFacts | 'any'): Promise<readonly BoundLimit[]> {
    return this.#bind(await this.#planSets(subject), subject, facts)
  }

  #bind(sets: readonly PlanSet[], { dimensions }: Subject, facts: CallFacts | 'any'): readonly BoundLimit[] {
    return sets.flatMap((plans) => bindLimits(plans, dimensions, facts, this.#slotOwner))
  }

  async #planSets(subject: Subject): Promise<readonly PlanSet[]> {
    return [this.#generalPlans, await this.#rules.planSource.plansOf(subject)]
  }

  /** Sets back to 0 what a subject has used of a limit. The ledger keeps what it was. See {@link Adjustments.adjust}. */
  reset(subject: Subject, limit: string, options?: AdjustOptions): Promise<void> {
    return this.#adjustments.adjust('reset', subject, limit, 0, options)
  }

  /** Adds units to a subject's quota in the window that is current; of a lifetime quota, for good. */
  topUp(subject: Subject, limit: string, amount: number, options?: AdjustOptions): Promise<void> {
    return this.#adjustments.adjust('top-up', subject, limit, amount, options)
  }

  /** Gives units back that a subject has used, down to 0. */
  refund(subject: Subject, limit: string, amount: number, options?: RefundOptions): Promise<void> {
    return this.#adjustments.adjust('refund', subject, limit, amount, options)
  }

  /** What counters say of a subject's limits, and what the ledger says. See {@link driftOf}. */
  async driftOf(subject: Subject, facts: CallFacts | 'any' = 'any'): Promise<readonly Drift[]> {
    return driftOf(this.#walk.admission, this.ledger, await this.#limits(subject, facts), subject.id)
  }

  /** Whether calls can be decided and recorded: the counters answer, and entries have a place to go. */
  async isReady(): Promise<boolean> {
    return (await this.notReadyBecause()) === undefined
  }

  /** What keeps calls from being decided or recorded; `undefined` where nothing does. Never rejects. */
  notReadyBecause(): Promise<NotReadyReason | undefined> {
    return notReadyBecause(this.#walk, this.#store)
  }

  /** Calls under way, entries and settlements that wait: 0 when all is in the books. */
  get pending(): number {
    return this.#active.size + this.#walk.writer.pending + this.#walk.settler.pending
  }

  /**
   * Closes sessions over WebSocket: those in which nothing is being said at once, the others when their provider has
   * stated what was used, or after a time.
   */
  closeSessions(withinMs: number): void {
    for (const session of this.#walk.sessions) session.leave(withinMs)
  }

  /**
   * Closes sessions over WebSocket, waits for calls under way, then writes and settles what is left, again and again until
   * the time is over.
   */
  async drain(withinMs = 30_000): Promise<void> {
    const untilMs = performance.now() + withinMs
    this.closeSessions(withinMs / 2)
    await this.#active.idle(withinMs)
    for (;;) {
      await settledWithin(Promise.all([this.#walk.writer.flush(), this.#walk.settler.flush()]), untilMs)
      if (this.pending === 0 || performance.now() + AGAIN_AFTER_MS >= untilMs) return
      await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS))
    }
  }

  /** Saves what was learned of estimates now, and not within the next 30 s. Never rejects. */
  saveLearned(): Promise<void> {
    return this.#walk.learned.save()
  }

  /** Drains, and frees what this quota itself opened. Stores that were given stay open. */
  async close(withinMs?: number): Promise<void> {
    await this.drain(withinMs)
    this.#driftWatch.stop()
    await this.#sweeper.stop()
    this.#active.stop()
    this.#guard?.stop()
    await this.#walk.counter.close()
    await this.#walk.learned.close()
    for (const close of this.#closes) await close()
  }

  #began(call: Call): void {
    this.#active.add(call)
    this.#sweeper.start()
    this.#driftWatch.began(call.subject)
  }
}

/**
 * Makes a quota. Mistakes in its options throw here, and not at the first call.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` or `ERR_QUOTA_CAPABILITY`, naming what is wrong and what to do.
 */
export function createQuota(options: QuotaOptions = {}): Quota {
  return new Quota(options)
}

/** A limit, and the plan in which it stands. */
type LimitOfPlan = Pick<BoundLimit, 'plan' | 'limit'>

function limitsWithin(plan: CompiledPlan): readonly LimitOfPlan[] {
  return plan.limits.map((limit) => ({ plan, limit }))
}

async function settledWithin(work: Promise<unknown>, untilMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, Math.max(0, untilMs - performance.now()))
  await Promise.race([work, promise])
  clearTimeout(timer)
}

function pepperFrom(given: QuotaOptions['pepper']): Pepper {
  if (typeof given === 'string') return pepperOf(given)
  if (given !== undefined) return given
  const { TALLYGATE_PEPPER: text, TALLYGATE_PEPPER_FILE: file = '.tallygate/pepper' } = process.env
  return text === undefined ? pepperFromFile(file) : pepperOf(text)
}

function guardOf(
  { store, decideWithinMs }: QuotaOptions,
  telemetry: Telemetry,
  logger: Logger,
): GuardedCounterStore | undefined {
  return store === undefined ? undefined : new GuardedCounterStore({ store, telemetry, logger, decideWithinMs })
}
