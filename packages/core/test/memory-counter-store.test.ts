import { MemoryCounterStore } from '@tallygate/core'
import { describeCounterStore } from '@tallygate/testkit'

describeCounterStore('MemoryCounterStore', async (clock) => new MemoryCounterStore({ clock: clock.now }))
