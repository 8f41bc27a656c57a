import { PRICED_UNITS, type LimitStatus, type Refused, type Unit } from '@tallygate/core'

/** Units that a call's output counts in. */
const OUTPUT_UNITS: ReadonlySet<string> = new Set(['tokens', 'output-tokens', 'reasoning-tokens'])

/** Most output tokens of a call that limits have room for. */
export interface RoomLeft {
  readonly tokens: number
  /** Fewer than so many are not worth a call, as the plans say. */
  readonly least: number
}

/** Most output tokens whose cost, or credits, beside those of the input are no more than that. */
export type OutputFor = (unit: Unit, remaining: number) => number

/**
 * How much output a refused call would have room for beside its input, by limits whose plans lower ceilings; `undefined`
 * where something else is in its way. Of plans of which one is enough, the one with the most room counts.
 */
export function roomLeft(
  { reason, statuses }: Refused,
  inputTokens: number,
  outputFor: OutputFor,
): RoomLeft | undefined {
  if (reason === 'unavailable') return undefined
  const rooms = new Map<number, RoomLeft | undefined>()
  for (const status of statuses) {
    const { alternative } = status.bound
    const other = rooms.has(alternative) ? rooms.get(alternative) : { tokens: Infinity, least: 1 }
    rooms.set(alternative, lesser(other, roomUnder(status, inputTokens, outputFor)))
  }
  const ofAll = rooms.has(0) ? rooms.get(0) : { tokens: Infinity, least: 1 }
  rooms.delete(0)
  const ofOne = [...rooms.values()].filter((room) => room !== undefined).toSorted((a, b) => b.tokens - a.tokens)[0]
  return rooms.size === 0 ? ofAll : lesser(ofAll, ofOne)
}

function lesser(one: RoomLeft | undefined, other: RoomLeft | undefined): RoomLeft | undefined {
  if (one === undefined || other === undefined) return undefined
  return { tokens: Math.min(one.tokens, other.tokens), least: Math.max(one.least, other.least) }
}

/** `undefined`: this limit refuses the call however little it writes. */
function roomUnder(
  { bound, tripped, remaining }: LimitStatus,
  inputTokens: number,
  outputFor: OutputFor,
): RoomLeft | undefined {
  const { unit, trip, onTrip, mode } = bound.limit.definition
  const free = { tokens: Infinity, least: 1 }
  if (onTrip === 'flag' || mode === 'shadow' || remaining === null) return free
  const { onShortRoom } = bound.plan
  const isPriced = PRICED_UNITS.has(unit)
  if ((!OUTPUT_UNITS.has(unit) && !isPriced) || trip !== 'fits') return tripped ? undefined : free
  const tokens = isPriced ? outputFor(unit, remaining) : remaining - (unit === 'tokens' ? inputTokens : 0)
  if (onShortRoom === 'refuse') return tripped ? undefined : { tokens, least: 1 }
  return { tokens, least: onShortRoom.lower }
}
