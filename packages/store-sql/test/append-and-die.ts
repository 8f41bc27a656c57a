// Appends one entry and a batch of a hundred to the file that it is given, and is killed before it could close it.
import type { UsageEntry } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'

const ledger = await SqliteLedger.open({ file: process.argv[2]! })
const entry = (id: string): UsageEntry => ({
  kind: 'usage',
  id,
  tenant: 't',
  atMs: 1,
  callId: id,
  subject: 'k',
  dimensions: {},
  plans: [],
  outcome: 'complete',
  streamed: false,
  admittedAtMs: 1,
  durationMs: 0,
  charges: [],
  overage: false,
})
await ledger.append([entry('one')])
await ledger.append(Array.from({ length: 100 }, (_, index) => entry(`of-batch-${index}`)))
process.kill(process.pid, 'SIGKILL')
