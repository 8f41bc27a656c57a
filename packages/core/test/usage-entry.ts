import type { UsageEntry } from '@tallygate/core'

/** An entry of a call that nothing is known of but what is given. */
export function usageEntry(overrides: Partial<UsageEntry>): UsageEntry {
  return {
    kind: 'usage',
    id: 'entry',
    tenant: 'default',
    atMs: 0,
    callId: 'call',
    subject: 'alice',
    dimensions: {},
    plans: [],
    outcome: 'complete',
    streamed: false,
    admittedAtMs: 0,
    durationMs: 0,
    charges: [],
    overage: false,
    ...overrides,
  }
}
