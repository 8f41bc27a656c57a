import type { UsageEntry } from '@tallygate/core'

/** An entry of a call at instant 1 of tenant `t`. */
export function usageEntry(id: string, overrides: Partial<UsageEntry> = {}): UsageEntry {
  const nothing = { dimensions: {}, plans: [], charges: [] }
  const ended = { outcome: 'complete', streamed: false, overage: false, admittedAtMs: 1, durationMs: 0 } as const
  return { kind: 'usage', id, tenant: 't', atMs: 1, callId: id, subject: 'k', ...nothing, ...ended, ...overrides }
}
