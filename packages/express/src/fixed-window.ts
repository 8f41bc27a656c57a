import type { RequestHandler } from 'express'
import { checkLimiter, limiterOf, limiting, type FixedWindowOptions, type Limiter } from './limiter.ts'
import { middlewareOf } from './step.ts'

/** A middleware that limits, and that `allOf` can decide on together with others. */
export type LimiterHandler = RequestHandler & { readonly limiter: Limiter }

/**
 * Limits what a caller may use in each window of a calendar or of the clock: `fixedWindow({ limit: 100, windowMs: 60_000 })`,
 * `fixedWindow({ limit: 1e6, unit: 'tokens', every: 'month' })`. Works alone; after others, a refusal gives back what
 * they hold.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work.
 */
export function fixedWindow(options: FixedWindowOptions): LimiterHandler {
  checkLimiter(options, ['every', 'zone'], 'fixedWindow()')
  const limiter = limiterOf('fixed', options)
  return Object.assign(middlewareOf(limiting([limiter]), options), { limiter })
}
