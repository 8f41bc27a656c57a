import { whileUnavailable, type Admission } from './admission.ts'
import type { PlanOrigin } from './assignment.ts'
import { unmetCondition } from './condition.ts'
import type { Charge } from './counter-store.ts'
import { refuses } from './counter-view.ts'
import type { LimitStatus, RefusalReason, Refused } from './decision.ts'
import { overshootOf, type Overshoot, type OvershootConditions } from './overshoot.ts'
import { bindLimits, chargesOf, type BoundLimit, type CompiledLimit, type CompiledPlan, type PlanSet } from './plan.ts'
import { refusal } from './refusal.ts'
import type { CallFacts, Dimensions } from './subject.ts'
import type { Amounts } from './unit.ts'

/** A call that is only asked about. */
export interface ExplainRequest {
  /** Plans that are decided on together, one set after the other; a call passes that all of them admit. */
  readonly sets: readonly PlanSet[]
  readonly dimensions: Dimensions
  readonly facts: CallFacts
  /** What it would use; units that are absent are taken for 0. */
  readonly amounts: Amounts
  /** As for {@link bindLimits}. */
  readonly ownedBy: readonly string[]
  /** `isRebuilt`: for windows that are long enough. */
  readonly conditions: Pick<OvershootConditions, 'topology' | 'nodes' | 'isRebuilt'>
}

/** One limit of a caller, whether or not it is for the call. */
export interface ExplainedLimit {
  readonly plan: CompiledPlan
  readonly limit: CompiledLimit
  /** Why the caller has the plan; `undefined` where the host has chosen it. What its quota comes from: `limit.override`. */
  readonly origin: PlanOrigin | undefined
  /** Why the limit is not for this call; absent where it is. */
  readonly because: string | undefined
  /** Where it stands; `tripped` is for this call. Absent where it is not for it. */
  readonly status: LimitStatus | undefined
  /** Units that the call would be charged at first. */
  readonly amount: number
  /** The limit that refuses the call, or, of an admitted one, that would refuse the next ones like it first. */
  readonly isBinding: boolean
  readonly overshoot: Overshoot
}

/** What would become of a call, and why. */
export interface Explanation {
  /** The store's time. */
  readonly atMs: number
  readonly admitted: boolean
  readonly reason: RefusalReason | undefined
  /** When there would be room; `null`: not by time, or there is room. */
  readonly retryAtMs: number | null
  readonly limits: readonly ExplainedLimit[]
}

/** Limits that are decided on together, as they stand. */
interface Decided {
  readonly set: PlanSet
  readonly bound: readonly BoundLimit[]
  readonly charges: readonly Charge[]
  readonly statuses: readonly LimitStatus[]
  readonly refused: Refused | undefined
}

/**
 * Which limits are for a call, why, where they stand, and which one binds. Counts nothing.
 *
 * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE`
 */
export async function explain(admission: Admission, request: ExplainRequest): Promise<Explanation> {
  const { sets, dimensions, facts, amounts, ownedBy } = request
  const bound = sets.map((set) => bindLimits(set, dimensions, facts, ownedBy))
  const { nowMs, statuses } = await admission.read(bound.flat(), { amounts, subject: dimensions['key'] })
  let from = 0
  const decided = sets.map((set, index): Decided => {
    const own = bound[index]!
    const charges = chargesOf(own, amounts, nowMs)
    const stand = statuses.slice(from, (from += own.length))
    const refused = refuses(charges, stand) ? refusal(charges, stand, nowMs) : undefined
    return { set, bound: own, charges, statuses: stand, refused }
  })
  const first = decided.find(({ refused }) => refused !== undefined)?.refused
  const binding = first === undefined ? nearest(decided) : first.binding
  return {
    atMs: nowMs,
    admitted: first === undefined,
    reason: first?.reason,
    retryAtMs: first?.retryAtMs ?? null,
    limits: decided.flatMap((each) => limitsOf(each, request, admission.store.rebuildsFromMs, binding)),
  }
}

function limitsOf(
  { set, bound, charges, statuses }: Decided,
  { facts, conditions }: ExplainRequest,
  rebuildsFromMs: number,
  binding: LimitStatus | undefined,
): ExplainedLimit[] {
  const refusesUnseen = whileUnavailable(bound) === 'refuse'
  const isAlternative = new Set(bound.map(({ alternative }) => alternative).filter((number) => number > 0)).size > 1
  return set.plans.flatMap((plan, index) =>
    plan.limits.map((limit): ExplainedLimit => {
      const at = bound.findIndex((each) => each.limit === limit)
      const isFor = at !== -1
      const amount = isFor ? charges[at]!.amount : 0
      const overshoot = overshootOf(limit.definition, {
        ...conditions,
        isRebuilt: conditions.isRebuilt === true && limit.isAtLeast(rebuildsFromMs),
        isAlternative: isFor && isAlternative,
        onExpiry: plan.onExpiry,
        callsAtOnce: isAlternative ? undefined : callsAtOnce(limit, bound),
        ...(amount === 0 ? {} : { mostPerCall: amount }),
        ...(refusesUnseen ? { whileUnavailable: 'refuse' } : {}),
      })
      const status = isFor ? statuses[at] : undefined
      const because = isFor ? undefined : unmetCondition(limit.definition.when, facts)
      const isBinding = status !== undefined && status === binding
      return { plan, limit, origin: set.origins?.[index], because, status, amount, isBinding, overshoot }
    }),
  )
}

/** The limit that the fewest further calls like this one fit into. */
function nearest(decided: readonly Decided[]): LimitStatus | undefined {
  let least = Infinity
  let found: LimitStatus | undefined
  for (const { charges, statuses } of decided) {
    for (const [index, { effect, amount }] of charges.entries()) {
      const status = statuses[index]!
      if (effect !== 'refuse' || amount === 0 || status.remaining === null) continue
      if (status.remaining / amount < least) {
        least = status.remaining / amount
        found = status
      }
    }
  }
  return found
}

/** Calls of a limit's counter that limits on concurrent calls let run at once; `undefined` where none does. */
function callsAtOnce({ definition: { per } }: CompiledLimit, bound: readonly BoundLimit[]): number | undefined {
  const quotas = bound.flatMap(({ limit: { definition } }) => {
    const { window, mode, onTrip, quota, trip, per: among } = definition
    const isEnforced = window.kind === 'concurrent' && mode === 'enforce' && onTrip === 'refuse'
    if (!isEnforced || quota === null || !among.every((dimension) => per.includes(dimension))) return []
    return trip === 'exceeded' ? quota + 1 : quota
  })
  return quotas.length === 0 ? undefined : Math.min(...quotas)
}
