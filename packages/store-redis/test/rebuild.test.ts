import { randomUUID } from 'node:crypto'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeRebuild } from '@tallygate/testkit'
import { useRedis } from './redis-bed.ts'

const bed = useRedis()

/** Short windows are rebuilt, too. */
const REBUILDS_ALL = { rebuildsFromMs: 1 } as const

/** Each has keys of its own, so that it has lost all that others have counted. */
describeRebuild(
  'RedisCounterStore',
  async ({ now }) =>
    new RedisCounterStore({ client: bed.client, clock: now, prefix: `test:${randomUUID()}:`, ...REBUILDS_ALL }),
  30,
)
