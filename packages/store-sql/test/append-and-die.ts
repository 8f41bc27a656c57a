// Appends one entry and a batch of a hundred to the file that it is given, and is killed before it could close it.
import { SqliteLedger } from '@tallygate/store-sql'
import { usageEntry } from './usage-entry.ts'

const ledger = await SqliteLedger.open({ file: process.argv[2]! })
await ledger.append([usageEntry('one')])
await ledger.append(Array.from({ length: 100 }, (_, index) => usageEntry(`of-batch-${index}`)))
process.kill(process.pid, 'SIGKILL')
