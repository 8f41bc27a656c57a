// Run it with mocha: `npx mocha --no-config examples/express-server/conformance.ts`
// #region conformance
import { MemoryCounterStore, MemoryLedger } from '@tallygate/core'
import { describeCounterStore, describeLedger } from '@tallygate/testkit'

describeCounterStore('MemoryCounterStore', async (clock) => new MemoryCounterStore({ clock: clock.now }))
describeLedger('MemoryLedger', async () => new MemoryLedger())
// #endregion conformance
