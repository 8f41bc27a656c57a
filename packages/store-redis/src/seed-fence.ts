import type { Charge } from '@tallygate/core'

/** What stood at the fences of the owners of unknown counters, in one string. */
export function fenceOf(charges: readonly Charge[], unknown: readonly number[], values: readonly number[]): string {
  const byOwner: Record<string, number> = Object.create(null) as Record<string, number>
  for (const [at, index] of unknown.entries()) byOwner[charges[index]!.counter.owner] = values[at]!
  return unknown.length === 0 ? '' : JSON.stringify(byOwner)
}

/** What stood at the fence of each charge's owner; -1, which voids the seed, where the fence doesn't say. */
export function fenceValues(fence: string, charges: readonly Charge[]): readonly number[] {
  let byOwner: unknown
  try {
    byOwner = JSON.parse(fence)
  } catch {
    return charges.map(() => -1)
  }
  return charges.map(({ counter: { owner } }) => {
    if (typeof byOwner !== 'object' || byOwner === null || !Object.hasOwn(byOwner, owner)) return -1
    return Number((byOwner as Record<string, unknown>)[owner])
  })
}

/** Fences of several parts of a request in one. */
export function joinFences(fences: readonly string[]): string {
  const some = fences.filter((fence) => fence !== '')
  return some.length === 0 ? '' : JSON.stringify(Object.assign({}, ...some.map((fence) => JSON.parse(fence) as object)))
}
