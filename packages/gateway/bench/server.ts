// The process that is measured: Express with http-proxy-middleware, bare or with the whole quota path.
import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryCounterStore, type Plan } from '@tallygate/core'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { createQuota } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SqliteLedger } from '@tallygate/store-sql'
import express from 'express'
import { createProxyMiddleware } from 'http-proxy-middleware'

export const VARIANTS = ['bare', 'memory', 'redis', 'memory-undici', 'redis-undici', 'far', 'near'] as const
/** A stream of words of one token has 200. */
const OUTPUT_QUOTAS = { far: 1e12, near: 215 } as const

const [variant, target, redisUrl] = process.argv.slice(2) as [(typeof VARIANTS)[number], string, string]
const folder = mkdtempSync(join(tmpdir(), 'tallygate-bench-'))
const plan: Plan = {
  name: 'bench',
  limits: [
    { name: 'requests-per-minute', unit: 'requests', quota: 1e9, window: { kind: 'sliding', durationMs: 60_000 } },
    { name: 'requests-per-day', unit: 'requests', quota: 1e9, window: { kind: 'fixed', every: 'day' } },
    { name: 'tokens-per-minute', unit: 'tokens', quota: 1e12, window: { kind: 'sliding', durationMs: 60_000 } },
    {
      name: 'tokens-per-month',
      unit: 'tokens',
      quota: 1e12,
      window: { kind: 'fixed', every: 'month', zone: 'Europe/Berlin' },
    },
  ],
}

const forwarder = variant.endsWith('undici') ? 'undici' : 'http-proxy-middleware'

/** With a limit that cuts streams: one that is far, and one that a stream all but uses up, so that it is counted all along. */
const cutting: Plan['limits'] =
  variant === 'far' || variant === 'near'
    ? [
        {
          name: 'output',
          unit: 'output-tokens',
          quota: OUTPUT_QUOTAS[variant],
          window: { kind: 'fixed', every: 'day' },
          onStream: 'cut',
        },
      ]
    : []

const app = express()
if (variant === 'bare') app.use(createProxyMiddleware({ target, changeOrigin: true }))
else {
  const ledger = await SqliteLedger.open({ file: join(folder, 'usage.db') })
  const store = variant.startsWith('redis')
    ? await RedisCounterStore.connect({ url: redisUrl, prefix: `bench:${process.pid}:`, commandTimeoutMs: 5_000 })
    : new MemoryCounterStore()
  const quota = createQuota({
    ledger,
    store,
    decideWithinMs: 5_000,
    plans: [{ ...plan, limits: [...plan.limits, ...cutting] }],
    defaultPlans: ['bench'],
    pepper: 'a pepper for the benchmark, 32 characters',
  })
  app.use(quotaMiddleware({ quota }), llmProxy({ target, forwarder }))
}
const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.({ port: (server.address() as AddressInfo).port })

process.on('message', (message) => {
  if (message === 'cpu') process.send?.({ cpu: process.cpuUsage(), thread: process.threadCpuUsage() })
  if (message === 'profile') void profile()
})
process.once('disconnect', () => {
  rmSync(folder, { recursive: true, force: true })
  process.exit()
})

/** Writes where the time of the next seconds goes. */
async function profile(): Promise<void> {
  const { Session } = await import('node:inspector/promises')
  const { writeFileSync } = await import('node:fs')
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  await new Promise((resolve) => setTimeout(resolve, 4_000))
  const { profile } = (await session.post('Profiler.stop')) as { profile: unknown }
  writeFileSync(process.env['BENCH_PROFILE']!, JSON.stringify(profile))
  process.send?.({ profiled: true })
}
