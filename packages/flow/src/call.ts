import {
  NO_PLANS,
  type BoundLimit,
  type Dimensions,
  type LimitStatus,
  type PlanSet,
  type Refused,
  type Subject,
  type Usage,
  type UsageOutcome,
} from '@tallygate/core'
import type { CredentialSource } from '@tallygate/identity'
import {
  dialectOf,
  isFreeRoute,
  KeptOutput,
  pathOf,
  type Dialect,
  type ProblemKind,
  type Raw,
  type StreamFraming,
} from '@tallygate/metering'
import type { CallDescription, CallTelemetry } from '@tallygate/telemetry'
import { Answer, type AnswerFacts, type AnswerSink } from './answer.ts'
import { attemptId } from './attempt-id.ts'
import type { HoldRequest } from './call-decision.ts'
import { CallEnd } from './call-end.ts'
import type { RecordedUsage } from './call-entry.ts'
import { CallHolds } from './call-holds.ts'
import { CallIdentity, isReportable, type IdentityRefusal } from './call-identity.ts'
import { outputKey } from './call-learning.ts'
import { CallPricing } from './call-pricing.ts'
import { CallProvider } from './call-provider.ts'
import type { CallerRules } from './caller-rules.ts'
import { denialOf, problemDenial, wantsProblem, type Denial, type DenialContext } from './denial.ts'
import { writeContext } from './hold-context.ts'
import { LiveCut, type CutTarget } from './live-cut.ts'
import { MeteredRequest, type CallRequest } from './metered-request.ts'
import { rateLimitFields, type Fields, type RateLimitStyle } from './rate-limit-fields.ts'
import { BODY_FAULTS, UNAUTHENTICATED } from './refusal-texts.ts'
import { Session, type SessionSink } from './session.ts'
import { SparedAttempt } from './spared-retries.ts'
import type { Walk } from './walk.ts'
import { watchStream } from './watch-stream.ts'

/** Tells the caller how many output tokens each answer may have, where that was lowered. */
const LOWERED_CEILING_FIELD = 'x-tallygate-max-tokens'
/** HTTP's word for that a connection becomes a WebSocket. */
const SWITCHING = 101
const UNANSWERED: AnswerFacts = {
  status: undefined,
  framing: 'opaque',
  reading: { reported: undefined, coversOutput: false, model: undefined, isPending: false },
  kept: new KeptOutput(),
  isStream: false,
  providerRequestId: undefined,
}

/**
 * One attempt on its walk: identify, resolve the plan, read, admit, forward, meter, record, settle. Each step is a method;
 * a host calls those that it wants, in this order. However the call ends, {@link finish} counts once.
 */
export class Call {
  readonly attemptId = attemptId()
  readonly request: CallRequest
  /** What metering knows of the request. */
  readonly metered: MeteredRequest
  readonly dialect: Dialect
  readonly telemetry: CallTelemetry
  /** Where the list of active calls has it; -1: nowhere. */
  place = -1
  readonly #walk: Walk
  readonly #rules: CallerRules
  readonly #pricing: CallPricing
  readonly #holds: CallHolds
  readonly #identity: CallIdentity
  readonly #provider: CallProvider
  readonly #end: CallEnd
  #styles: readonly RateLimitStyle[]
  #plans: PlanSet = NO_PLANS
  #used: Usage | undefined | Promise<Usage | undefined>
  /** Absent where no attempt is spared. */
  readonly #retry: SparedAttempt | undefined
  /** Of a session; answers bring it by themselves. */
  #providerRequestId: string | undefined
  #outcome: Promise<void> | undefined
  #doubt: { readonly kind: ProblemKind; readonly message: string } | undefined

  constructor(walk: Walk, request: CallRequest) {
    this.#walk = walk
    this.#rules = walk.rules
    this.request = request
    this.metered = new MeteredRequest(request)
    this.#identity = new CallIdentity(walk, this.#rules, request, this.attemptId)
    this.#pricing = new CallPricing(this.#rules.prices, this.metered, walk.unitEstimates)
    this.#provider = new CallProvider(this.metered, this.#pricing)
    this.#holds = new CallHolds(walk, this.metered, this.#pricing)
    const asked = wantsProblem(request.headers) ? 'problem' : this.metered.match?.adapter.dialect
    this.dialect = asked ?? dialectOf(request.url)
    this.telemetry = walk.telemetry.start(this.metered.match !== undefined)
    this.#end = new CallEnd(walk, {
      identity: this.#identity,
      provider: this.#provider,
      request: this.metered,
      pricing: this.#pricing,
      holds: this.#holds,
      telemetry: this.telemetry,
    })
    this.#styles = walk.styles
    this.#retry = walk.sparedRetries && new SparedAttempt(walk.sparedRetries)
  }

  /** Whom the call is attributed to; `undefined` before it was identified. */
  get subject(): Subject | undefined {
    return this.#identity.subject
  }

  /** Where the credential stood; `undefined` where there was none, or a function found it. */
  get credentialSource(): CredentialSource | undefined {
    return this.#identity.credentialSource
  }

  /** Whether a key was presented that nobody has handed out: one that is malformed, unknown or disabled. */
  get hasUnknownKey(): boolean {
    return this.#identity.hasUnknownKey
  }

  get plans(): PlanSet {
    return this.#plans
  }

  /** Whether it was recorded, refused or given back. */
  get isOver(): boolean {
    return this.#outcome !== undefined
  }

  /** Where the limits that were decided on stand, as of the decision. */
  get statuses(): readonly LimitStatus[] {
    return this.#holds.statuses
  }

  /** Limits that were not decided on yet: mounted twice, a middleware counts once. */
  undecided(bound: readonly BoundLimit[]): readonly BoundLimit[] {
    const decided = this.#holds.statuses
    if (decided.length === 0) return bound
    return bound.filter(({ counter }) => !decided.some((status) => status.bound.counter.key === counter.key))
  }

  /** Whether answers are looked into, for what they used. */
  get meters(): boolean {
    return this.#provider.isMetered && this.metered.match !== undefined
  }

  /** Whether this is a route of a provider's that nobody is charged for, such as a list of models: no call to limit. */
  get isFree(): boolean {
    const { method, url } = this.request
    return this.metered.match === undefined && dialectOf(url) !== 'problem' && isFreeRoute(method, url)
  }

  /** The logical call: attempts of a subject with the same `Idempotency-Key` share it, and so do the calls of a session. */
  get callId(): string {
    return this.#identity.callId
  }

  /** The run that the call is part of, if its header says so in characters that can stand in a report. */
  get parentId(): string | undefined {
    return this.#identity.parentId
  }

  /** Tells who calls by the credential. Returns the denial where nobody may. A promise only where that takes time. */
  identify(): Denial | undefined | Promise<Denial | undefined> {
    const refusal = this.#identity.identify(this.dialect)
    return refusal instanceof Promise ? refusal.then((late) => this.#refuseCaller(late)) : this.#refuseCaller(refusal)
  }

  #refuseCaller(reason: IdentityRefusal | undefined): Denial | undefined {
    return reason && this.problem('unauthenticated', UNAUTHENTICATED[reason])
  }

  /** Takes a subject that the host vouches for. */
  identifyAs(subject: Subject): void {
    this.#identity.identifyAs(subject)
  }

  /** Finds the plans of the subject, or takes those that are given. A promise only where that takes time. */
  resolvePlans(plans?: PlanSet): undefined | Promise<void> {
    const { subject } = this
    const found = plans ?? (subject === undefined ? NO_PLANS : this.#rules.planSource.plansOf(subject))
    if (found instanceof Promise) {
      return found.then((late) => {
        this.#plans = late
      })
    }
    this.#plans = found
    return undefined
  }

  /** Reads what the request says of itself. Returns the denial where it can't be what it says. */
  read(body: Buffer): Denial | undefined {
    if (this.metered.match === undefined || this.metered.isSession) return undefined
    const fault = this.metered.read(body)
    return fault === undefined ? undefined : this.unreadable('invalid-request', BODY_FAULTS[fault])
  }

  /**
   * What becomes of a request that can't be read: it is refused, unless only a short path says that it is a call. Then it
   * is taken for one to the host itself, and passes unmetered; see {@link doubt}.
   */
  unreadable(kind: ProblemKind, message: string): Denial | undefined {
    if (!this.metered.isDoubtful) return this.problem(kind, message)
    this.metered.disown()
    this.#doubt = { kind, message }
    return undefined
  }

  /** Why it was not read, of a request that passed unmetered: for whoever would forward it to a provider after all. */
  get doubt(): { readonly kind: ProblemKind; readonly message: string } | undefined {
    return this.#doubt
  }

  /** As {@link read}, for a body that the host has parsed and whose bytes are gone. */
  readParsed(value: Raw): Denial | undefined {
    if (this.metered.match === undefined || this.metered.isSession) return undefined
    const fault = this.metered.readParsed(value)
    return fault === undefined ? undefined : this.unreadable('invalid-request', BODY_FAULTS[fault])
  }

  /**
   * Decides on the call under limits, and holds what it may use. Returns the denial where they refuse; then whatever was
   * held before is given back.
   *
   * @param hold Default: the limits of the caller's plans.
   */
  async admit(
    hold: HoldRequest = { bound: this.bind(this.#plans), subject: this.subject?.id },
  ): Promise<Denial | undefined> {
    // The caller has hung up: nobody waits for a decision.
    if (this.#outcome !== undefined) return undefined
    if (this.#walk.isBlocked)
      return this.problem('unavailable', 'Usage can not be recorded right now. Try again in a moment.')
    const unpriced = this.#pricing.refusal(hold.bound, this.#walk.admission.nowMs())
    if (unpriced !== undefined) return this.problem('unpriced-model', unpriced)
    this.#lookForFailure()
    const request = {
      ...hold,
      isSparedRetry: this.#retry?.isSpared === true,
      tenant: this.#identity.tenant,
      provider: this.#provider.learnsAs,
      learnedOutput: this.#learnedOutput(),
    }
    const decision = await this.#holds.admit(this.attemptId, request, () => this.#context(hold.bound))
    // The caller hung up while the decision was under way.
    if (this.#outcome !== undefined) this.#holds.release()
    this.telemetry.decided(decision)
    this.#end.decidedAtMs = decision.atMs
    if (!decision.admitted) return this.#refuse(decision)
    if (!this.#holds.isEmpty) this.#walk.began(this)
    return undefined
  }

  #lookForFailure(): void {
    if (this.#retry === undefined) return
    const { callId } = this
    // Attempts that nothing connects are each a call of their own.
    if (callId !== this.attemptId) this.#retry.look(callId, this.request.url, this.metered.body)
  }

  /** What was learned of the output of such calls, where the decision goes by it. */
  #learnedOutput(): number | undefined {
    const { learned, outputEstimate } = this.#walk
    const { match, facts } = this.metered
    if (match === undefined || (facts.outputCeiling !== undefined && outputEstimate === 'ceiling')) return undefined
    const { operation } = match.adapter
    const key = outputKey(this.subject, { provider: this.#provider.learnsAs, operation, model: facts.model })
    return learned.outputs.estimate(key, facts.answers)
  }

  /** Limits of plans for this call, bound to the counters of a partition. */
  bind(plans: PlanSet, dimensions: Dimensions = this.#identity.dimensions): readonly BoundLimit[] {
    if (plans.plans.length === 0) return []
    return this.#walk.limits.of(plans, dimensions, {
      model: this.metered.facts.model,
      service: dimensions['service'],
      route: pathOf(this.request.url),
    })
  }

  /**
   * Takes note of who serves the call; best before it is read.
   *
   * @param provider The name that reports and price books have for it.
   * @param host Where it is, which tells its ways where that name is of the operator's own.
   */
  servedBy(provider: string | undefined, host?: string): void {
    this.#provider.servedBy(provider, host)
  }

  /**
   * From now on the answer is looked into for what it used.
   *
   * @param provider Its name, where that is not the one of the dialect.
   * @param host As of {@link servedBy}.
   */
  meter(provider?: string, host?: string): void {
    this.#provider.servedBy(provider, host)
    this.#provider.meter()
  }

  /** Tells by its host who serves the call, where nobody has named the provider, or by a name of the operator's own. */
  servedAt(host: string): void {
    this.#provider.servedAt(host)
  }

  /** From now on the call is written to the ledger when it ends; draining waits for it. */
  recordAtEnd(): void {
    this.#end.isWritten = true
    if (this.#outcome === undefined) this.#walk.began(this)
  }

  /**
   * The bytes to forward in place of the caller's, where the ceiling was lowered, or an event stream must be asked for its
   * usage; `undefined` where the caller's own are to go on. Call it once, when the request is about to be forwarded.
   */
  bodyToForward(): Buffer | undefined {
    const changed = this.metered.changed(this.meters && this.#walk.injectsUsage)
    this.metered.forwarded()
    return changed
  }

  /** An answer on its way to the caller. */
  answer(sink: AnswerSink): Answer {
    return new Answer(this, sink)
  }

  /** A session over WebSocket, whose first call this is; its provider has agreed to it. */
  session(sink: SessionSink, providerRequestId?: string | string[]): Session {
    if (isReportable(providerRequestId)) this.#providerRequestId = providerRequestId
    return new Session(this.#walk, this, sink)
  }

  /**
   * The call that comes after this one in its session: of the same caller, under the same plans. It counts no request, and
   * takes over what is held as long as the session lasts. Let it be admitted with {@link admitFollowing}.
   */
  following(): Call {
    const next = new Call(this.#walk, this.request)
    next.#identity.follow(this.#identity)
    next.#pricing.isLater = true
    next.#plans = this.#plans
    next.#provider.follow(this.#provider)
    next.#styles = this.#styles
    next.#providerRequestId = this.#providerRequestId
    next.metered.learnModel(this.metered.facts.model)
    this.#holds.handOver(next.#holds)
    if (this.#end.isWritten) next.recordAtEnd()
    return next
  }

  /** Decides on a later call of a session, under the limits that the calls before it were decided under. */
  async admitFollowing(): Promise<Denial | undefined> {
    for (const hold of [{ bound: [] }, ...this.#holds.inherited]) {
      const denial = await this.admit(hold)
      if (denial !== undefined) return denial
    }
    return undefined
  }

  /**
   * Takes the model that a session names after it was opened. Returns the denial where its limits have no room, or count
   * what calls cost and it has no price.
   */
  async learnModel(model: string): Promise<Denial | undefined> {
    if (!this.metered.learnModel(model)) return undefined
    const unpriced = this.#pricing.refusal(this.#holds.asked, this.#walk.admission.nowMs())
    if (unpriced !== undefined) return this.problem('unpriced-model', unpriced)
    if (!this.#plans.plans.some(({ dependsOn }) => dependsOn.model)) return undefined
    const bound = this.undecided(this.bind(this.#plans))
    return bound.length === 0 ? undefined : this.admit({ bound, subject: this.subject?.id })
  }

  /** As {@link finish}, for a call of a session. */
  finishOfSession(outcome: UsageOutcome, reading: AnswerFacts['reading']): Promise<void> {
    const providerRequestId = this.#providerRequestId
    return this.finish(outcome, { ...UNANSWERED, status: SWITCHING, reading, isStream: true, providerRequestId })
  }

  /** What the call has used, as its entry says; for a call that is being finished. A count takes at most its deadline. */
  async used(): Promise<Usage | undefined> {
    return this.#used
  }

  /** Watches over a stream of this call's; `undefined` where no limit cuts it. */
  watchStream(framing: StreamFraming, target: CutTarget): LiveCut | undefined {
    if (this.metered.match?.adapter.counts !== 'text' || this.#outcome !== undefined) return undefined
    const allowance = this.#holds.streamAllowance()
    if (allowance === undefined) return undefined
    return watchStream(this.#walk, this, { allowance, framing, target, provider: this.#provider.learnsAs })
  }

  /** Tells what the call has used, for a handler that knows; it goes before what is metered. The last word counts. */
  record(usage: RecordedUsage): void {
    this.#end.recorded = usage
  }

  /** Says where limits stand in other fields than the quota's own. */
  useStyles(styles: readonly RateLimitStyle[]): void {
    this.#styles = styles
  }

  /** RateLimit fields of the limits that were decided on. */
  rateLimitFields(): Fields {
    const fields = rateLimitFields(this.#holds.statuses, this.#styles, this.#walk.admission.nowMs())
    const { loweredCeiling } = this.metered
    return loweredCeiling === undefined ? fields : { ...fields, [LOWERED_CEILING_FIELD]: String(loweredCeiling) }
  }

  /** An answer of our own in place of the provider's. The call goes no further: whatever is held is given back. */
  problem(kind: ProblemKind, message: string): Denial {
    return this.#deny(problemDenial(kind, message, this.#denialContext()))
  }

  /** As {@link problem}, after the request was sent and no answer came: the attempt counts. */
  async brokeOff(kind: ProblemKind, message: string): Promise<Denial> {
    await this.finish('failed', UNANSWERED)
    return problemDenial(kind, message, this.#denialContext())
  }

  /** As {@link finish}, for an answer that nobody looked into. */
  finishUnmetered(outcome: 'complete' | 'aborted', status: number): Promise<void> {
    return this.finish(outcome, { ...UNANSWERED, status })
  }

  /** Keeps what is held from expiring while the call runs. */
  async extend(nowMs: number): Promise<void> {
    await this.#holds.extend(nowMs)
  }

  /** Gives back whatever is held, as if the call had never been, and records nothing. */
  release(): void {
    this.#giveBack()
    this.telemetry.ended()
  }

  /**
   * Records and settles the call, once. Resolves when its entry is in the ledger, or when the time that an answer's end
   * may wait for it is over; rejects where the end must not leave then.
   */
  finish(outcome: UsageOutcome, answer: AnswerFacts): Promise<void> {
    this.#outcome ??= this.#finish(outcome, answer)
    return this.#outcome
  }

  async #finish(ended: UsageOutcome, answer: AnswerFacts): Promise<void> {
    if (this.metered.match === undefined && this.#end.recorded === undefined && this.#holds.isEmpty) {
      this.#walk.ended(this)
      this.telemetry.ended()
      return
    }
    const outcome = ended === 'complete' && (answer.status ?? 0) >= 400 ? 'failed' : ended
    if (outcome === 'failed') this.#retry?.failed()
    const usage = this.#end.usage(answer, outcome)
    this.#used = usage
    // A stream whose figures are there needs no turn of the event loop more than its entry.
    const written =
      usage instanceof Promise
        ? usage.then((counted) => this.#close(answer, outcome, counted))
        : this.#close(answer, outcome, usage)
    await this.#walk.endDelay.wait(written)
  }

  async #close(answer: AnswerFacts, outcome: UsageOutcome, usage: Usage | undefined): Promise<void> {
    await this.#end.close(answer, outcome, this.#plans, this.#describe(), usage)
    this.#walk.ended(this)
  }

  #refuse(decision: Refused): Denial {
    return this.#deny(denialOf(decision, this.#denialContext()))
  }

  #deny(denial: Denial): Denial {
    this.#giveBack()
    this.telemetry.denied(this.#describe(), denial.status, denial.kind)
    return denial
  }

  #giveBack(): void {
    this.#retry?.givenBack()
    this.#outcome ??= Promise.resolve()
    this.#holds.release()
    this.#walk.ended(this)
  }

  #denialContext(): DenialContext {
    return {
      requestId: this.attemptId,
      dialect: this.dialect,
      styles: this.#styles,
      options: this.#walk.denials,
      currency: this.#pricing.currency,
    }
  }

  /** What the entry of this call will need if its process dies before it is settled. */
  #context(bound: readonly BoundLimit[]): string {
    const { tenant = '', id = '', dimensions = {} } = this.subject ?? {}
    const { provider, operation } = this.metered.match?.adapter ?? {}
    const { callId, plans } = this
    const { model } = this.metered.facts
    const caller = { tenant, subject: id, dimensions }
    return writeContext({ ...caller, callId, provider, operation, model, plans: plans.plans }, bound)
  }

  #describe(): CallDescription {
    const { adapter } = this.metered.match ?? {}
    const { recorded } = this.#end
    return {
      attemptId: this.attemptId,
      callId: this.callId,
      parentId: this.parentId,
      operation: recorded?.operation ?? adapter?.operation,
      provider: recorded?.provider ?? this.#provider.name ?? adapter?.provider,
      model: recorded?.model ?? this.metered.facts.model,
      subject: this.subject,
    }
  }
}
