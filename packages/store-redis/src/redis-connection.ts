import { QuotaError } from '@tallygate/core'
import { Cluster, Redis, type ClusterOptions } from 'ioredis'
import { addressOf, failureText } from './redis-failure.ts'

/** Commands without any answer for so long mean that the connection is dead, in milliseconds. */
const SILENT_FOR_MS = 1_000

/** Where Redis is, and how long to wait for it. */
export interface RedisConnection {
  /** `redis://user:password@host:port/database`, or `rediss://` for TLS. */
  readonly url?: string
  /** Some nodes of a Redis Cluster, as URLs; the others are found by them. In place of `url`. */
  readonly nodes?: readonly string[]
  /** How long a decision waits for Redis, in milliseconds. A command that timed out may have run. Default: 250. */
  readonly commandTimeoutMs?: number
  /** Told of lost connections, after which the client connects again by itself, and of settings that lose counters. */
  readonly onError?: (error: Error) => void
}

/**
 * Opens a connection that fails fast: no queue while Redis is away, no silent retries, a timeout for each command.
 *
 * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` when Redis does not answer within two seconds; `ERR_QUOTA_CONFIG`
 *   where it isn't said where Redis is.
 */
export async function openConnection(connection: RedisConnection): Promise<Redis | Cluster> {
  const { url, nodes, commandTimeoutMs = 250, onError = () => {} } = connection
  const options = {
    lazyConnect: true,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 2_000,
    commandTimeout: commandTimeoutMs,
    connectionName: 'tallygate',
    // Back within a second or two of Redis, and not after the pauses of a long outage.
    retryStrategy: (tries: number) => Math.min(50 * tries, 500),
    // A connection that both sides still hold and that passes nothing on is replaced by one that may.
    socketTimeout: Math.max(SILENT_FOR_MS, 2 * commandTimeoutMs),
    // A master that became a replica, or still loads: another connection finds who answers now.
    reconnectOnError: ({ message }: Error) => /^(?:READONLY|LOADING|MASTERDOWN)/.test(message),
  }
  if ((url === undefined) === (nodes === undefined || nodes.length === 0)) {
    throw new QuotaError('ERR_QUOTA_CONFIG', 'RedisCounterStore.connect: give either url or nodes')
  }
  const client = url === undefined ? clusterOf(nodes!, options) : new Redis(url, options)
  // ioredis says only that the connection is closed; the reason comes before, as an event.
  let reason: Error | undefined
  const keepReason = (error: Error): void => void (reason = error)
  client.on('error', keepReason)
  try {
    await client.connect()
  } catch (error) {
    client.disconnect()
    throw unavailable(reason ?? error, nodes?.map((node) => new URL(node).host).join(', ') ?? addressOf(client))
  }
  client.off('error', keepReason).on('error', onError)
  await warnOfEviction(client, onError)
  return client
}

/** How a failure of Redis looks to those who count. */
export function unavailable(error: unknown, address: string): QuotaError {
  // A script that fails is a mistake of ours, and no reason to let calls pass.
  if (error instanceof Error && /^ERR .*(?:user_script|running script)/i.test(error.message)) throw error
  if (error instanceof QuotaError) throw error
  return new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', failureText(error, address), { cause: error })
}

/** What connections to one server and to the nodes of a Cluster have in common. */
type Options = NonNullable<ClusterOptions['redisOptions']> & { readonly replyMapping?: never }

function clusterOf(nodes: readonly string[], redisOptions: Options): Cluster {
  const [first] = nodes.map((node) => new URL(node))
  const { username, password, protocol } = first!
  return new Cluster([...nodes], {
    lazyConnect: true,
    enableOfflineQueue: false,
    // Slots move while the Cluster runs; a call follows them within its timeout.
    maxRedirections: 16,
    retryDelayOnFailover: 50,
    retryDelayOnClusterDown: 50,
    retryDelayOnTryAgain: 20,
    slotsRefreshTimeout: 2_000,
    redisOptions: {
      ...redisOptions,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' ? { tls: {} } : {}),
    },
  })
}

/** A server that evicts keys forgets counters without a trace. Where it doesn't tell, nobody is warned. */
async function warnOfEviction(client: Redis | Cluster, onError: (error: Error) => void): Promise<void> {
  const policy = await client.config('GET', 'maxmemory-policy').catch(() => undefined)
  const [, name] = Array.isArray(policy) ? policy : []
  if (typeof name !== 'string' || name === 'noeviction') return
  const message = `maxmemory-policy of this Redis is ${name}, which forgets counters when memory is short: use noeviction`
  onError(new QuotaError('ERR_QUOTA_CONFIG', message))
}
