import { startRedis, type TestRedis } from '@tallygate/testkit'
import { Redis } from 'ioredis'

/** A Redis server, and a client of it. */
export interface RedisBed {
  readonly server: TestRedis
  readonly client: Redis
}

/** Starts a Redis before the tests of the suite in which it is called, and ends it after them. It is there within tests. */
export function useRedis(): RedisBed {
  const bed: { server?: TestRedis; client?: Redis } = {}
  before(async () => {
    bed.server = await startRedis()
    bed.client = new Redis(bed.server.url)
  })
  after(async () => {
    bed.client?.disconnect()
    await bed.server?.stop()
  })
  return bed as RedisBed
}
