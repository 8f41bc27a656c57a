import type { RequestHandler } from 'express'
import { checkOptions } from './check-options.ts'
import type { SharedOptions } from './middleware-options.ts'
import { readRequest, type BodyOptions } from './read-request.ts'
import { middlewareOf } from './step.ts'

export interface EstimateUsageOptions extends SharedOptions, BodyOptions {}

/**
 * Reads from the request which model it asks for and how much it may use, and leaves it as it was. Sets
 * `req.quota.model`. Bodies that are not JSON, too large, compressed, or have duplicate keys are refused. Routes of no
 * provider pass untouched.
 */
export function estimateUsage(options: EstimateUsageOptions = {}): RequestHandler {
  checkOptions(options, ['bodyLimitBytes'], 'estimateUsage()')
  return middlewareOf((context, req) => readRequest(req, context, options), options)
}
