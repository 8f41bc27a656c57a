// CPU of the process per request: Express with http-proxy-middleware, bare, and with the whole quota path.
// Variants take turns, so that a slow minute of the machine hits all of them; medians are printed.
import type { ChildProcess } from 'node:child_process'
import { startRedis } from '@tallygate/testkit'
import { runLoad } from './load.ts'
import type { VARIANTS } from './server.ts'
import { pin, reply, start, WORKLOADS } from './variants.ts'

type Variant = (typeof VARIANTS)[number]

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7)
const REQUESTS = {
  json: Number(process.env['BENCH_JSON'] ?? 4_000),
  stream: Number(process.env['BENCH_STREAMS'] ?? 400),
} as const
const VARIANT_NAMES: readonly Variant[] = ['bare', 'memory', 'redis', 'memory-undici', 'redis-undici']

/** Whether the core of the client and the provider is kept from falling asleep. */
const IS_AWAKE = process.env['BENCH_AWAKE'] === '1'

const redis = await startRedis()
const upstream = start('upstream.ts', [], 1)
const { port: upstreamPort } = await reply<{ port: number }>(upstream)
pin(process.pid, 1)
const awake = IS_AWAKE ? start('awake.ts', [], 1) : undefined
if (redis.pid !== undefined) pin(redis.pid, 1)

const servers = new Map<Variant, { child: ChildProcess; port: number }>()
for (const variant of VARIANT_NAMES) {
  const child = start('server.ts', [variant, `http://127.0.0.1:${upstreamPort}`, redis.url], 0)
  servers.set(variant, { child, port: (await reply<{ port: number }>(child)).port })
}

for (const name of ['json', 'stream'] as const) {
  const workload = { ...WORKLOADS[name], requests: REQUESTS[name] }
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
      `  ${variant.padEnd(13)} ${median(sorted).toFixed(0).padStart(6)}  (${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})   ${(median(sorted) / bare).toFixed(3)} x bare   (round by round: ${ratio.toFixed(3)})`,
    )
  }
}

for (const { child } of servers.values()) child.disconnect()
upstream.disconnect()
awake?.disconnect()
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

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)]!
}
