import type { LimitStatus } from '@tallygate/core'
import type { Quota } from '@tallygate/flow'
import { amountText, instantText, originText, overrideText, windowText } from './limit-columns.ts'
import { keyFor, subjectOf, type ReportAccess } from './report-access.ts'
import { assertParameters } from './report-parameters.ts'
import type { ReportTable } from './usage-report.ts'

/**
 * Where each limit of the caller stands, counting nothing; with `?model=`, those for calls of that model. Without it, those
 * that count by what only a call tells are named as `notShown`.
 */
export async function limitsReport(quota: Quota, access: ReportAccess, query: URLSearchParams): Promise<ReportTable> {
  assertParameters(access, query, ['key', 'model'])
  keyFor(access, query.get('key'))
  const subject = await subjectOf(access, quota, query.get('key'))
  const model = query.get('model')
  const { nowMs, statuses, notShown } = await quota.limitsOf(subject, model === null ? 'any' : { model })
  return {
    about: {
      subject: subject.id,
      at: new Date(nowMs).toISOString(),
      notShown: notShown.map(({ plan, limit: { name, definition } }) => ({
        plan: plan.name,
        limit: name,
        because: becauseOf(definition.per),
      })),
    },
    columns: ['plan', 'limit', 'unit', 'window', 'quota', 'used', 'remaining', 'resetAt', 'mode', 'from', 'override'],
    rows: statuses.map(rowOf),
    keyIsSecret: true,
  }
}

/** Why it can't be told where a limit stands, and how to ask. */
function becauseOf(per: readonly string[]): string {
  const facts = ['model', 'service', 'route'].filter((fact) => per.includes(fact))
  const query = `?${facts.map((fact) => `${fact}=`).join('&')}`
  return `it counts by ${facts.join(' and ')}: ask with ${query}${query === '?model=' ? '' : ' for /explain'}`
}

function rowOf({ bound, quota, used, remaining, resetAtMs }: LimitStatus): Readonly<Record<string, unknown>> {
  const { name, unit, window, mode } = bound.limit.definition
  return {
    plan: bound.plan.name,
    limit: name,
    unit,
    window: windowText(window),
    quota: amountText(unit, quota),
    used: amountText(unit, used),
    remaining: amountText(unit, remaining),
    resetAt: instantText(resetAtMs),
    mode,
    from: originText(bound.origin),
    override: overrideText(bound.limit.override),
  }
}
