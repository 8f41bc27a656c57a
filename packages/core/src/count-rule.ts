import { assertMembers, assertOneOf, configError } from './config-error.ts'
import type { UsageOutcome } from './entry.ts'

/** An answer whose call is given back: a status, a class of them, or how the attempt ended. */
export type RefundCause = number | '4xx' | '5xx' | 'failed' | 'aborted'

/** Which attempts a plan counts, of those that went on. What it doesn't count is given back when the attempt ends. */
export interface CountRule {
  /**
   * `attempt`: every one. `success`: but those that failed: an error, no answer, one that broke off. `http200`: those
   * whose answer has status 200. A caller who hung up has not failed. Default: `attempt`.
   */
  readonly on?: 'attempt' | 'success' | 'http200'
  /** Given back beside that. `aborted`: the caller hung up, and what was used until then is his for nothing. */
  readonly refundOn?: readonly RefundCause[]
}

/** A {@link CountRule} with its defaults filled in. */
export type CompleteCountRule = Required<CountRule>

/** How an attempt ended, as far as a count rule looks at it. */
export interface EndedAttempt {
  /** HTTP status of the answer; absent where there was none. */
  readonly status: number | undefined
  readonly outcome: UsageOutcome
}

/** Counts every attempt that went on. */
export const COUNT_ATTEMPTS: CompleteCountRule = { on: 'attempt', refundOn: [] }

const WORDS: readonly unknown[] = ['4xx', '5xx', 'failed', 'aborted']

/** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, its value and the remedy. */
export function completeCountRule(rule: CountRule | undefined, at: string): CompleteCountRule {
  if (rule === undefined) return COUNT_ATTEMPTS
  assertMembers(rule, ['on', 'refundOn'], at)
  const { on = 'attempt', refundOn = [] } = rule
  assertOneOf(on, ['attempt', 'success', 'http200'], `${at}.on`)
  if (!Array.isArray(refundOn)) throw configError(`${at}.refundOn`, refundOn, 'use a list, such as [5xx, 429]')
  for (const [index, cause] of refundOn.entries()) {
    const isStatus = Number.isInteger(cause) && (cause as number) >= 100 && (cause as number) <= 599
    if (!isStatus && !WORDS.includes(cause))
      throw configError(`${at}.refundOn[${index}]`, cause, 'use a status from 100 to 599, 4xx, 5xx, failed or aborted')
  }
  return { on, refundOn }
}

/** Whether an attempt that ended so is counted. */
export function isCounted({ on, refundOn }: CompleteCountRule, { status, outcome }: EndedAttempt): boolean {
  if (on === 'success' && outcome === 'failed') return false
  if (on === 'http200' && status !== 200) return false
  return !refundOn.some((cause) => {
    if (cause === 'failed' || cause === 'aborted') return outcome === cause
    if (status === undefined) return false
    return typeof cause === 'number' ? status === cause : Math.floor(status / 100) === Number(cause[0])
  })
}
