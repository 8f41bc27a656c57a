import type { UsageEntry } from '@tallygate/core'

/** An entry for tests that only pass it on. */
export function usageEntry(id: string): UsageEntry {
  return {
    kind: 'usage',
    id,
    tenant: 'default',
    atMs: 1,
    callId: id,
    subject: 'key_1',
    dimensions: {},
    plans: [],
    outcome: 'complete',
    streamed: false,
    admittedAtMs: 1,
    durationMs: 1,
    charges: [],
    overage: false,
  }
}
