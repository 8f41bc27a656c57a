// Opens the file that it is given, says so, appends one entry when it is told to, says so, and stands still until it is killed.
import { once } from 'node:events'
import { SqliteLedger } from '@tallygate/store-sql'
import { testEntry } from '@tallygate/testkit'

const ledger = await SqliteLedger.open({ file: process.argv[2]! })
process.stdout.write('open\n')
await once(process.stdin, 'data')
await ledger.append([testEntry('late')])
process.stdout.write('appended\n', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
