import { attemptId, guardDenial } from '@tallygate/flow'
import type { RequestHandler } from 'express'
import { AddressGuard, type GuardOptions } from './address-guard.ts'
import { sendDenial } from './send-denial.ts'

export type FloodGuardOptions = GuardOptions

/**
 * Refuses requests with 429, in the dialect of their path, where one address sends too many, before anything else looks
 * at them: `floodGuard({ limit: 100 })` is 100 a second. Refused ones count as well. It is no quota: at the edge of two
 * windows twice as many can pass.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work.
 */
export function floodGuard(options: FloodGuardOptions): RequestHandler {
  const { skip, handler, limiter, windowMs } = options ?? {}
  const second = limiter === undefined ? { windowMs: windowMs ?? 1_000 } : {}
  const guard = new AddressGuard({ ...options, ...second }, 'floodGuard()')
  const shared = handler === undefined ? {} : { handler }

  return function floodGuard(req, res, next) {
    const run = async (): Promise<void> => {
      if (skip !== undefined && (await skip(req, res))) return next()
      const waitMs = await guard.consume(req)
      if (res.destroyed) return
      if (waitMs === undefined) return next()
      const message = 'Too many requests come from your address.'
      const denial = guardDenial(req, { message, waitMs, retry: 'later', requestId: attemptId() })
      return sendDenial(denial, shared, req, res, next)
    }
    run().catch(next)
  }
}
