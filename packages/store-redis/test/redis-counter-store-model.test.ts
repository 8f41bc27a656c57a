import { randomUUID } from 'node:crypto'
import { RedisCounterStore } from '@tallygate/store-redis'
import { describeCounterStoreModel, runs } from '@tallygate/testkit'
import { useRedis } from './redis-bed.ts'

const HOURS = 3_600_000
/** By how many owners the limits have: 2,000 in all; where each is multiplied, fewer, so that they end within ten minutes. */
const SEQUENCES = runs(1) === 1 ? { 1: 1_500, 2: 500 } : { 1: 500, 2: 250 }

describe('with a real Redis', () => {
  const bed = useRedis()

  for (const owners of [1, 2] as const) {
    describeCounterStoreModel(
      owners === 1 ? 'RedisCounterStore' : 'RedisCounterStore with limits of two owners',
      async (clock) => {
        const prefix = `test:${randomUUID()}:`
        return new RedisCounterStore({ client: bed.client, prefix, clock: clock.now, closedForMs: 24 * HOURS })
      },
      { owners, parallel: 16, sweepsAtOnce: false, stepMs: 1_000, sequences: SEQUENCES[owners] },
    )
  }
})
