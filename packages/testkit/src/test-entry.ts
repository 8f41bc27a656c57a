import type { UsageEntry } from '@tallygate/core'

/** An entry of a call of key `k` of tenant `t` that used nothing, unless told otherwise. */
export function testEntry(id: string, overrides: Partial<UsageEntry> = {}): UsageEntry {
  return {
    kind: 'usage',
    id,
    tenant: 't',
    atMs: 1,
    callId: id,
    subject: 'k',
    dimensions: {},
    plans: [],
    outcome: 'complete',
    streamed: false,
    admittedAtMs: 1,
    durationMs: 1,
    charges: [],
    overage: false,
    ...overrides,
  }
}
