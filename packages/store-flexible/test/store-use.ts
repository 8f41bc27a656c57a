import { randomUUID } from 'node:crypto'
import type { Charge, ReserveReply } from '@tallygate/core'
import type { FlexibleCounterStore } from '@tallygate/store-flexible'
import { asked } from './charges.ts'

/** Sends as many reservations at the same time, and counts the answers. */
export async function reserveMany(
  store: FlexibleCounterStore,
  times: number,
  ...charges: readonly Charge[]
): Promise<{ granted: number; refused: number }> {
  const replies = await Promise.all(Array.from({ length: times }, () => store.reserve(asked(randomUUID(), ...charges))))
  const count = (outcome: ReserveReply['outcome']): number => replies.filter((each) => each.outcome === outcome).length
  return { granted: count('granted'), refused: count('refused') }
}

export async function usedIn(store: FlexibleCounterStore, ...charges: readonly Charge[]): Promise<readonly number[]> {
  return (await store.read(charges)).statuses.map(({ used }) => used)
}

export async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  )
}
