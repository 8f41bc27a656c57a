import type { Charge } from '@tallygate/core'

/** What of a test's charge is not as usual; `counter` is the name of the counter. */
export type TestChargeOptions = Partial<Omit<Charge, 'counter'>> & {
  readonly owner?: string
  readonly partition?: string
  readonly counter?: string
}

/** 1 of 10 in a lifetime, refused beyond, unless told otherwise. */
export function testCharge({
  owner = 'o',
  partition = 'tenant=t,key=k',
  counter = 'plan/limit',
  ...overrides
}: TestChargeOptions = {}): Charge {
  return {
    counter: { owner, partition, name: counter, key: `${owner} ${partition} ${counter}` },
    window: { kind: 'lifetime' },
    amount: 1,
    quota: 10,
    trip: 'fits',
    effect: 'refuse',
    onChange: { quota: 'now', duration: 'now' },
    onExpiry: 'keep',
    alternative: 0,
    isRebuilt: false,
    ...overrides,
  }
}
