import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedis } from '@tallygate/testkit'
import { runLoad } from './load.ts'
import { pin, reply, start, WORKLOADS } from './variants.ts'
const [variant = 'memory', name = 'json'] = process.argv.slice(2) as any
const folder = await mkdtemp(join(tmpdir(), 'p-'))
const file = join(folder, 'profile.json')
const redis = await startRedis()
const upstream = start('upstream.ts', [], 1)
const { port: upstreamPort } = await reply<any>(upstream)
pin(process.pid, 1)
const server = start('server.ts', [variant, `http://127.0.0.1:${upstreamPort}`, redis.url], 0, { BENCH_PROFILE: file })
const { port } = await reply<any>(server)
const slice = { ...(WORKLOADS as any)[name], port, requests: 1000 }
await runLoad({ ...slice, requests: 60000 })
let requests = 0
server.send('profile')
const isDone = reply(server).then(() => true)
for (; !(await Promise.race([isDone, Promise.resolve(false)])); requests += slice.requests) await runLoad(slice)
const profile = JSON.parse(await readFile(file, 'utf8')) as any
const nodes = new Map<number, any>(profile.nodes.map((n: any) => [n.id, n]))
const parent = new Map<number, number>()
for (const n of profile.nodes) for (const c of n.children ?? []) parent.set(c, n.id)
const key = (n: any) =>
  `${n.callFrame.functionName || '(anon)'} ${n.callFrame.url.replace(/.*\/(packages|node_modules)\//, '')}:${n.callFrame.lineNumber + 1}`
const self = new Map<string, number>(),
  total = new Map<string, number>()
for (const [i, s] of profile.samples.entries()) {
  const d = profile.timeDeltas[i]
  let n = nodes.get(s)
  self.set(key(n), (self.get(key(n)) ?? 0) + d)
  const seen = new Set<string>()
  for (let id: number | undefined = s; id !== undefined; id = parent.get(id)) {
    const k = key(nodes.get(id))
    if (!seen.has(k)) {
      seen.add(k)
      total.set(k, (total.get(k) ?? 0) + d)
    }
  }
}
console.log('requests', requests)
const rows = [...self].sort((a, b) => b[1] - a[1]).slice(0, 110)
for (const [k, v] of rows)
  console.log((v / requests).toFixed(2).padStart(7), ((total.get(k) ?? 0) / requests).toFixed(2).padStart(8), k)
server.disconnect()
upstream.disconnect()
await redis.stop()
await rm(folder, { recursive: true })
