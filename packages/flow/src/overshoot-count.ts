import type { Amounts, LimitStatus, Reservation } from '@tallygate/core'
import type { Telemetry } from '@tallygate/telemetry'
import type { HeldAllowance } from './held-allowance.ts'

/**
 * Counts what a call used beyond the quotas of its limits, as their counters stood when it was decided on: what others
 * settle meanwhile is counted with theirs, or not at all, so that this is never too much. Of what a stream has bought
 * besides, the last decision counts.
 */
export function countOvershoot(
  telemetry: Telemetry,
  { bound, charges, spared }: Reservation,
  statuses: readonly LimitStatus[],
  actual: Amounts,
  allowance?: HeldAllowance,
): void {
  if (!telemetry.measures) return
  for (const [index, first] of statuses.entries()) {
    const { amount, effect, window } = charges[index]!
    const { reserved, status } = allowance?.reservedOf(index) ?? { reserved: amount, status: first }
    const { used, quota } = status
    if (quota === null || window.kind === 'concurrent' || spared?.[index] === true) continue
    const { counter, limit } = bound[index]!
    const own = actual[limit.definition.unit] ?? reserved
    const beyond = Math.min(own, used - reserved + own - quota)
    if (beyond > 0) telemetry.overshot(counter.name, effect, beyond)
  }
}
