import { MemoryKeyRegistry } from '@tallygate/core'
import { createQuota } from '@tallygate/flow'
import { fingerprint, pepperOf } from '@tallygate/identity'

const pepper = pepperOf(process.env['PEPPER'] ?? 'at least 32 characters, at random, kept')

/** A quota that knows one key. */
export const quota = createQuota({
  pepper,
  registry: new MemoryKeyRegistry([{ id: 'alice', fingerprint: fingerprint(pepper, 'alice-has-this-secret') }]),
})
