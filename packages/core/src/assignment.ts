import { assertCallerMatch, levelOf, type CallerLevel, type CallerMatch } from './caller-match.ts'
import { assertList, assertMembers, assertOneOf, configError } from './config-error.ts'

/** Gives plans to one kind of callers. */
export interface Assignment {
  readonly for: CallerMatch
  /** Names of plans; none: nothing is limited. */
  readonly plans: readonly string[]
  /** How these plans combine. Default: as the plan source says. */
  readonly combine?: 'all' | 'any'
}

/** Why a caller has a plan: an assignment, the key's own record (`registry`), or nobody said otherwise (`default`). */
export type PlanOrigin =
  | { readonly by: CallerLevel; readonly value: string }
  | { readonly by: 'registry' | 'default' | 'limiter' }

export const BY_REGISTRY: PlanOrigin = { by: 'registry' }
export const BY_DEFAULT: PlanOrigin = { by: 'default' }
/** A limit that a middleware applies beside the plans of callers. */
export const BY_LIMITER: PlanOrigin = { by: 'limiter' }

/** Why a caller has the plans of an assignment. */
export function originOf({ for: match }: Assignment): PlanOrigin {
  const [by, value] = levelOf(match)
  return { by, value }
}

/** @throws QuotaError `ERR_QUOTA_CONFIG`, naming the member, its value and the remedy. */
export function assertAssignments(assignments: readonly Assignment[], planNames: ReadonlySet<string>): void {
  assertList(assignments, 'assignments', 'assignments')
  for (const [index, assignment] of assignments.entries()) {
    const at = `assignments[${index}]`
    assertMembers(assignment, ['for', 'plans', 'combine'], at)
    const { for: match, plans, combine = 'all' } = assignment
    assertCallerMatch(match, `${at}.for`)
    assertOneOf(combine, ['all', 'any'], `${at}.combine`)
    assertList(plans, 'plan names', `${at}.plans`)
    for (const [place, name] of plans.entries()) {
      if (!planNames.has(name))
        throw configError(
          `${at}.plans[${place}]`,
          name,
          `use one of ${[...planNames].join(', ') || 'none: there is no plan'}`,
        )
    }
  }
}
