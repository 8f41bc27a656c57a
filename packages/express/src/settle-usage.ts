import type { RequestHandler } from 'express'
import { checkOptions } from './check-options.ts'
import type { SharedOptions } from './middleware-options.ts'
import { hookResponse } from './response-hook.ts'
import { middlewareOf, type Step } from './step.ts'

/** The step of {@link settleUsage}. */
export const settling: Step = (context, _req, res) => {
  context.call.recordAtEnd()
  hookResponse(res, context)
  return undefined
}

/**
 * Writes the call to the ledger before the end of its answer leaves, and replaces what was held by what was used. Use it
 * after `identifyKey`, and beside `meterUsage` or a handler that calls `req.quota.record`.
 */
export function settleUsage(options: SharedOptions = {}): RequestHandler {
  checkOptions(options, [], 'settleUsage()')
  return middlewareOf(settling, options)
}
