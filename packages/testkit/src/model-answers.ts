import { isDeepStrictEqual } from 'node:util'
import type { HeldUnits, HoldState } from '@tallygate/core'

/** Says both whole: fast-check prints the message, and not what an assertion would compare. */
export function same(answer: unknown, right: unknown, of: string): void {
  if (isDeepStrictEqual(answer, right)) return
  throw new Error(`${of} answered ${JSON.stringify(answer)} where ${JSON.stringify(right)} is right`)
}

export function inOrder(state: HoldState | undefined): HoldState | undefined {
  return state !== undefined && 'held' in state ? { ...state, held: byCounter(state.held) } : state
}

export function byCounter(units: readonly HeldUnits[]): readonly HeldUnits[] {
  return [...units].sort((one, other) => (one.counter < other.counter ? -1 : 1))
}

export function byId<T extends { readonly id: string }>(holds: readonly T[]): T[] {
  return [...holds].sort((one, other) => (one.id < other.id ? -1 : 1))
}
