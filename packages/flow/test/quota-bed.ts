import {
  MemoryCounterStore,
  MemoryLedger,
  type Amounts,
  type Limit,
  type Subject,
  type UsageEntry,
  type UsageOutcome,
} from '@tallygate/core'
import { createQuota, type Call, type Quota, type QuotaOptions } from '@tallygate/flow'
import { SettableClock } from '@tallygate/testkit'

const PEPPER = 'a pepper for tests, long enough to be one'
const REQUEST = { method: 'POST', url: '/v1/chat/completions', headers: {} }

/** A thousand tokens, for ever. */
export const TOKENS: Limit = { name: 'tokens', unit: 'tokens', quota: 1_000, window: { kind: 'lifetime' } }
/** Ten requests, for ever. */
export const REQUESTS: Limit = { name: 'requests', unit: 'requests', quota: 10, window: { kind: 'lifetime' } }

/** A caller whom the host vouches for. */
export function subject(key = 'alice', more: Partial<Subject> & { user?: string } = {}): Subject {
  const { user, ...rest } = more
  const dimensions = { tenant: 'default', key, ...(user === undefined ? {} : { user }) }
  return { id: key, tenant: 'default', standing: 'registered', dimensions, ...rest }
}

/** A quota in memory by a clock that tests move, and calls on it without a host. */
export class QuotaBed {
  readonly clock = new SettableClock()
  readonly store = new MemoryCounterStore({ clock: this.clock.now })
  readonly ledger = new MemoryLedger()
  readonly quota: Quota

  constructor(options: QuotaOptions = {}) {
    const { clock, store, ledger } = this
    const logger = { warn: () => {}, error: () => {} }
    this.quota = createQuota({ pepper: PEPPER, store, ledger, clock: clock.now, logger, ...options })
  }

  /** A call that was admitted, or the status of its refusal. */
  async begin(who = subject(), { maxTokens = 50, prompt = 'Hello!', headers = {} } = {}): Promise<Call | number> {
    const call = this.quota.begin({ ...REQUEST, headers })
    call.identifyAs(who)
    await call.resolvePlans()
    const body = { model: 'gpt-4o', max_tokens: maxTokens, messages: [{ role: 'user', content: prompt }] }
    const denial = call.read(Buffer.from(JSON.stringify(body))) ?? (await call.admit())
    call.recordAtEnd()
    return denial?.status ?? call
  }

  /** A whole call, which uses so many tokens. Returns its entry. */
  async call(
    { status, outcome, tokens }: { status: number | undefined; outcome: UsageOutcome; tokens?: number },
    who = subject(),
    request: Parameters<QuotaBed['begin']>[1] = {},
  ): Promise<UsageEntry> {
    const call = await this.begin(who, request)
    if (typeof call === 'number') throw new Error(`refused with ${call}`)
    if (tokens !== undefined) call.record({ inputTokens: tokens, outputTokens: 0 })
    await call.finish(outcome, { ...UNANSWERED, status })
    await this.quota.drain()
    return (await this.entries()).find(({ id }) => id === call.attemptId)!
  }

  entries(): Promise<readonly UsageEntry[]> {
    return this.ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
  }

  /** Used units of a caller, by plan and limit. */
  async used(who = subject()): Promise<Readonly<Record<string, number>>> {
    const { statuses } = await this.quota.limitsOf(who, {})
    return Object.fromEntries(statuses.map(({ bound, used }) => [bound.counter.name, used]))
  }
}

const UNANSWERED = {
  status: undefined,
  framing: 'json',
  reading: { reported: undefined, coversOutput: false, model: undefined, isPending: false },
  kept: undefined as never,
  isStream: false,
  providerRequestId: undefined,
} as const satisfies Parameters<Call['finish']>[1]

/** What the ledger says of a caller's counters: the sum of what its entries charged. */
export function charged(entries: readonly UsageEntry[]): Readonly<Amounts & Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const { charges } of entries)
    for (const { counter, actual } of charges) sums[counter] = (sums[counter] ?? 0) + actual
  return sums
}
