import { chargesOf, readCounters, type Admission, type BoundLimit, type Ledger } from '@tallygate/core'

/** What a counter says and what the ledger says of it. */
export interface Drift {
  readonly bound: BoundLimit
  /** With what is reserved for calls under way. */
  readonly counter: number
  readonly ledger: number
  /** `counter` less `ledger`: what is reserved, or a difference that a rebuild would take away. */
  readonly drift: number
}

/**
 * Compares counters with the ledger. Concurrency is left out, which no ledger knows.
 *
 * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` or `ERR_QUOTA_LEDGER_UNAVAILABLE`.
 */
export async function driftOf(
  admission: Admission,
  ledger: Ledger,
  limits: readonly BoundLimit[],
  subject?: string,
): Promise<readonly Drift[]> {
  const bound = limits.filter(({ limit }) => limit.definition.window.kind !== 'concurrent')
  if (bound.length === 0) return []
  const { nowMs, statuses } = await admission.read(bound, { subject })
  const read = await readCounters(ledger, chargesOf(bound, {}, nowMs), nowMs, subject)
  return bound.map((each, index) => {
    const { used: counter } = statuses[index]!
    const { used } = read[index]!
    return { bound: each, counter, ledger: used, drift: counter - used }
  })
}
