// A process of its own: a server on Redis, and as many calls to it at once as it is told. Prints their statuses.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Plan } from '@tallygate/core'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { createQuota } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import express from 'express'
import { ask, PEPPER } from './test-bed.ts'

const [redis, provider, plan, calls] = process.argv.slice(2) as [string, string, string, string]
const store = await RedisCounterStore.connect({ url: redis, commandTimeoutMs: 10_000 })
const quota = createQuota({
  store,
  // Thousands at once on two cores: late is not what is tested here.
  decideWithinMs: 10_000,
  pepper: PEPPER,
  plans: [JSON.parse(plan) as Plan],
  defaultPlans: ['p'],
})
const server = createServer(express().use(quotaMiddleware({ quota }), llmProxy({ target: provider })))
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

process.send!('ready')
await once(process, 'message')
const answers = await Promise.all(Array.from({ length: Number(calls) }, () => ask(url)))
server.closeAllConnections()
server.close()
await quota.close()
await store.close()
process.send!(answers.map(({ status }) => status))
process.disconnect()
