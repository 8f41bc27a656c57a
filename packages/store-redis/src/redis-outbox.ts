import { randomUUID } from 'node:crypto'
import { configError, QuotaError, type Entry, type Outbox } from '@tallygate/core'
import { Redis } from 'ioredis'
import { addressOf, failureText } from './redis-failure.ts'

export interface RedisOutboxOptions {
  /** A client of the host's, which stays open at `close()`. */
  readonly client: Redis
  /** Beginning of every key. Default: `tallygate:1:`. */
  readonly prefix?: string
  /** Name of this process, unique among those on one Redis. Default: a random one. */
  readonly node?: string
  /** Entries that this process may leave in it, from 1. Default: 100,000. */
  readonly most?: number
  /** A process that gives no sign of life for so long is gone, and another one takes over, in ms. Default: 60 s. */
  readonly goneAfterMs?: number
}

export interface RedisOutboxConnectionOptions extends Omit<RedisOutboxOptions, 'client'> {
  /** `redis://user:password@host:port/database`, or `rediss://` for TLS. */
  readonly url: string
  /** Told of lost connections; the client connects again by itself. */
  readonly onError?: (error: Error) => void
}

/** Adds entries to a stream, all or none. Twice: they are there twice, which a ledger leaves as it is. */
const PUT = `
-- KEYS stream, owners; ARGV most, name of the stream, node, entries ...
-- Reply: length of the stream, or -1 where it would become longer than it may.
if redis.call('XLEN', KEYS[1]) + #ARGV - 3 > tonumber(ARGV[1]) then return -1 end
redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3])
for i = 4, #ARGV do redis.call('XADD', KEYS[1], '*', 'e', ARGV[i]) end
return redis.call('XLEN', KEYS[1])`

/** Gives a sign of life, and takes over the streams of nodes that gave none. Running it twice takes over nothing more. */
const LIVE = `
-- KEYS nodes, owners; ARGV node, its own stream, ms after which a node is gone
-- Reply: names of all streams of the node
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[1])
local gone = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[3]), 'LIMIT', 0, 100)) do
  gone[node] = true
  redis.call('ZREM', KEYS[1], node)
end
local mine = {}
local owners = redis.call('HGETALL', KEYS[2])
for i = 1, #owners, 2 do
  if gone[owners[i + 1]] then redis.call('HSET', KEYS[2], owners[i], ARGV[1]) end
  if gone[owners[i + 1]] or owners[i + 1] == ARGV[1] then mine[#mine + 1] = owners[i] end
end
return mine`

/** Forgets a stream, if it is empty and this node's. */
const FORGET = `
-- KEYS owners, stream; ARGV its name, node
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] or redis.call('XLEN', KEYS[2]) > 0 then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1`

interface Place {
  readonly stream: string
  readonly item: string
}

/**
 * An outbox in Redis, for nodes without a disk that lasts: a stream for each process. What a process has left that is gone
 * is taken over by another one. As durable as that Redis: without an append-only file it survives the process, and not
 * Redis.
 */
export class RedisOutbox implements Outbox {
  readonly #client: Redis
  readonly #prefix: string
  readonly #node: string
  readonly #most: number
  readonly #goneAfterMs: number
  #owned = false
  /** Lengths of the streams of this node by name: its own, and those that it took over. */
  readonly #lengths = new Map<string, number>()
  /** Where the entries are that were peeked last. */
  #places = new Map<string, Place>()
  #signs: NodeJS.Timeout | undefined

  private constructor({
    client,
    prefix = 'tallygate:1:',
    node,
    most = 100_000,
    goneAfterMs = 60_000,
  }: RedisOutboxOptions) {
    if (!Number.isInteger(most) || most < 1) throw configError('RedisOutbox.most', most, 'use a whole number from 1')
    if (!Number.isInteger(goneAfterMs) || goneAfterMs < 1)
      throw configError('RedisOutbox.goneAfterMs', goneAfterMs, 'use a whole number of milliseconds from 1')
    this.#client = client
    this.#prefix = prefix
    this.#node = node ?? randomUUID()
    this.#most = most
    this.#goneAfterMs = goneAfterMs
  }

  /**
   * Opens the outbox of a process, with what earlier ones have left.
   *
   * @throws QuotaError `ERR_QUOTA_STORE_UNAVAILABLE` when Redis does not answer.
   */
  static async open(options: RedisOutboxOptions): Promise<RedisOutbox> {
    const outbox = new RedisOutbox(options)
    try {
      await outbox.#live()
    } catch (error) {
      const reason = failureText(error, addressOf(options.client))
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', `the outbox can't be reached: ${reason}`, { cause: error })
    }
    const again = (): void => void outbox.#live().catch(() => {})
    outbox.#signs = setInterval(again, Math.max(1, options.goneAfterMs ?? 60_000) / 4).unref()
    return outbox
  }

  /** As {@link open}, over a connection of its own, which fails fast. */
  static async connect({ url, onError = () => {}, ...rest }: RedisOutboxConnectionOptions): Promise<RedisOutbox> {
    const client = new Redis(url, {
      enableOfflineQueue: true,
      maxRetriesPerRequest: 1,
      connectTimeout: 2_000,
      commandTimeout: 2_000,
      connectionName: 'tallygate-outbox',
    })
    client.on('error', onError)
    try {
      const outbox = await RedisOutbox.open({ client, ...rest })
      outbox.#owned = true
      return outbox
    } catch (error) {
      client.disconnect()
      throw error
    }
  }

  get size(): number {
    let size = 0
    for (const length of this.#lengths.values()) size += length
    return size
  }

  async put(entries: readonly Entry[]): Promise<void> {
    if (entries.length === 0) return
    const texts = entries.map((entry) => JSON.stringify(entry))
    const keys = [this.#key(this.#node), this.#owners] as const
    let length: number
    try {
      length = (await this.#client.eval(PUT, 2, ...keys, this.#most, this.#node, this.#node, ...texts)) as number
    } catch (error) {
      const reason = failureText(error, addressOf(this.#client))
      throw new QuotaError('ERR_QUOTA_OUTBOX_FULL', `the outbox can't be reached: ${reason}`, { cause: error })
    }
    if (length === -1) {
      throw new QuotaError(
        'ERR_QUOTA_OUTBOX_FULL',
        `the outbox of this process holds up to ${this.#most} entries: bring the ledger back, or allow more`,
      )
    }
    this.#lengths.set(this.#node, length)
  }

  async peek(most: number): Promise<readonly Entry[]> {
    const places = new Map<string, Place>()
    const found: Entry[] = []
    // What was taken over is older than what is our own.
    const streams = [...this.#lengths.keys()].sort((one) => (one === this.#node ? 1 : -1))
    for (const stream of streams) {
      if (found.length >= most) break
      const items = await this.#client.xrange(this.#key(stream), '-', '+', 'COUNT', most - found.length)
      if (items.length === 0) this.#lengths.set(stream, 0)
      for (const [item, [, text = '']] of items) {
        const entry = JSON.parse(text) as Entry
        places.set(keyOf(entry), { stream, item })
        found.push(entry)
      }
    }
    this.#places = places
    return found
  }

  async remove(entries: readonly Entry[]): Promise<void> {
    const places = entries.flatMap((entry) => this.#places.get(keyOf(entry)) ?? [])
    for (const [stream, ofStream] of Map.groupBy(places, (place) => place.stream)) {
      await this.#client.xdel(this.#key(stream), ...ofStream.map(({ item }) => item))
      const length = await this.#client.xlen(this.#key(stream))
      this.#lengths.set(stream, length)
      if (length === 0 && stream !== this.#node) await this.#forget(stream)
    }
  }

  /** Leaves what is in it for the next process, which does not have to wait. */
  async close(): Promise<void> {
    clearInterval(this.#signs)
    try {
      for (const stream of this.#lengths.keys()) await this.#forget(stream)
      await (this.#lengths.size === 0
        ? this.#client.zrem(this.#nodes, this.#node)
        : this.#client.zadd(this.#nodes, 0, this.#node))
    } catch {
      // Redis is away: others take over when this node has been silent for long enough.
    }
    if (this.#owned) this.#client.disconnect()
  }

  async #live(): Promise<void> {
    const reply = await this.#client.eval(LIVE, 2, this.#nodes, this.#owners, this.#node, this.#node, this.#goneAfterMs)
    for (const stream of reply as string[]) this.#lengths.set(stream, await this.#client.xlen(this.#key(stream)))
    // Somebody took ours over while we were silent; what we put there, they bring in.
    if (!(reply as string[]).includes(this.#node)) this.#lengths.set(this.#node, 0)
  }

  async #forget(stream: string): Promise<void> {
    const gone = await this.#client.eval(FORGET, 2, this.#owners, this.#key(stream), stream, this.#node)
    if (gone === 1) this.#lengths.delete(stream)
  }

  #key(stream: string): string {
    return `${this.#prefix}{outbox}:s:${stream}`
  }

  get #nodes(): string {
    return `${this.#prefix}{outbox}:nodes`
  }

  get #owners(): string {
    return `${this.#prefix}{outbox}:owners`
  }
}

function keyOf({ tenant, id }: Entry): string {
  return `${tenant} ${id}`
}
