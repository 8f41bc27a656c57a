// Appends batches to the file that it is given until it is killed, and writes their ids when they are acknowledged.
import { writeSync } from 'node:fs'
import { SqliteLedger } from '@tallygate/store-sql'
import { testEntry } from '@tallygate/testkit'

const [file, name] = process.argv.slice(2)
const ledger = await SqliteLedger.open({ file: file! })
for (let batch = 0; ; batch += 1) {
  const ids = Array.from({ length: 1 + (batch % 20) }, (_, index) => `${name}-${batch}-${index}`)
  await ledger.append(ids.map((id) => testEntry(id)))
  // At once, and not when the event loop comes to it: what is not written when it is killed is not acknowledged.
  writeSync(1, `${ids.join(' ')}\n`)
  await new Promise((resolve) => setTimeout(resolve, batch % 4))
}
