import type { Charge, HeldUnits } from './counter-store.ts'
import type { Hold } from './hold-table.ts'

/** What a hold has set aside, or keeps since it expired. */
export type HeldCharges = Pick<Hold, 'charges' | 'buckets'>

/** In place of the bucket of a charge that is not held: it was given back, or its counter was unknown. */
export const NOT_HELD = NaN

export function isHeld(bucket: number | undefined): bucket is number {
  return bucket !== undefined && !Number.isNaN(bucket)
}

/** Where in a hold a counter is; -1: nothing is held there. Mostly where it is in the settlement too. */
export function placeIn(held: HeldCharges | undefined, { counter }: Charge, guess: number): number {
  if (held === undefined) return -1
  const { charges, buckets } = held
  if (charges[guess]?.counter === counter && isHeld(buckets[guess])) return guess
  return charges.findIndex((charge, index) => charge.counter.key === counter.key && isHeld(buckets[index]))
}

export function heldUnits({ charges, buckets }: HeldCharges): HeldUnits[] {
  return charges.flatMap((charge, index) => (isHeld(buckets[index]) ? [unitsOf(charge, charge.amount)] : []))
}

export function unitsOf({ counter: { owner, partition, name } }: Charge, amount: number): HeldUnits {
  return { owner, partition, counter: name, amount }
}
