import { moneyText, type LimitStatus, type Refused, type Unit } from '@tallygate/core'
import type { Headers } from '@tallygate/identity'
import { dialectOf, problemBody, type Dialect, type ProblemKind } from '@tallygate/metering'
import { rateLimitFields, type Fields, type RateLimitStyle } from './rate-limit-fields.ts'

/** An answer in place of the provider's: all that a host needs to send it. */
export interface Denial {
  readonly kind: ProblemKind
  readonly status: number
  readonly headers: Fields
  readonly body: string
  /** What is said to the caller. */
  readonly message: string
  /** Absent where the call did not get as far as a decision. */
  readonly decision?: Refused | undefined
}

export interface DenialOptions {
  /** Status for a quota whose room does not return within a minute. Default: 429. */
  readonly exhaustedStatus?: 429 | 402 | 403
  /** Status for a call that can never fit its quota. Default: 413. */
  readonly neverFitsStatus?: 413 | 400
}

/** Who is answered, and how. */
export interface DenialContext {
  readonly requestId: string
  readonly dialect: Dialect
  readonly styles: readonly RateLimitStyle[]
  readonly options: DenialOptions
  /** ISO 4217 code of what cost is counted in. Default: `USD`. */
  readonly currency?: string
  /** From 0 up to 1. Default: random, so that refused clients don't all come back at once. */
  readonly jitter?: () => number
}

/**
 * Every client library sleeps for what a `Retry-After` says up to this; above it, one of them ignores it and retries at
 * once, and another sleeps for all of it.
 */
const MOST_RETRY_AFTER_MS = 60_000
const STATUS: Readonly<Partial<Record<ProblemKind, number>>> = {
  unauthenticated: 401,
  'invalid-request': 400,
  'body-too-large': 413,
  'unsupported-media-type': 415,
  'not-found': 404,
  'unpriced-model': 403,
  unavailable: 503,
  'provider-unreachable': 502,
  'provider-timeout': 504,
  'provider-broke-off': 502,
  internal: 500,
}

/** A refused call in the caller's dialect, with headers that keep client libraries from retrying for nothing. */
export function denialOf(decision: Refused, context: DenialContext): Denial {
  if (decision.reason === 'unavailable') {
    return problemDenial(
      'unavailable',
      'The quota of this call can not be checked right now. Try again in a moment.',
      context,
    )
  }
  const { retryAtMs, atMs, statuses } = decision
  const violated = statuses
    .filter(({ tripped, bound }) => tripped && refuses(bound))
    .map(({ bound }) => bound.limit.name)
  const waitMs = retryAtMs === null ? Infinity : Math.max(0, retryAtMs - atMs)
  const fields = rateLimitFields(statuses, context.styles, atMs)
  if (decision.reason === 'never-fits') {
    const status = context.options.neverFitsStatus ?? 413
    return build(
      'too-large-for-quota',
      status,
      neverFitsMessage(decision, context),
      { ...fields, ...NO_RETRY },
      context,
      {
        violated,
        decision,
      },
    )
  }
  if (waitMs <= MOST_RETRY_AFTER_MS) {
    const { retryAfterMs, headers } = retryAfter(waitMs, context)
    return build(
      'rate-limited',
      429,
      transientMessage(decision, retryAfterMs, context),
      { ...fields, ...headers },
      context,
      {
        violated,
        decision,
        retryAfterMs,
      },
    )
  }
  const status = context.options.exhaustedStatus ?? 429
  return build('quota-exhausted', status, exhaustedMessage(decision, context), { ...fields, ...NO_RETRY }, context, {
    violated,
    decision,
  })
}

/** Anything else that we answer by ourselves. */
export function problemDenial(kind: ProblemKind, message: string, context: DenialContext): Denial {
  const headers: Record<string, string> = {}
  if (kind === 'unavailable') headers['Retry-After'] = String(1 + Math.floor((context.jitter ?? Math.random)() * 5))
  if (kind === 'unauthenticated') headers['WWW-Authenticate'] = 'Bearer'
  return build(kind, STATUS[kind] ?? 500, message, headers, context, {})
}

/** Too many requests, or too many of a kind, for a guard before any quota. */
export interface GuardRefusal {
  /** What there were too many of. When to come back is said behind it. */
  readonly message: string
  /** Milliseconds from now until there is room again. */
  readonly waitMs: number
  /** Whether the same request makes sense again then. */
  readonly retry: 'later' | 'never'
  readonly requestId: string
}

/** Answers for a guard, in the dialect of the path that was asked for. */
export function guardDenial(
  { url, headers }: { readonly url: string; readonly headers: Headers },
  { message, waitMs, retry, requestId }: GuardRefusal,
): Denial {
  const dialect = wantsProblem(headers) ? 'problem' : dialectOf(url)
  const context: DenialContext = { requestId, dialect, styles: [], options: {} }
  if (waitMs > MOST_RETRY_AFTER_MS) return build('rate-limited', 429, message, NO_RETRY, context, {})
  const { retryAfterMs, headers: after } = retryAfter(waitMs, context)
  const text = `${message} Try again in ${Math.ceil(retryAfterMs / 1_000)} s.`
  const fields = retry === 'later' ? after : { ...after, ...NO_RETRY }
  return build('rate-limited', 429, text, fields, context, { retryAfterMs })
}

/** Whether a request asks for problem documents, whatever its path. */
export function wantsProblem(headers: Headers): boolean {
  return String(headers['accept'] ?? '').includes('application/problem+json')
}

/** Up to 10 % longer, so that those who are refused together don't come back together. */
function retryAfter(
  waitMs: number,
  { jitter = Math.random }: DenialContext,
): { retryAfterMs: number; headers: Fields } {
  const retryAfterMs = Math.min(MOST_RETRY_AFTER_MS, Math.ceil(Math.max(1, waitMs) * (1 + jitter() / 10)))
  const seconds = String(Math.ceil(retryAfterMs / 1_000))
  return { retryAfterMs, headers: { 'Retry-After': seconds, 'retry-after-ms': String(retryAfterMs) } }
}

const NO_RETRY = { 'x-should-retry': 'false' }

function refuses({ limit }: Refused['statuses'][number]['bound']): boolean {
  return limit.definition.mode === 'enforce' && limit.definition.onTrip === 'refuse'
}

interface Occurrence {
  readonly violated?: readonly string[]
  readonly retryAfterMs?: number
  readonly decision?: Refused
}

function build(
  kind: ProblemKind,
  status: number,
  message: string,
  headers: Fields,
  { requestId, dialect }: DenialContext,
  { violated, retryAfterMs, decision }: Occurrence,
): Denial {
  const { contentType, body } = problemBody(dialect, { kind, status, message, requestId, retryAfterMs, violated })
  const all = {
    ...headers,
    'Content-Type': contentType,
    'Content-Length': String(Buffer.byteLength(body)),
    'Cache-Control': 'no-store',
    'x-request-id': requestId,
  }
  return { kind, status, headers: all, body, message, decision }
}

function limitWords({ binding }: Refused, { currency }: DenialContext): string {
  if (binding === undefined) return 'A quota'
  const { name, definition } = binding.bound.limit
  if (isAtOnce(binding)) return `The quota "${name}" of ${amountWords(binding.quota, 'requests')} at once`
  if (definition.unit === 'cost') return `The quota "${name}" of ${moneyText(binding.quota ?? 0, currency)}`
  return `The quota "${name}" of ${amountWords(binding.quota, definition.unit)}`
}

/** `1 search`, `5 requests`. */
function amountWords(amount: number | null, unit: Unit): string {
  return `${amount} ${amount === 1 ? unit.replace(/(?<=ch)es$|s$/, '') : unit}`
}

/** Whether a limit counts calls under way, which it does whatever its unit. */
function isAtOnce({ bound }: LimitStatus): boolean {
  return bound.limit.definition.window.kind === 'concurrent'
}

function transientMessage(decision: Refused, retryAfterMs: number, context: DenialContext): string {
  const again = `Try again in ${Math.ceil(retryAfterMs / 1_000)} s.`
  const { binding } = decision
  if (binding === undefined || !isAtOnce(binding))
    return `${limitWords(decision, context)} is used up for now. ${again}`
  const allows = `The quota "${binding.bound.limit.name}" allows ${amountWords(binding.quota, 'requests')} at once`
  return `${allows}; that many are under way. ${again}`
}

function exhaustedMessage(decision: Refused, context: DenialContext): string {
  const { retryAtMs, binding } = decision
  const until =
    retryAtMs === null ? 'It does not come back by itself.' : `It comes back at ${new Date(retryAtMs).toISOString()}.`
  const left = binding?.remaining ?? 0
  if (left === 0) return `${limitWords(decision, context)} is used up. ${until}`
  const isCost = binding?.bound.limit.definition.unit === 'cost'
  const leftText = isCost ? moneyText(left, context.currency) : String(left)
  return `${limitWords(decision, context)} has ${leftText} left, and this call may use more. ${adviceOf(decision)} ${until}`
}

function neverFitsMessage(decision: Refused, context: DenialContext): string {
  return `${limitWords(decision, context)} is smaller than this call alone may use. ${adviceOf(decision)}`
}

/** What a caller can do about a call that is too large. */
function adviceOf({ binding }: Refused): string {
  const unit = binding?.bound.limit.definition.unit
  if (unit === 'images') return 'Ask for fewer images.'
  if (unit === 'seconds') return 'Send or ask for less audio.'
  if (unit === 'searches') return 'Ask for fewer searches.'
  return 'Send less, or ask for fewer output tokens.'
}
