import type { RequestHandler } from 'express'
import { checkOptions } from './check-options.ts'
import type { SharedOptions } from './middleware-options.ts'
import { setFields } from './set-fields.ts'
import { middlewareOf, type Step } from './step.ts'

export interface EnforceLimitsOptions extends SharedOptions {
  /** Lets calls pass while the counters can't be reached, whatever their limits say. Default: as each limit says. */
  readonly passOnStoreError?: boolean
}

/** The step of {@link enforceLimits}, but for saying in the answer's head where limits stand. */
export function enforcing({ passOnStoreError }: EnforceLimitsOptions): Step {
  const onUnavailable = passOnStoreError === undefined ? undefined : passOnStoreError ? 'admit' : 'refuse'
  return ({ call }) =>
    call.isFree
      ? undefined
      : call.admit({ bound: call.undecided(call.bind(call.plans)), onUnavailable, subject: call.subject?.id })
}

/**
 * Admits the call if it has room under every limit of its plans, in one atomic step, and holds what it may use until the
 * answer has ended; else answers in the caller's dialect. Use it after `resolvePlan`, and after `estimateUsage` where
 * plans count tokens. Routes that no provider charges for, such as lists of models, pass.
 */
export function enforceLimits(options: EnforceLimitsOptions = {}): RequestHandler {
  checkOptions(options, ['passOnStoreError'], 'enforceLimits()')
  const enforce = enforcing(options)
  return middlewareOf(async (context, req, res) => {
    const denial = await enforce(context, req, res)
    if (denial === undefined) setFields(res, context.call)
    return denial
  }, options)
}
