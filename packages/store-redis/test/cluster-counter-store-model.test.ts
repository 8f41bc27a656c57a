import { randomUUID } from 'node:crypto'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeCounterStoreModel, startRedisCluster, type TestRedisCluster } from '@tallygate/testkit'
import { Cluster } from 'ioredis'

const HOURS = 3_600_000

describe('with a real Redis Cluster', function () {
  this.timeout(60_000)
  let servers: TestRedisCluster
  let client: Cluster
  before(async () => {
    servers = await startRedisCluster()
    client = new Cluster([...servers.urls])
  })
  after(async () => {
    client.disconnect()
    await servers.stop()
  })

  for (const owners of [1, 2] as const) {
    describeCounterStoreModel(
      owners === 1 ? 'RedisCounterStore' : 'RedisCounterStore with limits of two owners',
      async (clock) => {
        const prefix = `test:${randomUUID()}:`
        return new RedisCounterStore({ client, prefix, clock: clock.now, closedForMs: 24 * HOURS })
      },
      { owners, parallel: 16, sweepsAtOnce: false, stepMs: 1_000, sequences: owners === 1 ? 300 : 150 },
    )
  }
})
