import { MemoryCounterStore } from '@tallygate/core'
import { describeRebuild } from '@tallygate/testkit'

describeRebuild('MemoryCounterStore', async ({ now }) => new MemoryCounterStore({ clock: now }), 400)
