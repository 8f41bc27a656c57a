// Admits calls under Redis at the URL that it is given, with its ledger in the file that it is given, prints their ids, and
// waits: to be killed.
import { createQuota } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SqliteLedger } from '@tallygate/store-sql'
import { HOLDER_PLANS, holderOf } from './holder-plans.ts'

const [url, file, round] = process.argv.slice(2) as [string, string, string]
const quota = createQuota({
  store: await RedisCounterStore.connect({ url }),
  ledger: await SqliteLedger.open({ file }),
  plans: HOLDER_PLANS,
  defaultPlans: ['p'],
  pepper: 'a pepper for tests, long enough to be one',
  holdLifetimeMs: 1_000,
})
for (let index = 0; index < 5; index += 1) {
  const call = quota.begin({ method: 'POST', url: '/v1/chat/completions', headers: { authorization: 'Bearer sk-1' } })
  call.identifyAs(holderOf(`${round}-${index % 3}`))
  await call.resolvePlans()
  call.read(Buffer.from('{"model":"gpt-4o","max_tokens":20,"messages":[]}'))
  const denial = await call.admit()
  if (denial !== undefined) throw new Error(JSON.stringify(denial))
  process.stdout.write(`${call.attemptId}\n`)
}
process.stdout.write('holds\n')
setInterval(() => {}, 1_000)
