import {
  COUNTER_STORE_CAPABILITIES,
  QuotaError,
  type AdjustRequest,
  type Charge,
  type Clock,
  type CounterStore,
  type CounterStoreCapability,
  type ExpiredHold,
  type HoldState,
  type ReadReply,
  type ReserveReply,
  type ReserveRequest,
  type SeedRequest,
  type SettleOutcome,
  type SettleRequest,
} from '@tallygate/core'
import type { Cluster, Redis } from 'ioredis'
import { baseOf } from './charge-arguments.ts'
import { ClusterIdentity } from './cluster-identity.ts'
import { CounterScripts } from './counter-scripts.ts'
import { OwnerVisits } from './owner-visits.ts'
import { openConnection, unavailable, type RedisConnection } from './redis-connection.ts'
import { addressOf } from './redis-failure.ts'
import { ServerIdentity } from './server-identity.ts'
import { isOwnedBy, SpanningCounters } from './spanning-counters.ts'

export interface RedisCounterStoreOptions {
  /** A client of the host's, which stays open at `close()`. */
  readonly client: Redis | Cluster
  /** Beginning of every key, without braces. Default: `tallygate:1:`, where 1 is the version of the key format. */
  readonly prefix?: string
  /** How long a settled or released id is remembered, so that a repeat charges nothing. Default: 15 minutes. */
  readonly closedForMs?: number
  /** Counters of windows of at least this length are seeded from the ledger after a loss. Default: an hour. */
  readonly rebuildsFromMs?: number
  /** For how many shapes of limits a script of their own is made, which Redis keeps until it restarts. Default: 500. */
  readonly mostShapes?: number
  /** For tests: the time to use in place of the server's. */
  readonly clock?: Clock
}

export interface RedisConnectionOptions extends Omit<RedisCounterStoreOptions, 'client'>, RedisConnection {}

/**
 * Counters shared by all nodes on one Redis, or on a Redis Cluster. Every call is one script and one round trip, by the
 * server's clock; on a Cluster one for each owner. Each call is safe to repeat.
 *
 * A failure of any kind throws `ERR_QUOTA_STORE_UNAVAILABLE`.
 */
export class RedisCounterStore implements CounterStore {
  readonly capabilities: ReadonlySet<CounterStoreCapability> = new Set(COUNTER_STORE_CAPABILITIES)
  readonly rebuildsFromMs: number
  readonly #client: Redis | Cluster
  /** Kept, as a client forgets the nodes of a Cluster that are gone. */
  readonly #address: string
  readonly #prefix: string
  readonly #isOneServer: boolean
  readonly #scripts: CounterScripts
  readonly #spanning: SpanningCounters
  readonly #visits: OwnerVisits
  #owned = false

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a prefix with braces or other than ASCII. */
  constructor(options: RedisCounterStoreOptions) {
    const { client, prefix = 'tallygate:1:', closedForMs = 15 * 60_000, clock } = options
    const { rebuildsFromMs = 3_600_000, mostShapes = 500 } = options
    // oxlint-disable-next-line no-control-regex -- all of ASCII is meant
    if (/[{}]|[^\0-\x7f]/.test(prefix)) {
      throw new QuotaError('ERR_QUOTA_CONFIG', `prefix is ${JSON.stringify(prefix)}: use ASCII without braces`)
    }
    this.rebuildsFromMs = rebuildsFromMs
    this.#client = client
    this.#address = addressOf(client)
    this.#prefix = prefix
    this.#isOneServer = !client.isCluster
    const runOf = this.#identity(client)
    const isOneServer = this.#isOneServer
    this.#scripts = new CounterScripts({ client, prefix, closedForMs, clock, mostShapes, isOneServer, runOf })
    this.#spanning = new SpanningCounters(this.#scripts)
    this.#visits = new OwnerVisits(client, prefix)
  }

  /**
   * Opens a connection that fails fast: no queue while Redis is away, no silent retries, a timeout for each command.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` when Redis does not answer within two seconds.
   */
  static async connect(options: RedisConnectionOptions): Promise<RedisCounterStore> {
    const client = await openConnection(options)
    const store = new RedisCounterStore({ ...options, client })
    store.#owned = true
    return store
  }

  async reserve(request: ReserveRequest): Promise<ReserveReply> {
    const { owner, charges } = request
    try {
      if (this.#isOneServer) return this.#scripts.replyOf(await this.#scripts.reserve(request), charges)
      const announced = this.#announce(owner, charges)
      const reply = isOwnedBy(owner, charges)
        ? this.#scripts.replyOf(await this.#scripts.reserve(request), charges)
        : await this.#spanning.reserve(request)
      await announced
      return reply
    } catch (error) {
      throw unavailable(error, this.#address)
    }
  }

  async extend(request: ReserveRequest): Promise<void> {
    const { owner, charges } = request
    await this.#try(async () => {
      if (!this.#isOneServer) await this.#announce(owner, charges)
      if (this.#isInOne(owner, charges)) await this.#scripts.extend(request)
      else await this.#spanning.extend(request)
    })
  }

  async settle(request: SettleRequest): Promise<SettleOutcome> {
    const charges = this.#isOneServer ? [] : request.charges.map(({ charge }) => charge)
    return this.#try(() =>
      this.#isInOne(request.owner, charges) ? this.#scripts.settle(request) : this.#spanning.settle(request),
    )
  }

  async release({ id, owner }: { readonly id: string; readonly owner: string }): Promise<void> {
    await this.#try(async () => {
      const others = await this.#scripts.release(id, owner)
      await Promise.all(others.map((other) => this.#scripts.release(id, other)))
    })
  }

  /** @throws QuotaError `ERR_QUOTA_CONFIG` for a top-up of a window that has no bucket to hold it. */
  async adjust(request: AdjustRequest): Promise<boolean> {
    const { charge, adjustment } = request
    const { kind } = charge.window
    if (adjustment === 'top-up' && (kind === 'sliding' || kind === 'concurrent')) {
      const what = `${charge.counter.name} is a ${kind} window`
      throw new QuotaError('ERR_QUOTA_CONFIG', `${what}, which can't be topped up: change its quota`)
    }
    return this.#try(() => this.#scripts.adjust(request))
  }

  async seed(request: SeedRequest): Promise<boolean> {
    const charges = this.#isOneServer ? [] : request.counters.map(({ charge }) => charge)
    return this.#try(() =>
      this.#isInOne(request.owner, charges) ? this.#scripts.seed(request) : this.#spanning.seed(request),
    )
  }

  async holdState({ id, owner }: { readonly id: string; readonly owner: string }): Promise<HoldState | undefined> {
    return this.#try(() => this.#spanning.holdState(id, owner))
  }

  /** @throws QuotaError `ERR_QUOTA_STALE` where Redis is outside the windows that were sent. */
  async read(charges: readonly Charge[]): Promise<ReadReply> {
    const [first] = charges
    if (first === undefined) return { nowMs: await this.#time(), statuses: [], unknown: [], fence: '' }
    const { owner } = first.counter
    return this.#try(() =>
      this.#isInOne(owner, charges) ? this.#scripts.read(owner, charges) : this.#spanning.read(charges),
    )
  }

  async sweep(most: number): Promise<readonly ExpiredHold[]> {
    return this.#try(async () => {
      const nowMs = await this.#time()
      const expired: ExpiredHold[] = []
      for (const due of await this.#visits.due(nowMs, most)) {
        const { owner } = due
        const { open, listed } = await this.#scripts.sweepOwner(owner, most)
        for (const hold of listed) {
          const { id, context, admittedAtMs, expiredAtMs } = hold
          expired.push({ id, owner, context, admittedAtMs, expiredAtMs, kept: await this.#spanning.keptOf(hold) })
        }
        await this.#visits.visited(due, nowMs, open === 0 && listed.length === 0)
      }
      return expired.slice(0, most)
    })
  }

  async acknowledge(holds: readonly ExpiredHold[]): Promise<void> {
    for (const [owner, ofOwner] of Map.groupBy(holds, (hold) => hold.owner)) {
      const ids = ofOwner.map(({ id }) => id)
      await this.#try(() => this.#client.hdel(`${baseOf(this.#prefix, owner)}x`, ...ids))
    }
  }

  async close(): Promise<void> {
    if (this.#owned) this.#client.disconnect()
  }

  #identity(client: Redis | Cluster): (owner: string) => number | Promise<number> {
    if (client.isCluster) {
      const servers = ClusterIdentity.of(client as Cluster)
      return (owner) => servers.runOf(owner)
    }
    const server = ServerIdentity.of(client as Redis)
    return () => server.run ?? server.ask()
  }

  /** Whether one script can do it. */
  #isInOne(owner: string, charges: readonly Charge[]): boolean {
    return this.#isOneServer || isOwnedBy(owner, charges)
  }

  /** A hold is announced before its call goes on, so that it is found if this process dies. */
  #announce(owner: string, charges: readonly Charge[]): Promise<unknown> | undefined {
    const nowMs = this.#scripts.nowMs()
    const first = this.#visits.announce(owner, nowMs)
    if (isOwnedBy(owner, charges)) return first
    const others = charges.flatMap(({ counter }) => (counter.owner === owner ? [] : [counter.owner]))
    return Promise.all([first, ...others.map((other) => this.#visits.announce(other, nowMs))])
  }

  async #time(): Promise<number> {
    const given = this.#scripts.nowMs()
    return given < 0 ? this.#try(() => this.#visits.serverTime()) : given
  }

  async #try<T>(command: () => Promise<T>): Promise<T> {
    try {
      return await command()
    } catch (error) {
      throw unavailable(error, this.#address)
    }
  }
}
