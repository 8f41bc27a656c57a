import type { Cluster, Redis } from 'ioredis'
import { ANNOUNCE_EVERY_MS, VISIT_EVERY_MS } from './counter-scripts.ts'
import { LuaScript, luaText } from './lua-script.ts'

const ANNOUNCE_OWNER = new LuaScript(luaText('announce-owner', ''))
const VISITED_OWNER = new LuaScript(luaText('visited-owner', ''))
/** So many owners are remembered as announced. */
const MOST_ANNOUNCED = 10_000

/** An owner that the slow sweep is to visit, and the instant as it stands in the list. */
export interface DueOwner {
  readonly owner: string
  readonly visit: string
}

/** The list of owners with holds, which the slow sweep of any node visits. */
export class OwnerVisits {
  readonly #client: Redis | Cluster
  readonly #key: string
  readonly #announced = new Map<string, number>()

  constructor(client: Redis | Cluster, prefix: string) {
    this.#client = client
    this.#key = `${prefix}owners`
  }

  /**
   * Announces an owner from the node, where the script that makes the hold can't: the list is in another slot. `undefined`:
   * it was done not long ago. It never rejects: the next call tries again.
   */
  announce(owner: string, nowMs: number): Promise<unknown> | undefined {
    const atMs = Date.now()
    if (atMs - (this.#announced.get(owner) ?? -Infinity) < ANNOUNCE_EVERY_MS) return undefined
    if (this.#announced.size >= MOST_ANNOUNCED) this.#announced.clear()
    this.#announced.set(owner, atMs)
    return ANNOUNCE_OWNER.run(this.#client, [this.#key], [owner, nowMs, VISIT_EVERY_MS]).catch(() =>
      this.#announced.delete(owner),
    )
  }

  async due(nowMs: number, most: number): Promise<readonly DueOwner[]> {
    const due = await this.#client.zrangebyscore(this.#key, '-inf', nowMs, 'WITHSCORES', 'LIMIT', 0, most)
    return due.flatMap((owner, index) => (index % 2 === 0 ? [{ owner, visit: due[index + 1]! }] : []))
  }

  async visited({ owner, visit }: DueOwner, nowMs: number, isEmpty: boolean): Promise<void> {
    await VISITED_OWNER.run(this.#client, [this.#key], [owner, visit, nowMs, VISIT_EVERY_MS, isEmpty ? 1 : 0])
  }

  /** The time of the server that has the list. */
  async serverTime(): Promise<number> {
    const [seconds, micros] = (await this.#client.eval("return redis.call('TIME')", 1, this.#key)) as [string, string]
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000)
  }
}
