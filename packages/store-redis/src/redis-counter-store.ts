import { QuotaError } from '@tallygate/core'
import type {
  Charge,
  Clock,
  CounterStore,
  CounterStoreCapability,
  ExpiredHold,
  ReadReply,
  ReserveReply,
  ReserveRequest,
  SettleOutcome,
  SettleRequest,
} from '@tallygate/core'
import { Redis } from 'ioredis'
import { chargeArguments, statusesOf } from './charge-arguments.ts'
import { LuaScript } from './lua-script.ts'

export interface RedisCounterStoreOptions {
  /** A client of the host's, which stays open at `close()`. */
  readonly client: Redis
  /** Beginning of every key. Default: `tallygate:1:`, where 1 is the version of the key format. */
  readonly prefix?: string
  /** How long a settled or released id is remembered, so that a repeat charges nothing. Default: 15 minutes. */
  readonly closedForMs?: number
  /** For tests: the time to use in place of the server's. */
  readonly clock?: Clock
}

export interface RedisConnectionOptions extends Omit<RedisCounterStoreOptions, 'client'> {
  /** `redis://user:password@host:port/database`, or `rediss://` for TLS. */
  readonly url: string
  /** How long a decision waits for Redis, in milliseconds. A command that timed out may have run. Default: 250. */
  readonly commandTimeoutMs?: number
  /** Told of lost connections; the client connects again by itself. */
  readonly onError?: (error: Error) => void
}

const RESERVE = new LuaScript('reserve')
const EXTEND = new LuaScript('extend')
const SETTLE = new LuaScript('settle')
const RELEASE = new LuaScript('release')
const READ = new LuaScript('read')
const SWEEP = new LuaScript('sweep')
const ANNOUNCE_OWNER = new LuaScript('announce-owner')
const VISITED_OWNER = new LuaScript('visited-owner')

const GRANTED = 1
const STALE = 2
const CLOSED = 3
/** Owners with holds are announced to the slow sweep at most once in this time, and at most so many remembered. */
const ANNOUNCE_EVERY_MS = 60_000
/** The slow sweep visits them this often: longer apart than they are announced. */
const VISIT_EVERY_MS = 2 * ANNOUNCE_EVERY_MS
const MOST_ANNOUNCED = 10_000

/**
 * Counters shared by all nodes on one Redis. Every call is one script and one round trip, by the server's clock. Nothing
 * is lost when scripts are flushed or connections drop: each call is safe to repeat.
 *
 * A failure of any kind throws `ERR_QUOTA_STORE_UNAVAILABLE`.
 */
export class RedisCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability> = new Set([
    'calendar',
    'sliding',
    'first-use',
    'lifetime',
    'concurrent',
    'alternatives',
    'next-window',
    'expiry',
  ] as const)
  readonly rebuildsFromMs = Infinity
  readonly #client: Redis
  readonly #prefix: string
  readonly #closedForMs: number
  readonly #clock: Clock | undefined
  readonly #announced = new Map<string, number>()
  #owned = false

  constructor({ client, prefix = 'tallygate:1:', closedForMs = 15 * 60_000, clock }: RedisCounterStoreOptions) {
    this.#client = client
    this.#prefix = prefix
    this.#closedForMs = closedForMs
    this.#clock = clock
  }

  /**
   * Opens a connection that fails fast: no queue while Redis is away, no silent retries, a timeout for each command.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` when Redis does not answer within two seconds.
   */
  static async connect(options: RedisConnectionOptions): Promise<RedisCounterStore> {
    const { url, commandTimeoutMs = 250, onError = () => {}, ...rest } = options
    const client = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2_000,
      commandTimeout: commandTimeoutMs,
      connectionName: 'tallygate',
      // A master that became a replica, or still loads: another connection finds who answers now.
      reconnectOnError: ({ message }) => /^(?:READONLY|LOADING|MASTERDOWN)/.test(message),
    })
    // ioredis says only that the connection is closed; the reason comes before, as an event.
    let reason: Error | undefined
    const keepReason = (error: Error): void => void (reason = error)
    client.on('error', keepReason)
    try {
      await client.connect()
    } catch (error) {
      client.disconnect()
      throw unavailable(reason ?? error)
    }
    client.off('error', keepReason).on('error', onError)
    const store = new RedisCounterStore({ client, ...rest })
    store.#owned = true
    return store
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const reply = await this.#hold(RESERVE, request)
    const [outcome, nowMs] = reply as [number, number]
    // Only behind the hold: a visit in between that found nothing must not be the last.
    if (outcome === GRANTED) this.#announce(request.owner)
    if (outcome === STALE) return { outcome: 'stale', nowMs }
    if (outcome === CLOSED) return { outcome: 'closed', nowMs }
    const statuses = statusesOf(reply, 2, request.charges)
    return { outcome: outcome === GRANTED ? 'granted' : 'refused', nowMs, statuses }
  }

  async extend(request: ReserveRequest): Promise<void> {
    await this.#hold(EXTEND, request)
    this.#announce(request.owner)
  }

  async settle({ id, owner, charges, atMs }: SettleRequest): Promise<SettleOutcome> {
    const { keys, json } = this.#charges(charges.map(({ charge }) => charge))
    const call = JSON.stringify([this.#now(), this.#closedForMs, this.#base(owner), id, atMs])
    const actuals = JSON.stringify(charges.map(({ actual }) => actual))
    const reply = await this.#run(SETTLE, [...this.#holdKeys(owner, id), ...keys], [call, json, actuals])
    return reply === 0 ? 'closed' : reply === 1 ? 'settled' : 'late'
  }

  async release({ id, owner }: { readonly id: string; readonly owner: string }): Promise<void> {
    const call = JSON.stringify([this.#now(), this.#closedForMs, this.#base(owner), id])
    await this.#run(RELEASE, this.#holdKeys(owner, id), [call])
  }

  async adjust(): Promise<boolean> {
    throw new QuotaError('ERR_QUOTA_CAPABILITY', 'counters in Redis can not be adjusted yet')
  }

  async seed(): Promise<boolean> {
    throw new QuotaError('ERR_QUOTA_CAPABILITY', 'counters in Redis can not be seeded yet')
  }

  async holdState(): Promise<undefined> {
    throw new QuotaError('ERR_QUOTA_CAPABILITY', 'states of holds in Redis can not be told yet')
  }

  async read(charges: readonly Charge[]): Promise<ReadReply> {
    const { keys, json } = this.#charges(charges)
    const reply = (await this.#run(READ, keys, [this.#now(), json])) as number[]
    const [outcome, nowMs] = reply as [number, number]
    if (outcome === STALE) {
      throw new QuotaError(
        'ERR_QUOTA_STALE',
        `Redis says it is ${new Date(nowMs).toISOString()}, outside the windows asked for`,
      )
    }
    return { nowMs, statuses: statusesOf(reply, 2, charges), unknown: [], fence: '' }
  }

  async sweep(most: number): Promise<readonly ExpiredHold[]> {
    const nowMs = await this.#serverTime()
    const expired: ExpiredHold[] = []
    const due = await this.#try(() =>
      this.#client.zrangebyscore(this.#ownersKey, '-inf', nowMs, 'WITHSCORES', 'LIMIT', 0, most),
    )
    for (let index = 0; index < due.length; index += 2) {
      const [owner, visit] = [due[index]!, due[index + 1]!]
      const [open, ...listed] = await this.#sweepOwner(owner, most)
      expired.push(...listed.map((hold) => ({ ...hold, owner })))
      const isEmpty = open === 0 && listed.length === 0
      await this.#run(VISITED_OWNER, [this.#ownersKey], [owner, visit, nowMs, VISIT_EVERY_MS, isEmpty ? 1 : 0])
    }
    return expired.slice(0, most)
  }

  async acknowledge(holds: readonly ExpiredHold[]): Promise<void> {
    for (const [owner, ofOwner] of Map.groupBy(holds, (hold) => hold.owner)) {
      const ids = ofOwner.map(({ id }) => id)
      await this.#try(() => this.#client.hdel(`${this.#base(owner)}x`, ...ids))
    }
  }

  async close(): Promise<void> {
    if (this.#owned) this.#client.disconnect()
  }

  async #hold(script: LuaScript, { id, owner, charges, lifetimeMs, context }: ReserveRequest): Promise<number[]> {
    const { keys, json } = this.#charges(charges)
    const call = JSON.stringify([this.#now(), lifetimeMs, this.#closedForMs, this.#base(owner), id, context])
    return (await this.#run(script, [...this.#holdKeys(owner, id), ...keys], [call, json])) as number[]
  }

  async #sweepOwner(owner: string, most: number): Promise<[number, ...Omit<ExpiredHold, 'owner'>[]]> {
    const base = this.#base(owner)
    const call = JSON.stringify([this.#now(), most, this.#closedForMs, base])
    const reply = await this.#run(SWEEP, [`${base}o`, `${base}x`], [call])
    const [open, ...figures] = reply as [number, ...(string | number)[]]
    const listed: Omit<ExpiredHold, 'owner'>[] = []
    for (let i = 0; i < figures.length; i += 3) {
      const expiredAtMs = Number(figures[i + 1])
      listed.push({
        id: String(figures[i]),
        admittedAtMs: expiredAtMs,
        expiredAtMs,
        context: String(figures[i + 2]),
        kept: [],
      })
    }
    return [open, ...listed]
  }

  /** Lets the slow sweep of any node find an owner's holds, should nobody ever decide on them again. */
  #announce(owner: string): void {
    const nowMs = Date.now()
    if (nowMs - (this.#announced.get(owner) ?? -Infinity) < ANNOUNCE_EVERY_MS) return
    if (this.#announced.size >= MOST_ANNOUNCED) this.#announced.clear()
    this.#announced.set(owner, nowMs)
    this.#run(ANNOUNCE_OWNER, [this.#ownersKey], [owner, this.#now(), VISIT_EVERY_MS]).catch(() =>
      this.#announced.delete(owner),
    )
  }

  async #serverTime(): Promise<number> {
    if (this.#clock !== undefined) return Math.floor(this.#clock())
    const [seconds, micros] = await this.#try(() => this.#client.time())
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
  }

  #now(): number {
    return this.#clock === undefined ? -1 : Math.floor(this.#clock())
  }

  get #ownersKey(): string {
    return `${this.#prefix}owners`
  }

  /** All keys of an owner share a hash tag, so that a Cluster keeps them in one slot. */
  #base(owner: string): string {
    return `${this.#prefix}{${owner}}:`
  }

  #holdKeys(owner: string, id: string): string[] {
    const base = this.#base(owner)
    return [`${base}h:${id}`, `${base}o`, `${base}x`]
  }

  #charges(charges: readonly Charge[]): { keys: readonly string[]; json: string } {
    return chargeArguments(charges, ({ counter }) => `${this.#base(counter.owner)}c:${counter.partition}`)
  }

  async #run(script: LuaScript, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    return this.#try(() => script.run(this.#client, keys, args))
  }

  async #try<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await command()
    } catch (error) {
      throw unavailable(error)
    }
  }
}

function unavailable(error: unknown): QuotaError {
  // A script that fails is a mistake of ours, and no reason to let calls pass.
  if (error instanceof Error && /^ERR .*(?:user_script|running script)/i.test(error.message)) throw error
  const reason = error instanceof Error ? error.message : String(error)
  return new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `Redis did not count: ${reason}`, { cause: error })
}
