import type { CounterStore } from '@tallygate/core'
import type { Walk } from './walk.ts'

/**
 * Why a quota is not ready: neither ledger nor outbox takes entries; the last decision, a moment ago, could not be counted,
 * by the counters or for want of the ledger that they are rebuilt from; or the counters don't answer.
 */
export type NotReadyReason = 'no-place-for-entries' | 'decision-failed' | 'counters-away'

/** A node is not ready while its last decision failed, unless that is so long ago that it may be asked again. */
const NOT_READY_FOR_MS = 5_000

/** `undefined` where calls can be decided and recorded. Never rejects. */
export async function notReadyBecause(
  { isBlocked, admission }: Pick<Walk, 'isBlocked' | 'admission'>,
  store: CounterStore,
): Promise<NotReadyReason | undefined> {
  if (isBlocked) return 'no-place-for-entries'
  if (admission.failedWithin(NOT_READY_FOR_MS)) return 'decision-failed'
  try {
    await store.read([])
    return undefined
  } catch {
    return 'counters-away'
  }
}
