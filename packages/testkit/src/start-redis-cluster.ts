import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askRedis } from './ask-redis.ts'
import { serverCommand } from './server-command.ts'
import { answersOn, freePort } from './start-redis.ts'

const SLOTS = 16_384
const WAIT_MS = 15_000

/** A Redis Cluster that a test has to itself. */
export interface TestRedisCluster {
  /** Of all nodes: masters first, then, as many, their replicas in the same order, if there are any. */
  readonly urls: readonly string[]
  /** Moves a slot with its keys to another master while the Cluster runs, key by key. */
  moveSlot(slot: number): Promise<void>
  /** Kills a master, after which its replica takes its place. What the replica had not received is lost. */
  failOver(master: number): Promise<void>
  /** The master that has a slot, by its index among the urls. */
  masterOf(slot: number): Promise<number>
  /** Ends the servers and removes their folders. */
  stop(): Promise<void>
}

interface Node {
  readonly port: number
  readonly busPort: number
  readonly server: ChildProcess
  readonly folder: string
  readonly id: string
}

/**
 * Starts a Redis Cluster of three masters on free ports, in temporary folders, without persistence. It ends with the
 * process that started it.
 *
 * @param replicas Of each master: 0 (default) or 1.
 */
export async function startRedisCluster({ replicas = 0 }: { replicas?: 0 | 1 } = {}): Promise<TestRedisCluster> {
  const nodes = await Promise.all(Array.from({ length: 3 + 3 * replicas }, startNode))
  const endWithUs = (): void => nodes.forEach(({ server }) => server.kill('SIGKILL'))
  process.once('exit', endWithUs)
  await joinNodes(nodes)
  return {
    urls: nodes.map(({ port }) => `redis://127.0.0.1:${port}`),
    moveSlot: (slot) => moveSlot(nodes, slot),
    failOver: (master) => failOver(nodes[master]!, nodes[master + 3]!),
    masterOf: (slot) => masterOf(nodes, slot),
    async stop() {
      process.off('exit', endWithUs)
      await Promise.all(nodes.map(stopNode))
    },
  }
}

async function startNode(): Promise<Node> {
  const folder = await mkdtemp(join(tmpdir(), 'tallygate-cluster-'))
  const [port, busPort] = [await freePort(), await freePort()]
  const { command, env } = serverCommand('redis-server')
  const general = ['--port', port, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no']
  const cluster = ['--cluster-enabled', 'yes', '--cluster-port', busPort, '--cluster-node-timeout', 2_000]
  const replication = ['--repl-diskless-sync-delay', 0, '--repl-ping-replica-period', 1]
  const server = spawn(command, [...general, ...cluster, ...replication].map(String), { stdio: 'ignore', env })
  await Promise.race([
    answersOn(port),
    once(server, 'exit').then(([code]) => {
      throw new Error(`redis-server did not start as a node of a Cluster: exit code ${code}`)
    }),
  ])
  return { port, busPort, server, folder, id: String(await askRedis(port, 'CLUSTER', 'MYID')) }
}

async function stopNode({ server, folder }: Node): Promise<void> {
  if (server.exitCode === null && server.signalCode === null) {
    server.kill('SIGKILL')
    await once(server, 'exit')
  }
  await rm(folder, { recursive: true, force: true })
}

async function joinNodes(nodes: readonly Node[]): Promise<void> {
  for (const [index, { port }] of nodes.entries()) {
    await askRedis(port, 'CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    if (index >= 3) continue
    const edge = (of: number): number => Math.floor((SLOTS * of) / 3)
    await askRedis(port, 'CLUSTER', 'ADDSLOTSRANGE', edge(index), edge(index + 1) - 1)
  }
  const [first, ...others] = nodes
  for (const { port, busPort } of others) await askRedis(first!.port, 'CLUSTER', 'MEET', '127.0.0.1', port, busPort)
  await eventually(async () => {
    for (const { port } of nodes) {
      const info = String(await askRedis(port, 'CLUSTER', 'INFO'))
      if (!info.includes('cluster_state:ok') || !info.includes(`cluster_known_nodes:${nodes.length}`)) return false
    }
    return true
  })
  const replicas = nodes.slice(3)
  await Promise.all(replicas.map(({ port }, index) => askRedis(port, 'CLUSTER', 'REPLICATE', nodes[index]!.id)))
  await eventually(async () => {
    const states = await Promise.all(replicas.map(({ port }) => askRedis(port, 'INFO', 'replication')))
    return states.every((state) => String(state).includes('master_link_status:up'))
  })
}

async function moveSlot(nodes: readonly Node[], slot: number): Promise<void> {
  const at = await masterOf(nodes, slot)
  const [from, to] = [nodes[at]!, nodes[(at + 1) % 3]!]
  await askRedis(to.port, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
  await askRedis(from.port, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)
  for (;;) {
    const keys = (await askRedis(from.port, 'CLUSTER', 'GETKEYSINSLOT', slot, 10)) as string[]
    if (keys.length === 0) break
    await askRedis(from.port, 'MIGRATE', '127.0.0.1', to.port, '', 0, 5_000, 'KEYS', ...keys)
  }
  for (const { port } of [to, from]) await askRedis(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', to.id)
}

async function failOver({ server }: Node, replica: Node): Promise<void> {
  server.kill('SIGKILL')
  await once(server, 'exit')
  await askRedis(replica.port, 'CLUSTER', 'FAILOVER', 'TAKEOVER')
  await eventually(async () => String(await askRedis(replica.port, 'INFO', 'replication')).includes('role:master'))
}

async function masterOf(nodes: readonly Node[], slot: number): Promise<number> {
  const alive = nodes.find(({ server }) => server.exitCode === null && server.signalCode === null)
  const ranges = (await askRedis(alive!.port, 'CLUSTER', 'SLOTS')) as [number, number, [string, number, string]][]
  const range = ranges.find(([from, to]) => slot >= from && slot <= to)
  return nodes.findIndex(({ port }) => port === range?.[2][1])
}

async function eventually(isDone: () => Promise<boolean>): Promise<void> {
  const untilMs = Date.now() + WAIT_MS
  while (!(await isDone())) {
    if (Date.now() > untilMs) throw new Error('the nodes of a Redis Cluster did not find together')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
