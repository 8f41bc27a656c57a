import type { Charge, HeldUnits } from '@tallygate/core'
import { placeOf, type CounterPlace } from './counter-place.ts'
import { add, takeBack, usedIn, type FlexibleLimiter } from './flexible-limiter.ts'

/** What a reservation has set aside in one counter. */
export interface HeldAmount {
  readonly charge: Charge
  readonly place: CounterPlace
  readonly amount: number
}

/** An amount that is held, and what was really used. */
export interface SettledAmount {
  readonly held: HeldAmount
  readonly actual: number
  /** Where an excess counts: in the bucket of the settlement. */
  readonly current: CounterPlace
}

/** What became of one amount after the other: a failed one does not keep the others from being counted. */
export type Counted<T> = readonly PromiseSettledResult<T>[]

/** The amounts of charges, in the buckets of an instant. */
export function amountsAt(charges: readonly Charge[], atMs: number, nowMs: number): readonly HeldAmount[] {
  return charges.map((charge) => ({ charge, place: placeOf(charge, atMs, nowMs), amount: charge.amount }))
}

export function readAll(limiter: FlexibleLimiter, amounts: readonly HeldAmount[]): Promise<readonly number[]> {
  return Promise.all(amounts.map(({ place }) => usedIn(limiter, place)))
}

/** Counts amounts. Tells how many units each counter has then; `undefined` where there was nothing to count. */
export function addAll(limiter: FlexibleLimiter, amounts: readonly HeldAmount[]): Promise<Counted<number | undefined>> {
  return Promise.allSettled(
    amounts.map(async ({ place, amount }) => (amount === 0 ? undefined : add(limiter, place, amount))),
  )
}

export function giveBackAll(
  limiter: FlexibleLimiter,
  amounts: readonly HeldAmount[],
  nowMs: number,
): Promise<Counted<void>> {
  return Promise.allSettled(amounts.map(({ place, amount }) => giveBack(limiter, place, amount, nowMs)))
}

export function settleAll(
  limiter: FlexibleLimiter,
  settled: readonly SettledAmount[],
  atMs: number,
  nowMs: number,
): Promise<Counted<void>> {
  return Promise.allSettled(settled.map((each) => settleOne(limiter, each, atMs, nowMs)))
}

/** Takes units back, unless their bucket is over: then nobody reads it any more. */
export async function giveBack(
  limiter: FlexibleLimiter,
  place: CounterPlace,
  amount: number,
  nowMs: number,
): Promise<void> {
  if (amount > 0 && nowMs < place.endMs) await takeBack(limiter, place, amount)
}

export function throwFirst(counted: Counted<unknown>): void {
  for (const each of counted) if (each.status === 'rejected') throw each.reason as Error
}

export function unitsOf({ charge: { counter }, amount }: HeldAmount): HeldUnits {
  return { owner: counter.owner, partition: counter.partition, counter: counter.name, amount }
}

async function settleOne(
  limiter: FlexibleLimiter,
  { held: { place, amount }, actual, current }: SettledAmount,
  atMs: number,
  nowMs: number,
): Promise<void> {
  if (actual < amount && atMs < place.endMs) await giveBack(limiter, place, amount - actual, nowMs)
  if (actual > amount && nowMs < current.endMs) await add(limiter, current, actual - amount)
}
