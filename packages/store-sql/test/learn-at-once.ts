import { SqliteCalibrationStore } from '@tallygate/store-sql'

/** Adds samples to one series, each for itself: `learn-at-once.ts <file> <first> <count>`. */
const [file = '', first, count] = process.argv.slice(2)
const store = await SqliteCalibrationStore.open({ file })
for (let at = 0; at < Number(count); at += 1) {
  await store.add([{ name: 'a', samples: [{ counted: 10, reported: 12, atMs: Number(first) + at }] }])
}
await store.close()
