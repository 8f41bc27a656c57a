import type { CompleteLimit } from './limit.ts'
import type { Unit } from './unit.ts'

/** Where units are counted. `memory`: in each process for itself. */
export type Topology = 'memory' | 'redis' | 'cluster'

/**
 * What is set aside of a unit before a call. `exact`: what it will use. `upper-bound`: never less. `guess`: it can use
 * more. `none`: nothing, as nobody can tell before.
 */
export type EstimateKind = 'exact' | 'upper-bound' | 'guess' | 'none'

/** What the worst case depends on beside the limit itself. */
export interface OvershootConditions {
  readonly topology: Topology
  /** Default: as {@link estimateKindOf} says of the unit. */
  readonly estimate?: EstimateKind
  /** Calls of one counter that can be under way at once, from 1. Absent: nothing bounds them. */
  readonly callsAtOnce?: number | undefined
  /** Units that one call can use at most. Absent: nothing bounds them; requests use 1. */
  readonly mostPerCall?: number | undefined
  /** Nodes that admit calls. Default: 1. */
  readonly nodes?: number
  /** Whether another plan with room is enough, and this limit is charged all the same. Default: false. */
  readonly isAlternative?: boolean
  /** What becomes of reservations whose process died. Default: `keep`. */
  readonly onExpiry?: 'keep' | 'release'
  /** What is done while the counters can't be reached. Default: as the limit says; a call's other limits can refuse. */
  readonly whileUnavailable?: CompleteLimit['onUnavailable']
  /** Whether counters that are lost are rebuilt from the ledger. Default: false. */
  readonly isRebuilt?: boolean
}

/** One way in which more than the quota can be used, on top of the others. */
export interface OvershootCause {
  readonly cause:
    | 'not-enforced'
    | 'alternative'
    | 'crossing'
    | 'estimate'
    | 'nodes'
    | 'holder-killed'
    | 'counters-lost'
    | 'failover'
    | 'unavailable'
  /** Units at most; `null`: not bounded by what is known. */
  readonly units: number | null
  readonly because: string
}

/** The worst case by which a limit can be exceeded. */
export interface Overshoot {
  /** While everything works: units at most in one window, the sum of {@link causes}; `null`: not bounded. */
  readonly units: number | null
  readonly causes: readonly OvershootCause[]
  /** What comes to that when something fails, each for itself. */
  readonly failures: readonly OvershootCause[]
}

/** How a unit is estimated where nothing says otherwise. Bytes bound the tokens of a text, not of what it refers to. */
export function estimateKindOf({ unit, window }: Pick<CompleteLimit, 'unit' | 'window'>): EstimateKind {
  if (unit === 'requests' || window.kind === 'concurrent') return 'exact'
  const kinds: Partial<Record<Unit, EstimateKind>> = {
    tokens: 'guess',
    'input-tokens': 'upper-bound',
    'cached-input-tokens': 'upper-bound',
    'output-tokens': 'guess',
    'reasoning-tokens': 'guess',
    // Of the output, and of what a request only refers to.
    cost: 'guess',
    credits: 'guess',
    // What a request states of them, or is assumed of it.
    seconds: 'guess',
    images: 'guess',
    searches: 'guess',
  }
  return kinds[unit] ?? 'none'
}

/** The worst case by which a limit can be exceeded, as `docs/overshoot.md` derives it. */
export function overshootOf(limit: CompleteLimit, conditions: OvershootConditions): Overshoot {
  const causes = causesOf(limit, conditions)
  const units = causes.reduce<number | null>((sum, cause) => add(sum, cause.units), 0)
  return { units, causes, failures: isEnforced(limit) ? failuresOf(limit, conditions) : [] }
}

function causesOf(limit: CompleteLimit, conditions: OvershootConditions): OvershootCause[] {
  const { quota, mode, onTrip, trip } = limit
  if (quota === null || mode === 'shadow' || onTrip === 'flag') {
    const why =
      quota === null ? 'it has no quota' : mode === 'shadow' ? 'it only reports' : 'it marks calls and lets them pass'
    return [{ cause: 'not-enforced', units: null, because: `${why}: nothing is refused` }]
  }
  if (conditions.isAlternative === true) {
    const because = 'another plan with room is enough, and this limit is charged all the same'
    return [{ cause: 'alternative', units: null, because }]
  }
  const { estimate = estimateKindOf(limit), topology, nodes = 1, callsAtOnce } = conditions
  const most = estimate === 'exact' ? 1 : conditions.mostPerCall
  const causes: OvershootCause[] = []
  if (trip !== 'fits' && estimate !== 'none') {
    const units = most === undefined ? null : trip === 'reached' ? Math.max(0, most - 1) : most
    if (units !== 0) causes.push({ cause: 'crossing', units, because: CROSSING[trip] })
  }
  if (estimate === 'guess' || estimate === 'none') {
    // The call that crosses is counted above with all that it uses.
    const others = callsAtOnce === undefined ? null : callsAtOnce - (causes.length > 0 ? 1 : 0)
    const units = others === null || most === undefined ? null : others * most
    if (units !== 0) causes.push({ cause: 'estimate', units, because: ESTIMATE[estimate] })
  }
  if (topology === 'memory' && nodes > 1) {
    const because = `${nodes} nodes count for themselves, each up to the whole quota`
    causes.push({ cause: 'nodes', units: times(nodes - 1, add(quota, sumOf(causes))), because })
  }
  return causes
}

const CROSSING = {
  reached: 'a call is admitted while one unit is left, and may take more: the next is refused',
  exceeded: 'a call is admitted while no more than the quota is used: the next is refused',
} as const
const ESTIMATE = {
  guess: 'each call under way can use more than was set aside for it',
  none: 'nothing is set aside before a call: all that are under way are admitted side by side',
} as const

function failuresOf(limit: CompleteLimit, conditions: OvershootConditions): OvershootCause[] {
  const { topology, callsAtOnce, onExpiry = 'keep', isRebuilt = false } = conditions
  const { whileUnavailable = limit.onUnavailable } = conditions
  const most = estimateKindOf(limit) === 'exact' ? 1 : conditions.mostPerCall
  const underWay = callsAtOnce === undefined || most === undefined ? null : callsAtOnce * most
  const isConcurrent = limit.window.kind === 'concurrent'
  const failures: OvershootCause[] = []
  if (onExpiry === 'release' && !isConcurrent)
    failures.push({
      cause: 'holder-killed',
      units: underWay,
      because: 'what a killed process held is given back, whatever its calls used',
    })
  if (isConcurrent)
    failures.push({
      cause: 'holder-killed',
      units: callsAtOnce ?? limit.quota,
      because: 'calls of a killed process may run on at the provider, and are counted no more',
    })
  failures.push({
    cause: 'counters-lost',
    ...(isRebuilt ? rebuilt(limit, underWay, most) : begunAnew(limit, topology)),
  })
  if (topology !== 'memory') {
    failures.push({
      cause: 'failover',
      units: limit.quota,
      because: 'a replica that is promoted may not have heard of the last decisions, which are made again',
    })
    failures.push(...whileAway(limit, whileUnavailable, conditions.nodes ?? 1))
  }
  return failures
}

type Loss = Pick<OvershootCause, 'units' | 'because'>

function rebuilt(limit: CompleteLimit, underWay: number | null, most: number | undefined): Loss {
  const because = 'what ended is counted again from the ledger; what calls under way held is counted when they end'
  return { units: heldAtMost(limit, underWay, most), because }
}

function begunAnew({ quota }: CompleteLimit, topology: Topology): Loss {
  const because = topology === 'memory' ? 'a restart begins every window anew' : 'counters that are lost begin anew'
  return { units: quota, because }
}

/** What calls under way hold at most: no more than they could be granted. */
function heldAtMost({ trip, quota }: CompleteLimit, underWay: number | null, most: number | undefined): number | null {
  const granted = trip === 'fits' ? quota : add(quota, most ?? null)
  if (granted === null || underWay === null) return granted ?? underWay
  return Math.min(granted, underWay)
}

/** As the settler of `@tallygate/flow` keeps. */
const WAITING = 'of each node up to 100,000 calls, of more the ledger alone knows'

function whileAway(limit: CompleteLimit, says: CompleteLimit['onUnavailable'], nodes: number): OvershootCause[] {
  if (says === 'refuse') return []
  if (says === 'admit')
    return [
      {
        cause: 'unavailable',
        units: null,
        because: `while the counters are away, every call is admitted, and counted when they are back: ${WAITING}`,
      },
    ]
  const units = nodes * Math.floor((limit.quota ?? 0) * says.local)
  const because = `while the counters are away, each of ${nodes} nodes admits ${says.local} of the quota by itself, in each outage; it is counted when they are back: ${WAITING}`
  return [{ cause: 'unavailable', units, because }]
}

function isEnforced({ quota, mode, onTrip }: CompleteLimit): boolean {
  return quota !== null && mode === 'enforce' && onTrip === 'refuse'
}

function sumOf(causes: readonly OvershootCause[]): number | null {
  return causes.reduce<number | null>((sum, { units }) => add(sum, units), 0)
}

function add(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one + other
}

function times(count: number, units: number | null): number | null {
  return units === null ? null : count * units
}
