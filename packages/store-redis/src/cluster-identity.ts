import type { Cluster, Redis } from 'ioredis'
import { hashSlot } from './hash-slot.ts'
import { ServerIdentity } from './server-identity.ts'

const KNOWN = new WeakMap<Cluster, ClusterIdentity>()

/**
 * Knows which run of which server of a Cluster has an owner's keys, as far as this process knows the slots. Where they
 * have moved meanwhile, the script's own server answers for itself: see `SERVER_SALT` in `lua/includes/charge.lua`.
 */
export class ClusterIdentity {
  readonly #cluster: Cluster
  readonly #servers = new Map<string, ServerIdentity>()

  /** That of a client; several stores can have the same one. */
  static of(cluster: Cluster): ClusterIdentity {
    const known = KNOWN.get(cluster) ?? new ClusterIdentity(cluster)
    KNOWN.set(cluster, known)
    return known
  }

  private constructor(cluster: Cluster) {
    this.#cluster = cluster
    cluster.on('-node', (node: Redis) => this.#servers.delete(addressOf(node)))
  }

  runOf(owner: string): number | Promise<number> {
    const address = this.#cluster.slots[hashSlot(owner)]?.[0]
    // The Cluster is not known yet, or this slot of it: the call that follows finds out.
    if (address === undefined) return 1
    const server = this.#servers.get(address) ?? this.#serverAt(address)
    return server === undefined ? 1 : (server.run ?? server.ask())
  }

  #serverAt(address: string): ServerIdentity | undefined {
    const node = this.#cluster.nodes('all').find((each) => addressOf(each) === address)
    if (node === undefined) return undefined
    const server = ServerIdentity.of(node)
    this.#servers.set(address, server)
    return server
  }
}

function addressOf({ options: { host, port } }: Redis): string {
  return `${host}:${port}`
}
