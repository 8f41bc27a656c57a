import type {
  AdjustmentEntry,
  EntryCharge,
  RepricingEntry,
  UsageEntry,
  UsageFilter,
  WindowStartEntry,
} from '@tallygate/core'

export const NOON = Date.UTC(2026, 0, 31, 12)
export const HOUR = 3_600_000
/** Everything of the tenant. */
export const ALWAYS: UsageFilter = { tenant: 't', fromMs: Date.UTC(2025, 0), toMs: Date.UTC(2027, 0) }

export function tokens(inputTokens: number, outputTokens: number): NonNullable<UsageEntry['usage']> {
  return { basis: 'reported', inputTokens, outputTokens }
}

/** A call at noon, unless told otherwise. */
export function usage(id: string, overrides: Partial<UsageEntry> = {}): UsageEntry {
  return {
    kind: 'usage',
    id,
    tenant: 't',
    atMs: NOON,
    callId: id,
    subject: 'k',
    dimensions: { tenant: 't' },
    plans: [],
    status: 200,
    outcome: 'complete',
    streamed: false,
    admittedAtMs: NOON,
    durationMs: 1,
    charges: [],
    overage: false,
    ...overrides,
  }
}

/** What a call did to a counter: 3 reserved, 2 used. */
export function charged(counter: string, overrides: Partial<EntryCharge> = {}): EntryCharge {
  return { owner: 'o', partition: 'p', counter, unit: 'requests', reserved: 3, actual: 2, ...overrides }
}

export function adjustment(id: string, overrides: Partial<AdjustmentEntry> = {}): AdjustmentEntry {
  const counter = { owner: 'o', partition: 'p', counter: 'a', unit: 'requests' } as const
  return { kind: 'adjustment', id, tenant: 't', atMs: NOON, adjustment: 'top-up', amount: 7, ...counter, ...overrides }
}

/** Another price of a call of the same group as {@link usage} makes. */
export function repricing(id: string, overrides: Partial<RepricingEntry> = {}): RepricingEntry {
  const [repricingOf = ''] = id.split('~')
  const when = { atMs: NOON, repricedAtMs: NOON + HOUR }
  return { kind: 'repricing', id, tenant: 't', ...when, repricingOf, subject: 'k', before: {}, ...overrides }
}

export function windowStart(id: string, overrides: Partial<WindowStartEntry> = {}): WindowStartEntry {
  const counter = { owner: 'o', partition: 'p', counter: 'a' }
  return { kind: 'window-start', id, tenant: 't', atMs: NOON, endMs: NOON + HOUR, quota: 5, ...counter, ...overrides }
}
