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
  readonly asked: number
  /** 0: refused. */
  readonly granted: number
}

/** Short enough to turn many times while a process runs; `exactness.test.ts` goes by it. */
const WINDOW_MS = 200
const BUCKETS = 10
/** By the store's time: however fast the machine is, windows turn so often. */
const LEAST_SPAN_MS = 6 * WINDOW_MS
const AT_ONCE = 8
/** What is written down at once. */
const MOST_LINES = 500

const [url, prefix, file, times] = process.argv.slice(2) as [string, string, string, string]
const store = await connect()
interface Kind {
  readonly name: string
  readonly trip: Charge['trip']
  readonly quota: number
  readonly most: number
  /** Of the reservations asked for. */
  readonly share: number
  readonly window: (nowMs: number) => ChargeWindow
}
const sliding = (): ChargeWindow => ({ kind: 'sliding', bucketMs: WINDOW_MS / BUCKETS, buckets: BUCKETS })
const lifetime = (): ChargeWindow => ({ kind: 'lifetime' })
const kinds: readonly Kind[] = [
  { name: 'fixed', trip: 'fits', quota: 100, most: 9, share: 1, window: fixed },
  { name: 'sliding', trip: 'fits', quota: 100, most: 9, share: 1, window: sliding },
  { name: 'fixed-unit', trip: 'fits', quota: 20, most: 1, share: 0.25, window: fixed },
  { name: 'reached', trip: 'reached', quota: 40, most: 1, share: 0.25, window: lifetime },
  { name: 'exceeded', trip: 'exceeded', quota: 40, most: 1, share: 0.25, window: lifetime },
]
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
let calls = 0
let lines: string[] = []
for (const kind of kinds) {
  let left = Number(times) * kind.share
  let firstMs = Infinity
  let lastMs = -Infinity
  const worker = async (): Promise<void> => {
    while (left > 0 || lastMs - firstMs < LEAST_SPAN_MS) {
      left -= 1
      if (left < 0) await pause(5)
      const nowMs = await reserve(kind).catch(() => pause(5))
      if (nowMs === undefined) continue
      firstMs = Math.min(firstMs, nowMs)
      lastMs = Math.max(lastMs, nowMs)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}
write()
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

/** Returns the store's time. */
async function reserve({ name, trip, quota, most, window }: Kind): Promise<number> {
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
    const seen: Witnessed = { kind: name, nowMs, asked: amount, granted: reply.outcome === 'granted' ? amount : 0 }
    lines.push(`${JSON.stringify(seen)}\n`)
    if (lines.length >= MOST_LINES) write()
    return nowMs
  }
}

function write(): void {
  if (lines.length > 0) appendFileSync(file, lines.join(''))
  lines = []
}

function fixed(nowMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / WINDOW_MS) * WINDOW_MS
  return { kind: 'fixed', startMs, endMs: startMs + WINDOW_MS, nextEndMs: startMs + 2 * WINDOW_MS }
}
