import { QuotaError } from '@tallygate/core'
import type { RequestHandler } from 'express'
import type { LimiterHandler } from './fixed-window.ts'
import { limiting } from './limiter.ts'
import type { SharedOptions } from './middleware-options.ts'
import { middlewareOf } from './step.ts'

/**
 * Decides on several limiters in one atomic step: all have room and all count, or none does. Its own options are those of
 * the first limiter.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` without limiters, for two of one name, or for what is no limiter.
 */
export function allOf(...handlers: readonly LimiterHandler[]): RequestHandler {
  const limiters = handlers.map(({ limiter }) => limiter)
  const [first] = limiters
  if (first === undefined || limiters.some((limiter) => limiter === undefined)) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      'allOf() takes limiters: use allOf(fixedWindow({ … }), slidingWindow({ … }))',
    )
  }
  const names = limiters.map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new QuotaError(
      'ERR_QUOTA_CONFIG',
      `allOf() has two limiters named ${twice}: give one an identifier of its own`,
    )
  }
  const shared: SharedOptions = first.options
  return middlewareOf(limiting(limiters), shared)
}
