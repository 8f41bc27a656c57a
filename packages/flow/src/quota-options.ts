import {
  assertMembers,
  assertOneOf,
  configError,
  type Assignment,
  type Clock,
  type CounterStore,
  type KeyRegistry,
  type Ledger,
  type Outbox,
  type Override,
  type Plan,
  type PlanSource,
  type Topology,
  type Unit,
} from '@tallygate/core'
import type { CredentialRequest, Pepper } from '@tallygate/identity'
import type { TelemetryOptions } from '@tallygate/telemetry'
import type { DenialOptions } from './denial.ts'
import type { LateEntry } from './end-delay.ts'
import type { Logger } from './logger.ts'
import type { RateLimitStyle } from './rate-limit-fields.ts'

export interface QuotaOptions {
  /** Where units are counted. Default: in this process. */
  readonly store?: CounterStore
  /** Where usage is recorded. Default: in this process, bounded. */
  readonly ledger?: Ledger
  /** Where entries wait while the ledger is away. Default: in this process, up to 10,000. */
  readonly outbox?: Outbox
  /** Plans that callers can have, or a source that knows them. Default: none, so that nothing is limited. */
  readonly plans?: readonly Plan[] | PlanSource
  /** Names of the plans of a caller that has none of its own. */
  readonly defaultPlans?: readonly string[]
  /** How several plans of a caller combine. Default: `all`. */
  readonly combine?: 'all' | 'any'
  /** Plans of users, keys and groups. Of the first of these that says anything: user, key, group, default. */
  readonly assignments?: readonly Assignment[]
  /** Whose plans a caller has who is in several groups: those of the first assignment, or of all. Default: `first`. */
  readonly severalGroups?: 'first' | 'all' | 'any'
  /** Other quotas for some callers. The first of these that says anything: user, key, group, plan. */
  readonly overrides?: readonly Override[]
  /** Keys that were handed out. */
  readonly registry?: KeyRegistry
  /** What becomes of keys that the registry does not know. Default: `refuse` with a registry, `pass` without. */
  readonly unregistered?: 'pass' | 'refuse'
  /** What becomes of requests without a key. Default: as `unregistered`. */
  readonly missing?: 'pass' | 'refuse'
  /** Finds the key of a request by itself, in place of the usual headers. */
  readonly credential?: (request: CredentialRequest) => string | undefined
  /** Bits of an IPv6 address that tell callers without a key apart. Default: 56. */
  readonly ipv6Subnet?: number
  /**
   * Fingerprints keys. Default: `TALLYGATE_PEPPER`, else the file that `TALLYGATE_PEPPER_FILE` names, else
   * `.tallygate/pepper`, which is created once.
   */
  readonly pepper?: Pepper | string
  /** Fields that tell where limits stand. Default: `['draft-8']`. */
  readonly rateLimitStyles?: readonly RateLimitStyle[]
  readonly denials?: DenialOptions
  /** Whether OpenAI-shaped streams are asked for their usage where the caller did not ask. Default: `when-needed`. */
  readonly injectUsage?: 'when-needed' | 'never'
  /** Whether entries keep the provider's own usage object: names, figures and short words, up to 16 kB. Default: false. */
  readonly keepRawUsage?: boolean
  /** Dimensions whose values own a slot together: limits within one owner are decided in one step. Default: tenant and key. */
  readonly slotOwner?: readonly string[]
  /**
   * How long a hold lives without a heartbeat, in whole milliseconds from 1,000 to 3,600,000. It is extended before half of
   * that is over. Default: 60 s.
   */
  readonly holdLifetimeMs?: number
  /**
   * How long a decision waits for the store that is given, in milliseconds, from 1 to 10,000. Then the call goes by what
   * its limits say for counters that can't be reached. Default: 250.
   */
  readonly decideWithinMs?: number
  /** How long the end of an answer may wait for its entry, in whole milliseconds from 1 to 600,000. Default: 20. */
  readonly durableWithinMs?: number
  /** What happens to the end of an answer whose entry takes longer: it leaves, or the connection breaks. Default: `leave`. */
  readonly onLateEntry?: LateEntry
  /** What happens to new calls while neither ledger nor outbox takes entries. Default: `refuse`. */
  readonly onFullOutbox?: 'refuse' | 'admit'
  /**
   * How long after a failure another attempt of it is charged no further request, in milliseconds from 1 to 86,400,000:
   * one with the same `Idempotency-Key` and body. What it uses is charged. Default: every attempt is a request.
   */
  readonly spareRetriesMs?: number
  /** Header that names the run that a call is part of. Default: `x-tallygate-parent`. */
  readonly parentHeader?: string
  /** Where the store counts, for stating how far a limit can be exceeded. Default: `memory` without a store, else `redis`. */
  readonly topology?: Topology
  /** Processes that admit calls, for the same. Default: 1. */
  readonly nodes?: number
  readonly telemetry?: TelemetryOptions
  readonly logger?: Logger
  readonly clock?: Clock
}

/** Units that are metered. Others can be counted when something meters them. */
const METERED: ReadonlySet<Unit> = new Set<Unit>([
  'requests',
  'tokens',
  'input-tokens',
  'output-tokens',
  'cached-input-tokens',
  'reasoning-tokens',
])
/** Whether limits can count a unit: something meters it. */
export function isMetered(unit: Unit): boolean {
  return METERED.has(unit)
}

const OPTIONS = [
  'store',
  'ledger',
  'outbox',
  'plans',
  'defaultPlans',
  'combine',
  'assignments',
  'severalGroups',
  'overrides',
  'registry',
  'unregistered',
  'missing',
  'credential',
  'ipv6Subnet',
  'pepper',
  'rateLimitStyles',
  'denials',
  'injectUsage',
  'keepRawUsage',
  'slotOwner',
  'holdLifetimeMs',
  'decideWithinMs',
  'durableWithinMs',
  'onLateEntry',
  'onFullOutbox',
  'spareRetriesMs',
  'parentHeader',
  'topology',
  'nodes',
  'telemetry',
  'logger',
  'clock',
] as const satisfies readonly (keyof QuotaOptions)[]
const STYLES: readonly RateLimitStyle[] = ['draft-8', 'draft-7', 'draft-6', 'x', 'openai', 'anthropic']

/**
 * For those who write no TypeScript: an option that is misspelt must not mean its default.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG`, naming the option, its value and the remedy.
 */
export function checkQuotaOptions(options: QuotaOptions): void {
  const of = 'createQuota()'
  assertMembers(options, OPTIONS, of)
  const { store, ledger, injectUsage, onLateEntry, onFullOutbox, rateLimitStyles = [], denials = {} } = options
  const { decideWithinMs = 250 } = options
  if (!(typeof decideWithinMs === 'number' && decideWithinMs >= 1 && decideWithinMs <= 10_000))
    throw configError(`${of}.decideWithinMs`, decideWithinMs, 'use milliseconds from 1 to 10000')
  if (store !== undefined && !(store.capabilities instanceof Set))
    throw configError(`${of}.store`, store, 'use a counter store, such as await RedisCounterStore.connect({ url })')
  if (ledger !== undefined && typeof ledger.append !== 'function')
    throw configError(`${of}.ledger`, ledger, 'use a ledger, such as await SqliteLedger.open({ file })')
  if (injectUsage !== undefined) assertOneOf(injectUsage, ['when-needed', 'never'], `${of}.injectUsage`)
  const { keepRawUsage = false } = options
  if (typeof keepRawUsage !== 'boolean') throw configError(`${of}.keepRawUsage`, keepRawUsage, 'use true or false')
  if (onLateEntry !== undefined) assertOneOf(onLateEntry, ['leave', 'break'], `${of}.onLateEntry`)
  if (onFullOutbox !== undefined) assertOneOf(onFullOutbox, ['refuse', 'admit'], `${of}.onFullOutbox`)
  const { topology, nodes = 1 } = options
  if (topology !== undefined) assertOneOf(topology, ['memory', 'redis', 'cluster'], `${of}.topology`)
  if (!Number.isInteger(nodes) || nodes < 1) throw configError(`${of}.nodes`, nodes, 'use a whole number from 1')
  for (const [name, least, most] of TIMES) assertTime(options[name], least, most, `${of}.${name}`)
  for (const style of rateLimitStyles) assertOneOf(style, STYLES, `${of}.rateLimitStyles`)
  assertMembers(denials, ['exhaustedStatus', 'neverFitsStatus'], `${of}.denials`)
  const { exhaustedStatus = 429, neverFitsStatus = 413 } = denials
  if (![429, 402, 403].includes(exhaustedStatus))
    throw configError(`${of}.denials.exhaustedStatus`, exhaustedStatus, 'use 429, 402 or 403')
  if (![413, 400].includes(neverFitsStatus))
    throw configError(`${of}.denials.neverFitsStatus`, neverFitsStatus, 'use 413 or 400')
}

/** Whole milliseconds. */
const TIMES = [
  ['holdLifetimeMs', 1_000, 3_600_000],
  ['durableWithinMs', 1, 600_000],
  ['spareRetriesMs', 1, 86_400_000],
] as const satisfies readonly (readonly [keyof QuotaOptions, number, number])[]

function assertTime(ms: number | undefined, least: number, most: number, at: string): void {
  if (ms === undefined || (Number.isInteger(ms) && ms >= least && ms <= most)) return
  throw configError(at, ms, `use whole milliseconds from ${least} to ${most}`)
}
