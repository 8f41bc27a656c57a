import { MemoryPlanSource, QuotaError, type Plan, type PlanSet, type Subject } from '@tallygate/core'
import type { Request, RequestHandler } from 'express'
import { checkOptions } from './check-options.ts'
import type { SharedOptions } from './middleware-options.ts'
import { required } from './quota-context.ts'
import { middlewareOf, type Step } from './step.ts'

export interface ResolvePlanOptions extends SharedOptions {
  /** The plan of every request here, or a function that names the caller's. Default: the quota's plans. */
  readonly plan?: Plan | ((subject: Subject, req: Request) => Plan | Promise<Plan>)
}

/** The step of {@link resolvePlan}. */
export function resolving({ plan }: ResolvePlanOptions): Step {
  const fixed = typeof plan === 'object' ? setOf(plan) : undefined
  const known = new WeakMap<Plan, PlanSet>()
  if (typeof plan !== 'function') {
    return ({ call }) => {
      required(call.subject, 'subject', 'identifyKey')
      return call.resolvePlans(fixed)?.then(() => undefined)
    }
  }
  return async ({ call }, req) => {
    const subject = required(call.subject, 'subject', 'identifyKey')
    const chosen = await plan(subject, req)
    if (typeof chosen !== 'object' || chosen === null) {
      throw new QuotaError(
        'ERR_QUOTA_CONFIG',
        `plan() gave ${JSON.stringify(chosen)} for ${subject.id}: return a plan, { name, limits: [] } where nothing is limited`,
      )
    }
    let set = known.get(chosen)
    if (set === undefined) known.set(chosen, (set = setOf(chosen)))
    await call.resolvePlans(set)
    return undefined
  }
}

/** Finds the caller's plans. Sets `req.quota.plans`. Use it after `identifyKey`. */
export function resolvePlan(options: ResolvePlanOptions = {}): RequestHandler {
  checkOptions(options, ['plan'], 'resolvePlan()')
  return middlewareOf(resolving(options), options)
}

function setOf(plan: Plan): PlanSet {
  return { plans: new MemoryPlanSource({ plans: [plan] }).plans, combine: 'all' }
}
