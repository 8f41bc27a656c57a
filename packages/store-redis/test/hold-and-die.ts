/** A process that reserves, says so, and waits to be killed. Arguments: URL, prefix, its number. */
import type { Charge } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'

const [url, prefix, number] = process.argv.slice(2) as [string, string, string]
const store = await RedisCounterStore.connect({ url, prefix, commandTimeoutMs: 10_000 })
for (const name of ['running', 'spent']) {
  const charge: Charge = {
    counter: { owner: `o${number}`, partition: `o${number}`, name, key: `o${number} o${number} ${name}` },
    window: name === 'running' ? { kind: 'concurrent' } : { kind: 'lifetime' },
    amount: 3,
    quota: 100,
    trip: 'fits',
    effect: 'refuse',
    onChange: { quota: 'now', duration: 'now' },
    onExpiry: 'release',
    alternative: 0,
    isRebuilt: false,
  }
  const id = `${number}-${name}`
  await store.reserve({ id, owner: `o${number}`, charges: [charge], lifetimeMs: 60_000, context: id })
}
console.log('held')
setInterval(() => {}, 60_000)
