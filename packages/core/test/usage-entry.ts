import type { UsageEntry } from '@tallygate/core'
import { testEntry } from '@tallygate/testkit'

/** An entry of a call of alice's that nothing is known of but what is given. */
export function usageEntry(overrides: Partial<UsageEntry>): UsageEntry {
  const nothing = { tenant: 'default', atMs: 0, callId: 'call', subject: 'alice', admittedAtMs: 0, durationMs: 0 }
  return { ...testEntry('entry'), ...nothing, ...overrides }
}
