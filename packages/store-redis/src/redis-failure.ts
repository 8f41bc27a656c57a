import type { Cluster, Redis } from 'ioredis'

/** How ioredis says, in terms of its own options, that it has no connection. */
const NO_CONNECTION = /enableOfflineQueue|^Connection is closed|maxRetriesPerRequest|^Failed to refresh slots cache/
/** How the operating system says it. */
const NOBODY_THERE = /^(?:connect|getaddrinfo) /

/** What a failure of a client means, and where: `Redis can't be reached at 10.0.0.7:6379: …`. */
export function failureText(error: unknown, address: string): string {
  const message = error instanceof Error ? error.message : String(error)
  const remedy = 'start it, or correct its address'
  if (NO_CONNECTION.test(message)) return `Redis can't be reached at ${address}: ${remedy}`
  if (NOBODY_THERE.test(message)) return `Redis can't be reached at ${address} (${message}): ${remedy}`
  return `Redis at ${address} failed: ${message}`
}

/** Where a client finds Redis, without credentials. Of a Cluster those nodes that it knows just now. */
export function addressOf(client: Redis | Cluster): string {
  if (client.isCluster) {
    const nodes = (client as Cluster).nodes('all').map(addressOf)
    return nodes.length === 0 ? 'any node of its Cluster' : nodes.sort().join(', ')
  }
  const { path, sentinels, name, host, port } = (client as Redis).options
  if (sentinels != null && sentinels.length > 0) return `the address that the sentinels of ${name} tell`
  return path ?? `${host}:${port}`
}
