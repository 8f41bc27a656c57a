// CPU of the process per request: Express with http-proxy-middleware, bare, and with the whole quota path.
// Variants take turns, so that a slow minute of the machine hits all of them; medians are printed.
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { startRedis } from '@tallygate/testkit'
import { runLoad } from './load.ts'
import type { VARIANTS } from './server.ts'

type Variant = (typeof VARIANTS)[number]

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7)
const prompt = 'The quick brown fox jumps over the lazy dog. '.repeat(16)
const message = {
  model: 'gpt-4o',
  max_tokens: 256,
  temperature: 0.7,
  messages: [
    { role: 'system', content: 'You are helpful.' },
    { role: 'user', content: prompt },
  ],
}
const WORKLOADS = {
  json: { body: JSON.stringify(message), connections: 32, requests: Number(process.env['BENCH_JSON'] ?? 4_000) },
  stream: {
    body: JSON.stringify({ ...message, stream: true }),
    connections: 16,
    requests: Number(process.env['BENCH_STREAMS'] ?? 400),
  },
} as const
const VARIANT_NAMES: readonly Variant[] = ['bare', 'memory', 'redis']

const here = (file: string): string => new URL(file, import.meta.url).pathname
/** With two cores, what is measured has one to itself. */
const pinned = availableParallelism() >= 2 && process.platform === 'linux'

const redis = await startRedis()
const upstream = start('upstream.ts', [], 1)
const { port: upstreamPort } = await reply<{ port: number }>(upstream)
if (pinned) pin(process.pid, 1)
if (pinned && redis.pid !== undefined) pin(redis.pid, 1)

const servers = new Map<Variant, { child: ChildProcess; port: number }>()
for (const variant of VARIANT_NAMES) {
  const child = start('server.ts', [variant, `http://127.0.0.1:${upstreamPort}`, redis.url], 0)
  servers.set(variant, { child, port: (await reply<{ port: number }>(child)).port })
}

for (const [name, workload] of Object.entries(WORKLOADS)) {
  const samples = new Map<Variant, number[]>(VARIANT_NAMES.map((variant) => [variant, []]))
  for (const variant of VARIANT_NAMES) await measure(variant, { ...workload, requests: workload.requests * 6 })
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const variant of VARIANT_NAMES) samples.get(variant)!.push(await measure(variant, workload))
  }
  const bare = median(samples.get('bare')!)
  console.log(
    `\n${name}: CPU of the process, us per request (median of ${ROUNDS} rounds; least to most), and its ratio to bare`,
  )
  for (const variant of VARIANT_NAMES) {
    const sorted = samples.get(variant)!.toSorted((one, other) => one - other)
    const ratio = median(samples.get(variant)!.map((sample, round) => sample / samples.get('bare')![round]!))
    console.log(
      `  ${variant.padEnd(7)} ${median(sorted).toFixed(0).padStart(6)}  (${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})   ${(median(sorted) / bare).toFixed(3)} x bare   (round by round: ${ratio.toFixed(3)})`,
    )
  }
}

for (const { child } of servers.values()) child.disconnect()
upstream.disconnect()
await redis.stop()

async function measure(
  variant: Variant,
  workload: { body: string; connections: number; requests: number },
): Promise<number> {
  const { child, port } = servers.get(variant)!
  const before = await cpu(child)
  await runLoad({ port, ...workload })
  const after = await cpu(child)
  return (after.user + after.system - before.user - before.system) / workload.requests
}

async function cpu(child: ChildProcess): Promise<NodeJS.CpuUsage> {
  child.send('cpu')
  return (await reply<{ cpu: NodeJS.CpuUsage }>(child)).cpu
}

function start(file: string, args: readonly string[], core: number): ChildProcess {
  const child = fork(here(file), args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  if (pinned) pin(child.pid!, core)
  return child
}

function pin(pid: number, core: number): void {
  spawn('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' }).on('error', () => {})
}

async function reply<T>(child: ChildProcess): Promise<T> {
  const [message] = (await once(child, 'message')) as [T]
  return message
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)]!
}
