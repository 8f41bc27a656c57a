// CPU of the process per stream of 200 events, with a quota that cuts no streams, and with one that does: far, and so near
// that the stream is counted all along. Each stream has a key of its own, so that its quota is as near as the others'.
import type { ChildProcess } from 'node:child_process'
import { runLoad } from './load.ts'
import { pin, reply, start, WORKLOADS } from './variants.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 7)
const STREAMS = Number(process.env['BENCH_STREAMS'] ?? 300)
const VARIANT_NAMES = ['bare', 'memory', 'far', 'near'] as const
type Variant = (typeof VARIANT_NAMES)[number]

const upstream = start('upstream.ts', ['tokens'], 1)
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
/** What the call sets aside is less than the stream writes, so that it has to buy more. */
const body = WORKLOADS.stream.body.replace('"max_tokens":256', '"max_tokens":64')

interface Sample {
  /** Of all threads, and of the one that proxies; us a stream. */
  readonly process: number
  readonly thread: number
}
const samples = new Map<Variant, Sample[]>(VARIANT_NAMES.map((variant) => [variant, []]))
for (const variant of VARIANT_NAMES) await measure(variant, 4 * STREAMS)
for (let round = 0; round < ROUNDS; round += 1)
  for (const variant of VARIANT_NAMES) samples.get(variant)!.push(await measure(variant, STREAMS))

for (const cpuOf of ['process', 'thread'] as const) {
  console.log(`\nCPU of the ${cpuOf}, us per stream of 200 events (median of ${ROUNDS} rounds; least to most)`)
  for (const variant of VARIANT_NAMES) {
    const sorted = samples
      .get(variant)!
      .map((sample) => sample[cpuOf])
      .toSorted((one, other) => one - other)
    const more = median(sorted) / medianOf('memory', cpuOf) - 1
    const spread = `(${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})`
    console.log(
      `  ${variant.padEnd(7)} ${median(sorted).toFixed(0).padStart(6)}  ${spread.padEnd(15)} ${(100 * more).toFixed(1).padStart(6)} % more than with a quota that cuts nothing; least: ${(100 * (sorted[0]! / leastOf('memory', cpuOf) - 1)).toFixed(1)} %`,
    )
  }
}
for (const { child } of servers.values()) child.disconnect()
upstream.disconnect()

function medianOf(variant: Variant, of: keyof Sample): number {
  return median(samples.get(variant)!.map((sample) => sample[of]))
}

function leastOf(variant: Variant, of: keyof Sample): number {
  return Math.min(...samples.get(variant)!.map((sample) => sample[of]))
}

async function measure(variant: Variant, requests: number): Promise<Sample> {
  const { child, port } = servers.get(variant)!
  const before = await cpu(child)
  await runLoad({ port, ...WORKLOADS.stream, body, requests, nextKey })
  const after = await cpu(child)
  const each = (of: 'cpu' | 'thread'): number =>
    (after[of].user + after[of].system - before[of].user - before[of].system) / requests
  return { process: each('cpu'), thread: each('thread') }
}

async function cpu(child: ChildProcess): Promise<Readonly<Record<'cpu' | 'thread', NodeJS.CpuUsage>>> {
  child.send('cpu')
  return reply(child)
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  return sorted[Math.floor(sorted.length / 2)]!
}
