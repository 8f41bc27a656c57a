import { configError } from '@tallygate/core'
import type { RequestHandler } from 'express'
import { checkBodyLimit, checkLimit, checkOptions, checkServing } from './check-options.ts'
import { enforcing, type EnforceLimitsOptions } from './enforce-limits.ts'
import { identifying, type IdentifyKeyOptions } from './identify-key.ts'
import { limiterOf, limiting, type LimiterOptions } from './limiter.ts'
import { metering, withinSpan, type MeterUsageOptions } from './meter-usage.ts'
import { readRequest } from './read-request.ts'
import { resolving, type ResolvePlanOptions } from './resolve-plan.ts'
import { settling } from './settle-usage.ts'
import { middlewareOf, type Step } from './step.ts'

export interface QuotaMiddlewareOptions
  extends IdentifyKeyOptions, ResolvePlanOptions, EnforceLimitsOptions, MeterUsageOptions {
  /** Requests of a caller in `windowMs`, beside the limits of its plans. */
  readonly limit?: LimiterOptions['limit']
  /** Default: one minute. */
  readonly windowMs?: number
  /** Name of that limit. Default: made of `windowMs`: `requests-per-60s`. Mounts with the same name count together. */
  readonly identifier?: string
  /** Whether answers from 400 on are given back to that limit. Default: false. */
  readonly skipFailedRequests?: boolean
}

const OPTIONS = [
  'keyGenerator',
  'dimensions',
  'groups',
  'plan',
  'passOnStoreError',
  'bodyLimitBytes',
  'provider',
  'host',
  'limit',
  'windowMs',
  'identifier',
  'skipFailedRequests',
] as const satisfies readonly (keyof QuotaMiddlewareOptions)[]

/**
 * The whole walk of a call: identifies the caller, applies its plans, meters what the provider says it used, writes it to
 * the ledger, settles. Without options it limits nothing, and what it records the report router shows.
 *
 * Mount it before what calls the provider. Routes that no provider has, and that no limit is for, pass untouched.
 */
export function quotaMiddleware(options: QuotaMiddlewareOptions = {}): RequestHandler {
  checkOptions(options, OPTIONS, 'quotaMiddleware()')
  checkBodyLimit(options.bodyLimitBytes, 'quotaMiddleware()')
  checkServing(options, 'quotaMiddleware()')
  if (options.limit !== undefined) checkLimit(options.limit, 'quotaMiddleware()')
  else if (options.windowMs !== undefined)
    throw configError('quotaMiddleware().windowMs', options.windowMs, 'it is for a limit: set limit as well')
  const identify = identifying(options)
  const resolve = resolving(options)
  const enforce = enforcing(options)
  const meter = metering(options)
  const { limit, keyGenerator: _keyGenerator, ...rest } = options
  const limiter =
    limit === undefined
      ? undefined
      : limiting([
          limiterOf('fixed', { identifier: `requests-per-${(rest.windowMs ?? 60_000) / 1_000}s`, ...rest, limit }),
        ])

  const read: Step = (context, req) => {
    context.call.servedBy(options.provider, options.host)
    return readRequest(req, context, options)
  }
  const limiters: readonly Step[] =
    limiter === undefined ? [] : [(context, req, res) => (context.call.isFree ? undefined : limiter(context, req, res))]

  return middlewareOf([identify, resolve, read, ...limiters, enforce, meter, settling], options, withinSpan)
}
