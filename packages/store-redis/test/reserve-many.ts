/**
 * A process that reserves as fast as it can and writes down what was granted when, by the store's time: an independent
 * witness of what a store admits. Arguments: URL, prefix, file, reservations of each kind.
 */
import { appendFileSync } from 'node:fs'
import type { Charge, ChargeWindow } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'

export interface Witnessed {
  readonly kind: string
  readonly nowMs: number
  /** 0: refused. */
  readonly granted: number
}

const WINDOW_MS = 1_000
const AT_ONCE = 8

const [url, prefix, file, times] = process.argv.slice(2) as [string, string, string, string]
const store = await connect()
const kinds: readonly {
  name: string
  trip: Charge['trip']
  quota: number
  most: number
  window: (nowMs: number) => ChargeWindow
}[] = [
  { name: 'fixed', trip: 'fits', quota: 300, most: 9, window: second },
  {
    name: 'sliding',
    trip: 'fits',
    quota: 300,
    most: 9,
    window: () => ({ kind: 'sliding', bucketMs: 100, buckets: 10 }),
  },
  { name: 'fixed-unit', trip: 'fits', quota: 50, most: 1, window: second },
  { name: 'reached', trip: 'reached', quota: 40, most: 1, window: () => ({ kind: 'lifetime' }) },
  { name: 'exceeded', trip: 'exceeded', quota: 40, most: 1, window: () => ({ kind: 'lifetime' }) },
]
let calls = 0
for (const kind of kinds) {
  // Random costs are what takes many.
  let left = Number(times) * (kind.most > 1 ? 5 : 1)
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await reserve(kind).catch(() => new Promise((resolve) => setTimeout(resolve, 5)))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
await store.close()

/** Connections may be killed meanwhile. */
async function connect(): Promise<RedisCounterStore> {
  for (;;) {
    try {
      return await RedisCounterStore.connect({ url, prefix, commandTimeoutMs: 10_000 })
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

async function reserve({ name, trip, quota, most, window }: (typeof kinds)[number]): Promise<void> {
  const amount = 1 + Math.floor(Math.random() * most)
  calls += 1
  const id = `${process.pid}-${calls}`
  let nowMs = Date.now()
  for (;;) {
    const counter = { owner: 'o', partition: 'o', name, key: `o o ${name}` }
    const charge: Charge = {
      counter,
      window: window(nowMs),
      amount,
      quota,
      trip,
      effect: 'refuse',
      onChange: { quota: 'now', duration: 'now' },
      onExpiry: 'keep',
      alternative: 0,
      isRebuilt: false,
    }
    const reply = await store.reserve({ id, owner: 'o', charges: [charge], lifetimeMs: 60_000, context: '' })
    nowMs = reply.nowMs
    if (reply.outcome === 'stale') continue
    const seen: Witnessed = { kind: name, nowMs, granted: reply.outcome === 'granted' ? amount : 0 }
    return appendFileSync(file, `${JSON.stringify(seen)}\n`)
  }
}

function second(nowMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / WINDOW_MS) * WINDOW_MS
  return { kind: 'fixed', startMs, endMs: startMs + WINDOW_MS, nextEndMs: startMs + 2 * WINDOW_MS }
}
