import { MemoryCounterStore } from '@tallygate/core'
import { describeCounterStoreModel } from '@tallygate/testkit'

const HOURS = 3_600_000

describeCounterStoreModel(
  'MemoryCounterStore',
  async (clock) => new MemoryCounterStore({ clock: clock.now, closedForMs: 24 * HOURS }),
)
