import type { Charge } from './counter-store.ts'
import type { LimitStatus, Refused } from './decision.ts'

/** The refusal that a store's answer means. At least one limit that refuses has no room. */
export function refusal(charges: readonly Charge[], statuses: readonly LimitStatus[], atMs: number): Refused {
  const inTheWay = statuses.filter(({ tripped }, index) => tripped && charges[index]!.effect === 'refuse')
  const full = Map.groupBy(inTheWay, ({ bound }) => bound.alternative)
  const always = full.get(0) ?? []
  full.delete(0)
  const alternatives = new Set(charges.map(({ alternative }) => alternative).filter((alternative) => alternative > 0))
  // One alternative with room is enough; of those that are all full, the one that has room first.
  const soonest = full.size === alternatives.size ? [...full.values()].map(latest).sort(byRoom)[0] : undefined
  const decisive = [...always, ...(soonest === undefined ? [] : [soonest])]
  const tooLarge = decisive.find((status) => neverFits(charges[statuses.indexOf(status)]!, status))
  const binding = tooLarge ?? latest(decisive)
  const reason = tooLarge === undefined ? 'no-room' : 'never-fits'
  return { admitted: false, reason, binding, statuses, retryAtMs: binding.roomAtMs, atMs }
}

/** The status whose room returns last; `null` is later than any time. */
function latest(statuses: readonly LimitStatus[]): LimitStatus {
  return statuses.toSorted(byRoom).at(-1)!
}

function byRoom(one: LimitStatus, other: LimitStatus): number {
  const left = one.roomAtMs ?? Infinity
  const right = other.roomAtMs ?? Infinity
  return left === right ? 0 : left - right
}

/** Too much at once even for an empty window. A quota of 0 is a block, not a size. */
function neverFits({ trip, quota, amount }: Charge, status: LimitStatus): boolean {
  const most = quota === null || status.quota === null ? null : Math.max(quota, status.quota)
  return trip === 'fits' && most !== null && most > 0 && amount > most
}
