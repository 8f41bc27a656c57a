// CPU of the process per stream of 200 events, with a quota that cuts no streams, and with one that does: far, and so near
// that the stream is counted all along. Each stream has a key of its own, so that its quota is as near as the others'.
import type { ChildProcess } from 'node:child_process'
import { runLoad } from './load.ts'
import { pin, reply, start, WORKLOADS } from './variants.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7)
const STREAMS = Number(process.env['BENCH_STREAMS'] ?? 300)
const VARIANT_NAMES = ['bare', 'memory', 'far', 'near'] as const
type Variant = (typeof VARIANT_NAMES)[number]

const upstream = start('upstream.ts', [], 1)
const { port: upstreamPort } = await reply<{ port: number }>(upstream)
pin(process.pid, 1)
const servers = new Map<Variant, { child: ChildProcess; port: number }>()
for (const variant of VARIANT_NAMES) {
  const child = start('server.ts', [variant, `http://127.0.0.1:${upstreamPort}`, ''], 0)
  servers.set(variant, { child, port: (await reply<{ port: number }>(child)).port })
}

let keys = 0
const nextKey = (): string => {
  keys += 1
  return `sk-bench-${String(keys).padStart(16, '0')}`
}
const samples = new Map<Variant, number[]>(VARIANT_NAMES.map((variant) => [variant, []]))
for (const variant of VARIANT_NAMES) await measure(variant, 4 * STREAMS)
for (let round = 0; round < ROUNDS; round += 1)
  for (const variant of VARIANT_NAMES) samples.get(variant)!.push(await measure(variant, STREAMS))

console.log(
  `CPU of the process and its threads, us per stream of 200 events (median of ${ROUNDS} rounds; least to most)`,
)
for (const variant of VARIANT_NAMES) {
  const sorted = samples.get(variant)!.toSorted((one, other) => one - other)
  const [least, most] = [sorted[0]!.toFixed(0), sorted.at(-1)!.toFixed(0)]
  const more = ratio(variant, 'memory') - 1
  console.log(
    `  ${variant.padEnd(7)} ${median(sorted).toFixed(0).padStart(6)}  (${least} to ${most})   ${(100 * more).toFixed(1)} % more than without a quota that cuts; of the bare proxy ${(100 * (ratio(variant, 'bare') - ratio('memory', 'bare'))).toFixed(1)} %`,
  )
}
for (const { child } of servers.values()) child.disconnect()
upstream.disconnect()

/** Round by round, so that a slow minute of the machine hits both. */
function ratio(one: Variant, other: Variant): number {
  return median(samples.get(one)!.map((sample, round) => sample / samples.get(other)![round]!))
}

async function measure(variant: Variant, requests: number): Promise<number> {
  const { child, port } = servers.get(variant)!
  const before = await cpu(child)
  await runLoad({ port, ...WORKLOADS.stream, requests, nextKey })
  const after = await cpu(child)
  return (after.user + after.system - before.user - before.system) / requests
}

async function cpu(child: ChildProcess): Promise<NodeJS.CpuUsage> {
  child.send('cpu')
  return (await reply<{ cpu: NodeJS.CpuUsage }>(child)).cpu
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)]!
}
