import { COUNTER_STORE_CAPABILITIES, type CounterStoreCapability } from '@tallygate/core'
import { expect } from 'chai'
import { afterEach, beforeEach, describe, it } from 'mocha'
import { describeAdjusting } from './adjust-conformance.ts'
import { ConformanceBed, type OpenCounterStore } from './conformance-bed.ts'
import { describeExpiry } from './hold-conformance.ts'
import { describeSeeding } from './seed-conformance.ts'
import { describeReserving } from './reserve-conformance.ts'
import { describeSettling } from './settle-conformance.ts'
import { describeWindows } from './window-conformance.ts'

/**
 * The contract of `CounterStore`, as tests for mocha. Call it in the test file of an implementation.
 *
 * @param open Called before each test; returns a store whose counters no earlier test has touched.
 * @param capabilities What the store says it can do: nothing else is asked of it. Default: everything.
 */
export function describeCounterStore(
  name: string,
  open: OpenCounterStore,
  capabilities: readonly CounterStoreCapability[] = COUNTER_STORE_CAPABILITIES,
): void {
  const bed = new ConformanceBed(open, capabilities)
  describe(`${name} as a CounterStore`, () => {
    beforeEach(() => bed.begin())
    afterEach(() => bed.store.close())

    it('can do what it says, and is asked no more', () => {
      expect([...bed.store.capabilities].sort()).to.deep.equal([...capabilities].sort())
    })

    describeReserving(bed)
    describeSettling(bed)
    describeWindows(bed)
    describeAdjusting(bed)
    if (bed.has('expiry')) describeExpiry(bed)
    if (bed.has('rebuild')) describeSeeding(bed)
  })
}
