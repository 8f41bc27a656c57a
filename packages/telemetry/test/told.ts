import {
  Admission,
  bindLimits,
  CompiledPlan,
  MemoryCounterStore,
  QuotaError,
  type Amounts,
  type CounterStore,
  type Decision,
  type Limit,
  type Subject,
  type UsageEntry,
} from '@tallygate/core'
import type { CallDescription } from '@tallygate/telemetry'
import { SettableClock } from '@tallygate/testkit'

const SUBJECT: Subject = { id: 'key:k1', tenant: 'acme', standing: 'registered', dimensions: { key: 'k1' } }

export const CALL: CallDescription = {
  attemptId: 'a1',
  callId: 'c1',
  parentId: 'run-7',
  operation: 'chat',
  provider: 'openai',
  model: 'gpt-4o',
  subject: SUBJECT,
}

export const ENTRY: UsageEntry = {
  kind: 'usage',
  id: 'a1',
  tenant: 'acme',
  atMs: 1_000,
  callId: 'c1',
  subject: 'key:k1',
  dimensions: { key: 'k1' },
  plans: [
    { name: 'free', version: '1' },
    { name: 'extra', version: '2' },
  ],
  responseModel: 'gpt-4o-2024',
  status: 200,
  outcome: 'complete',
  streamed: false,
  admittedAtMs: 0,
  durationMs: 1_500,
  usage: {
    basis: 'reported',
    inputTokens: 120,
    outputTokens: 30,
    totalTokens: 150,
    cacheReadTokens: 100,
    cacheWriteTokens: 0,
    reasoningTokens: 12,
  },
  charges: [],
  overage: false,
}

/** A limit on a day. */
export function perDay(name: string, quota: number | null, more: Partial<Limit> = {}): Limit {
  return { name, unit: 'requests', quota, window: { kind: 'fixed', every: 'day' }, ...more }
}

/** The last of several real decisions on calls of these amounts under a plan. */
export async function decisionOn(limits: readonly Limit[], ...calls: readonly Amounts[]): Promise<Decision> {
  const clock = new SettableClock().now
  return decisionBy(new MemoryCounterStore({ clock }), limits, calls)
}

/** The decision on a call while the counters can't be reached. */
export async function decisionWithoutStore(limits: readonly Limit[]): Promise<Decision> {
  return decisionBy(new UnreachableStore(), limits, [{ requests: 1 }])
}

class UnreachableStore extends MemoryCounterStore {
  override reserve(): never {
    throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'away')
  }
}

async function decisionBy(store: CounterStore, limits: readonly Limit[], calls: readonly Amounts[]): Promise<Decision> {
  const admission = new Admission({ store, clock: new SettableClock().now })
  const plan = new CompiledPlan({ name: 'free', limits })
  const bound = bindLimits({ plans: [plan], combine: 'all' }, SUBJECT.dimensions, {}, ['key'])
  let decision = await admission.admit({ id: 'r', bound: [], amounts: {}, context: '' })
  for (const [index, amounts] of calls.entries())
    decision = await admission.admit({ id: `r${index}`, bound, amounts, context: '' })
  return decision
}
