import {
  Admission,
  MemoryCounterStore,
  MemoryLedger,
  QuotaError,
  type AdmissionOptions,
  type CounterEventQuery,
  type CounterStore,
  type Decision,
  type Limit,
  type UsageEntry,
} from '@tallygate/core'
import { SettableClock } from '@tallygate/testkit'
import { boundTo, DAY, NOON, TOKENS } from './admission-bed.ts'

/** A ledger that counts what it is asked, and can be taken away. */
export class WatchedLedger extends MemoryLedger {
  isAway = false
  /** From when on it was asked. */
  readonly readFrom: number[] = []
  /** After what it answers was taken, before it answers. */
  whileReading: () => Promise<void> = async () => {}

  get reads(): number {
    return this.readFrom.length
  }

  override async counterEvents(query: CounterEventQuery): ReturnType<MemoryLedger['counterEvents']> {
    this.readFrom.push(query.fromMs)
    if (this.isAway) throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'gone fishing')
    const page = await super.counterEvents(query)
    await this.whileReading()
    return page
  }
}

export interface Node {
  readonly clock: SettableClock
  readonly ledger: WatchedLedger
  readonly store: CounterStore
  readonly admission: Admission
  readonly admit: (id: string, limits?: readonly Limit[]) => Promise<Decision>
  readonly used: (limits?: readonly Limit[]) => Promise<number[]>
}

/** A node that has just begun, with a ledger that knows of a call this morning. */
export async function restarted(rebuild: Partial<AdmissionOptions['rebuild']> = {}): Promise<Node> {
  const clock = new SettableClock(NOON)
  const ledger = new WatchedLedger()
  await ledger.append([entry('this-morning', { atMs: NOON - 3_600_000, charges: charged(30) })])
  const store = new MemoryCounterStore({ clock: clock.now })
  const admission = new Admission({ store, clock: clock.now, rebuild: { ledger, ...rebuild } })
  return {
    clock,
    ledger,
    store,
    admission,
    admit: (id, limits = [DAY, TOKENS]) =>
      admission.admit({ id, bound: boundTo(limits), amounts: { tokens: 5 }, context: '', subject: 'alice' }),
    used: async (limits = [DAY, TOKENS]) =>
      (await admission.read(boundTo(limits), { subject: 'alice' })).statuses.map(({ used }) => used),
  }
}

export function charged(tokens: number): UsageEntry['charges'] {
  const owner = 'tenant=acme,key=alice'
  const of = { owner, partition: owner }
  return [
    { ...of, counter: 'pro/day', unit: 'requests', reserved: 1, actual: 1 },
    { ...of, counter: 'pro/tokens', unit: 'tokens', reserved: 5, actual: tokens },
  ]
}

export function entry(id: string, overrides: Partial<UsageEntry>): UsageEntry {
  return {
    kind: 'usage',
    id,
    tenant: 'acme',
    atMs: NOON,
    callId: id,
    subject: 'alice',
    dimensions: { tenant: 'acme', key: 'alice' },
    plans: [],
    outcome: 'complete',
    streamed: false,
    admittedAtMs: overrides.atMs ?? NOON,
    durationMs: 0,
    charges: [],
    overage: false,
    ...overrides,
  }
}
