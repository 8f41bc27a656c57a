// Appends one entry and a batch of a hundred to the file that it is given, and is killed before it could close it.
import { SqliteLedger } from '@tallygate/store-sql'
import { testEntry } from '@tallygate/testkit'

const ledger = await SqliteLedger.open({ file: process.argv[2]! })
await ledger.append([testEntry('one')])
await ledger.append(Array.from({ length: 100 }, (_, index) => testEntry(`of-batch-${index}`)))
process.kill(process.pid, 'SIGKILL')
