import {
  type BoundLimit,
  type Charge,
  type CounterStore,
  type ExpiredHold,
  type HeldUnits,
  type ReserveRequest,
  type Subject,
} from '@tallygate/core'
import { attemptId } from './attempt-id.ts'
import { writeContext } from './hold-context.ts'

/** Beside the counters of plans, whose names have a slash in them. */
const COUNTER = 'adjustments'
/** Soon enough that a store in memory remembers the adjustment when it is found: a sweep comes every 30 s. */
const LIFETIME_MS = 15_000

/**
 * A hold of nothing, made before the entry of an adjustment is written, and released when the counter has it. Where the
 * process dies in between, or the counter could not be reached, it expires: then the sweep finds the adjustment by it.
 */
export interface Announcement {
  /** Never rejects: what is not taken back expires. */
  takeBack(): Promise<void>
}

/** @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` */
export async function announce(
  store: CounterStore,
  bound: BoundLimit,
  adjustment: { readonly id: string; readonly subject: Subject },
): Promise<Announcement> {
  if (!store.capabilities.has('expiry') || !store.capabilities.has('concurrent')) return { takeBack: async () => {} }
  const request = announcementOf(bound, adjustment)
  await store.reserve(request)
  return {
    takeBack: async () => {
      try {
        await store.release(request)
      } catch {
        // The sweep finds that the counter has it.
      }
    },
  }
}

/** Whether a hold announced an adjustment. Its context then names its subject, and has its id for that of a call. */
export function isAnnouncement({ kept }: ExpiredHold): boolean {
  return kept.some(({ counter }: HeldUnits) => counter === COUNTER)
}

function announcementOf(
  { counter: { owner, partition } }: BoundLimit,
  { id, subject: { id: subject, tenant, dimensions } }: { readonly id: string; readonly subject: Subject },
): ReserveRequest {
  const charge: Charge = {
    counter: { owner, partition, name: COUNTER, key: `${owner} ${partition} ${COUNTER}` },
    window: { kind: 'concurrent' },
    amount: 0,
    quota: null,
    trip: 'fits',
    effect: 'shadow',
    onChange: { quota: 'now', duration: 'now' },
    onExpiry: 'release',
    alternative: 0,
    isRebuilt: false,
  }
  const context = writeContext({ tenant, subject, dimensions, callId: id, plans: [] })
  return { id: attemptId(), owner, charges: [charge], lifetimeMs: LIFETIME_MS, context }
}
