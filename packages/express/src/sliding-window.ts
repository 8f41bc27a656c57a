import type { LimiterHandler } from './fixed-window.ts'
import { checkLimiter, limiterOf, limiting, type SlidingWindowOptions } from './limiter.ts'
import { middlewareOf } from './step.ts'

/**
 * Limits what a caller may use in any span of `windowMs`, also across the edges of fixed windows:
 * `slidingWindow({ limit: 100, windowMs: 60_000 })`. A refusal lasts at most a tenth of the window too long (1/`buckets`).
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work.
 */
export function slidingWindow(options: SlidingWindowOptions): LimiterHandler {
  checkLimiter(options, ['buckets'], 'slidingWindow()')
  const limiter = limiterOf('sliding', options)
  return Object.assign(middlewareOf(limiting([limiter]), options), { limiter })
}
