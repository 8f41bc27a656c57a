import type { AdjustRequest, Charge } from './counter-store.ts'
import { QuotaError } from './quota-error.ts'

/**
 * @throws QuotaError `ERR_QUOTA_CONFIG` for a top-up of a window that has no bucket to hold it.
 */
export function assertAdjustable({ counter, window }: Charge, adjustment: AdjustRequest['adjustment']): void {
  if (adjustment === 'top-up' && (window.kind === 'sliding' || window.kind === 'concurrent')) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `${counter.name} is a ${window.kind} window, which can't be topped up: change its quota`,
    )
  }
}
