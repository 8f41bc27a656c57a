// Puts entries into the outbox of a folder, a few at a time, and prints the ids of those that were taken. Until it is
// killed, or until the outbox takes no more: then it prints why.
import { FileOutbox } from '@tallygate/flow'
import { testEntry } from '@tallygate/testkit'

const outbox = await FileOutbox.open({ folder: process.argv[2]! })
const begin = Date.now()
for (let batch = 0; ; batch += 1) {
  const entries = Array.from({ length: 1 + (batch % 7) }, (_, index) => ({
    ...testEntry(`${begin}-${batch}-${index}`),
    model: 'm'.repeat((batch * 37) % 900),
  }))
  try {
    await outbox.put(entries)
  } catch (error) {
    process.stdout.write(`${(error as { code: string }).code}\n`)
    break
  }
  process.stdout.write(entries.map(({ id }) => `${id}\n`).join(''))
}
