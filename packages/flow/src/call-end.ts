import type { PlanSet, Usage, UsageFlag, UsageOutcome } from '@tallygate/core'
import type { CallDescription, CallTelemetry } from '@tallygate/telemetry'
import type { AnswerFacts } from './answer.ts'
import { actualAmounts, callEntry, entryCharges, recordedUsage, usedNothing, type RecordedUsage } from './call-entry.ts'
import type { CallHolds } from './call-holds.ts'
import type { CallIdentity } from './call-identity.ts'
import { learnFrom, outputKey } from './call-learning.ts'
import type { CallPricing } from './call-pricing.ts'
import type { CallProvider } from './call-provider.ts'
import { meteredUsage } from './metered-usage.ts'
import type { MeteredRequest } from './metered-request.ts'
import type { Walk } from './walk.ts'

/** What the end of a call goes by: made along its way. */
export interface CallParts {
  readonly identity: CallIdentity
  readonly provider: CallProvider
  readonly request: MeteredRequest
  readonly pricing: CallPricing
  readonly holds: CallHolds
  readonly telemetry: CallTelemetry
}

/** The end of one call: what it has used, its entry, its settlement, and what is learned of it. */
export class CallEnd {
  /** What a handler has told; it goes before what is metered. */
  recorded: RecordedUsage | undefined
  /** Whether the call is written to the ledger. */
  isWritten = false
  /** When it was last decided on. */
  decidedAtMs: number | undefined
  readonly #walk: Walk
  readonly #parts: CallParts
  readonly #startedAtMs: number

  constructor(walk: Walk, parts: CallParts) {
    this.#walk = walk
    this.#parts = parts
    this.#startedAtMs = walk.clock()
  }

  /** What was used: as the handler says, as the provider says, or as counted. An error of the provider's used nothing. */
  usage(answer: AnswerFacts, outcome: UsageOutcome): Promise<Usage> | Usage | undefined {
    if (this.recorded !== undefined) return recordedUsage(this.recorded)
    const { request, identity, provider } = this.#parts
    if (!provider.isMetered || usedNothing(answer, outcome)) return undefined
    const isComplete = outcome === 'complete' && answer.cutFor === undefined
    return meteredUsage(this.#walk, request, answer, {
      isComplete,
      tenant: identity.tenant,
      provider: provider.learnsAs,
    })
  }

  /** Writes the entry, then settles: durable first. */
  async close(
    answer: AnswerFacts,
    outcome: UsageOutcome,
    plans: PlanSet,
    description: CallDescription,
    found: Usage | undefined,
  ): Promise<void> {
    const { admission, writer } = this.#walk
    const { request, identity, holds, telemetry } = this.#parts
    const metered = this.#flagged(found, answer)
    const ended = { status: answer.status, outcome }
    const reservations = holds.ended(ended)
    const [first] = reservations
    const atMs = Math.floor(first === undefined ? admission.nowMs() : admission.settlementTime(first))
    const admittedAtMs = Math.floor(this.decidedAtMs ?? atMs)
    const responseModel = this.recorded?.responseModel ?? answer.reading.model
    const usage = metered && this.#priced(metered, description, responseModel, admittedAtMs)
    const actual = actualAmounts(usage, request.match !== undefined && usedNothing(answer, outcome))
    holds.watch(actual)
    if (this.isWritten) {
      const entry = callEntry(description, {
        tenant: identity.tenant,
        plans,
        answer,
        outcome,
        usage,
        responseModel,
        atMs,
        admittedAtMs,
        durationMs: this.#walk.clock() - this.#startedAtMs,
        charges: reservations.flatMap((reservation) => entryCharges(reservation, actual)),
        isOverage: holds.isOverage,
        withoutStore: holds.withoutStore,
      })
      await writer.write(entry)
      telemetry.recorded(description, entry)
    } else telemetry.ended()
    if (outcome === 'complete' && usage !== undefined) this.#learn(answer, usage)
    holds.settle(actual, atMs, ended)
  }

  /** Marks what was done to the call in its caller's place. */
  #flagged(usage: Usage | undefined, { cutFor }: AnswerFacts): Usage | undefined {
    const { telemetry } = this.#walk
    for (const limit of cutFor ?? []) telemetry.streamCut(limit, 'refuse')
    const lowered = this.#parts.request.loweredCeiling === undefined ? usage : flagged(usage, 'ceiling-lowered')
    return cutFor === undefined ? lowered : flagged(lowered, 'cut-at-quota')
  }

  #priced(usage: Usage, { provider, model }: CallDescription, responseModel: string | undefined, atMs: number): Usage {
    return this.#parts.pricing.priced(usage, { provider, model, responseModel, atMs })
  }

  /** Learns from what was metered to its end, and not only told. */
  #learn(answer: AnswerFacts, usage: Usage): void {
    const { request, identity, provider, holds } = this.#parts
    const { match, facts } = request
    if (match === undefined || this.recorded !== undefined || answer.cutFor !== undefined) return
    const { operation } = match.adapter
    const key = outputKey(identity.subject, { provider: provider.learnsAs, operation, model: facts.model })
    learnFrom(this.#walk, { request, answer, usage, key, counted: holds.counted })
  }
}

function flagged(usage: Usage | undefined, flag: UsageFlag): Usage | undefined {
  return usage && { ...usage, flags: [...(usage.flags ?? []), flag] }
}
