import { randomUUID } from 'node:crypto'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeRebuild, startRedis, type TestRedis } from '@tallygate/testkit'
import { Redis } from 'ioredis'

let server: TestRedis
let client: Redis
before(async () => {
  server = await startRedis()
  client = new Redis(server.url)
})
after(async () => {
  client.disconnect()
  await server.stop()
})

/** Short windows are rebuilt, too. */
const REBUILDS_ALL = { rebuildsFromMs: 1 } as const

/** Each has keys of its own, so that it has lost all that others have counted. */
describeRebuild(
  'RedisCounterStore',
  async ({ now }) => new RedisCounterStore({ client, clock: now, prefix: `test:${randomUUID()}:`, ...REBUILDS_ALL }),
  30,
)
