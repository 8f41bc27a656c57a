import type { Denial } from '@tallygate/flow'
import type { Request, RequestHandler, Response } from 'express'
import { quotaOf, stylesOf, type SharedOptions } from './middleware-options.ts'
import { contextOf, type QuotaContext } from './quota-context.ts'
import { sendDenial } from './send-denial.ts'
import { warnOfUntrustedProxy } from './untrusted-proxy.ts'

type Outcome = Denial | undefined

/** What a step does with a request. Returns the denial where the request must not go on; a promise only if it takes time. */
export type Step = (context: QuotaContext, req: Request, res: Response) => Outcome | Promise<Outcome>

/**
 * Makes a middleware of steps, taken in turn until one denies: skips what is to be skipped, answers denials, passes errors
 * on, and calls `next` at most once. A request whose caller has hung up goes no further.
 */
export function middlewareOf(
  steps: Step | readonly Step[],
  options: SharedOptions,
  runNext: (context: QuotaContext, next: () => void) => void = plainly,
): RequestHandler {
  const quota = quotaOf(options)
  const styles = stylesOf(options)
  const inTurn = typeof steps === 'function' ? [steps] : steps
  const { skip, requestPropertyName, validate = true } = options

  return function quotaStep(req, res, next) {
    const run = async (): Promise<void> => {
      if (skip !== undefined && (await skip(req, res))) return next()
      // A caller who is gone already would never be heard to go.
      if (res.destroyed) return
      const shared = quota()
      const resolved = shared instanceof Promise ? await shared : shared
      if (res.destroyed) return
      const context = contextOf(req, res, resolved, requestPropertyName)
      if (validate) warnOfUntrustedProxy(req, context.quota.logger)
      if (styles !== undefined) context.call.useStyles(styles)
      for (const step of inTurn) {
        const outcome = step(context, req, res)
        const denial = outcome instanceof Promise ? await outcome : outcome
        if (res.destroyed) return
        if (denial !== undefined) return sendDenial(denial, options, req, res, next)
      }
      context.pass()
      runNext(context, next)
    }
    run().catch(next)
  }
}

function plainly(_context: QuotaContext, next: () => void): void {
  next()
}
