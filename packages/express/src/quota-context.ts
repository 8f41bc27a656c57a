import { QuotaError, type LimitStatus, type PlanSet, type Subject } from '@tallygate/core'
import type { Call, CallRequest, Quota, RecordedUsage } from '@tallygate/flow'
import type { Request, Response } from 'express'

declare global {
  namespace Express {
    interface Request {
      /** What the quota middlewares know of this request; absent where none has run. */
      quota?: QuotaContext
      /** The bytes of the body, where `keepRawBody` has kept them. */
      rawBody?: Buffer
    }
  }
}

/** What is known of a request so far, and a handler's way to say what it used. */
export class QuotaContext {
  /** The walk of this request, for middlewares of this package. */
  readonly call: Call
  readonly quota: Quota
  #isAnswerClaimed = false
  #hasPassed = false

  constructor(quota: Quota, call: Call) {
    this.quota = quota
    this.call = call
  }

  /** Id of this attempt: of its ledger entry, and of the answer's `x-request-id`. */
  get attemptId(): string {
    return this.call.attemptId
  }

  /** Id of the logical call, which attempts with the same `Idempotency-Key` share. */
  get callId(): string {
    return this.call.callId
  }

  /** Whom the call is attributed to. Set by `identifyKey`. */
  get subject(): Subject | undefined {
    return this.call.subject
  }

  /** Set by `resolvePlan`. */
  get plans(): PlanSet {
    return this.call.plans
  }

  /** The model that the request asks for. Set by `estimateUsage`. */
  get model(): string | undefined {
    return this.call.metered.facts.model
  }

  /** Output tokens that each answer may have at most, where the plan has lowered what the caller asked for. */
  get loweredCeiling(): number | undefined {
    return this.call.metered.loweredCeiling
  }

  /** Where limits stand, as of the decision. Set by `enforceLimits` and the limiters. */
  get statuses(): readonly LimitStatus[] {
    return this.call.statuses
  }

  /** Tells what the call has used, before the answer ends. It goes before what is metered; the last word counts. */
  record(usage: RecordedUsage): void {
    this.call.record(usage)
  }

  /** Whether a middleware has let the request go on to what it calls. */
  get hasPassed(): boolean {
    return this.#hasPassed
  }

  pass(): void {
    this.#hasPassed = true
  }

  /** True the first time: then the end of the answer is the asker's to look after. */
  claimAnswer(): boolean {
    const isFirst = !this.#isAnswerClaimed
    this.#isAnswerClaimed = true
    return isFirst
  }
}

/** Where the context is found whatever property it is kept in. */
const LATEST = Symbol('tallygate context')

/** The context that the last quota middleware has begun; `undefined` where none has run. */
export function contextIn(req: Request): QuotaContext | undefined {
  return (req as unknown as Record<symbol, QuotaContext | undefined>)[LATEST]
}

/** A request as plain values; its address is worked out only when it is asked for. */
class ExpressRequest implements CallRequest {
  readonly method: string
  readonly url: string
  readonly originalUrl: string
  readonly headers: Request['headers']
  readonly #req: Request

  constructor(req: Request) {
    this.method = req.method
    this.url = req.url
    this.originalUrl = req.originalUrl
    this.headers = req.headers
    this.#req = req
  }

  get connection(): object {
    return this.#req.socket
  }

  get address(): string | undefined {
    return this.#req.ip
  }
}

/** The context of a request, begun by the first quota middleware that it meets. */
export function contextOf(req: Request, res: Response, quota: Quota, property = 'quota'): QuotaContext {
  const properties = req as unknown as Record<string | symbol, QuotaContext | undefined>
  const known = properties[property]
  if (known !== undefined) return known
  const call = quota.begin(new ExpressRequest(req))
  const context = new QuotaContext(quota, call)
  properties[property] = context
  properties[LATEST] = context
  res.once('close', () => endUnhooked(context, res))
  return context
}

/** Settles what limiters hold for an answer that is not metered. A caller who hung up before it went on used nothing. */
function endUnhooked(context: QuotaContext, res: Response): void {
  if (!context.claimAnswer()) return
  if (!context.hasPassed) return context.call.release()
  context.call.finishUnmetered(res.writableFinished ? 'complete' : 'aborted', res.statusCode).catch(() => {})
}

/** Reads what an earlier middleware must have set, or tells which one is missing. */
export function required<T>(value: T | undefined, field: string, setBy: string): T {
  if (value === undefined) {
    throw new QuotaError(
      'ERR_QUOTA_MIDDLEWARE_ORDER',
      `req.quota.${field} is not set: use ${setBy}() before this middleware`,
    )
  }
  return value
}
