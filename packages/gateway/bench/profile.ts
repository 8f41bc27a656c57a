// Where the time of a variant goes, us per request by package: node packages/gateway/bench/profile.ts memory json
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '@tallygate/testkit'
import { runLoad } from './load.ts'
import { pin, reply, start, WORKLOADS } from './variants.ts'

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: { functionName: string; url: string } }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const [variant = 'memory', name = 'json'] = process.argv.slice(2) as [string?, (keyof typeof WORKLOADS)?]
const folder = await mkdtemp(join(tmpdir(), 'tallygate-profile-'))
const file = join(folder, 'profile.json')
const redis = await startRedis()
const upstream = start('upstream.ts', [], 1)
const { port: upstreamPort } = await reply<{ port: number }>(upstream)
pin(process.pid, 1)
const args = [variant, `http://127.0.0.1:${upstreamPort}`, redis.url]
const server = start('server.ts', args, 0, { BENCH_PROFILE: file })
const { port } = await reply<{ port: number }>(server)
const slice = { ...WORKLOADS[name], port, requests: name === 'json' ? 1_000 : 100 }

await runLoad({ ...slice, requests: slice.requests * 24 })
let requests = 0
server.send('profile')
const isDone = reply(server).then(() => true)
for (; !(await Promise.race([isDone, Promise.resolve(false)])); requests += slice.requests) await runLoad(slice)

const profile = JSON.parse(await readFile(file, 'utf8')) as CpuProfile
const places = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]))
const spent = new Map<string, number>()
for (const [index, sample] of profile.samples.entries()) {
  const place = places.get(sample)!
  spent.set(place, (spent.get(place) ?? 0) + profile.timeDeltas[index]!)
}
console.log(`${variant}, ${name}: us per request by package, over ${requests} requests; (idle) is no CPU`)
for (const [place, micros] of [...spent].toSorted(([, one], [, other]) => other - one).slice(0, 24))
  console.log(`${(micros / requests).toFixed(1).padStart(8)}  ${place}`)

server.disconnect()
upstream.disconnect()
await redis.stop()
await rm(folder, { recursive: true })

/** The package that a function belongs to; a native function by its name. */
function placeOf({ functionName, url }: { functionName: string; url: string }): string {
  if (url.startsWith('node:')) return 'node'
  const ours = /\/packages\/([\w-]+)\//.exec(url)
  if (ours !== null) return `@tallygate/${ours[1]}`
  return /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url)?.[1] ?? (functionName || '(anonymous)')
}
