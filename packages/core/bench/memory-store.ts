/**
 * The store in memory beside those of rate-limiter-flexible and express-rate-limit, with four limits:
 * `node --expose-gc --max-old-space-size=8000 packages/core/bench/memory-store.ts`. CPU of the process a decision,
 * medians of interleaved rounds; then bytes a key. All limits have room.
 */
import {
  bindLimits,
  chargesOf,
  CompiledPlan,
  MemoryCounterStore,
  type BoundLimit,
  type Charge,
  type Window,
} from '@tallygate/core'
import { MemoryStore, type Options } from 'express-rate-limit'
import { RateLimiterMemory } from 'rate-limiter-flexible'

const HOUR = 3_600_000
const ROUNDS = 15
/** Calls under way at once: so many are reserved, then settled. */
const UNDER_WAY = 200
const BATCHES = 100
/** Calls a second by the store's clock: how many closed ids it remembers depends on that. */
const CALLS_PER_SECOND = 1_000

const HOURS = [1, 2, 3, 4]
const FIXED: readonly Window[] = HOURS.map((hours) => ({ kind: 'fixed', durationMs: hours * HOUR }))
const HALF_SLIDING: readonly Window[] = FIXED.map((window, index) =>
  index % 2 === 0 ? window : { kind: 'sliding', durationMs: HOURS[index]! * HOUR },
)

function boundOf(keys: number, windows: readonly Window[], name = 'plan'): readonly (readonly BoundLimit[])[] {
  const limits = windows.map((window, index) => ({ name: `l${index}`, unit: 'requests', quota: 1e9, window }) as const)
  const plans = [new CompiledPlan({ name, limits })]
  const bind = (index: number): readonly BoundLimit[] =>
    bindLimits({ plans, combine: 'all' }, { tenant: 'default', key: `key-${index}` }, {}, ['tenant', 'key'])
  return Array.from({ length: keys }, (_, index) => bind(index))
}

function cpuNs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1_000
}

/** One thing to measure: what is timed, and what is done after each batch without being timed. */
interface Variant {
  readonly name: string
  readonly run: (picks: readonly number[], ids: readonly string[]) => unknown
  readonly after?: (picks: readonly number[], ids: readonly string[]) => void
  readonly ns: number[]
}

async function decisions(keys: number): Promise<void> {
  const bound = boundOf(keys, FIXED)
  const startMs = Math.floor(Date.now() / (12 * HOUR)) * 12 * HOUR
  let nowMs = startMs
  // The clock is read as the default one is, and moved on so that calls come as often as said.
  const store = new MemoryCounterStore({ clock: () => nowMs + performance.now() * 1e-9 })
  const charges = bound.map((each) => chargesOf(each, {}, startMs))
  const sliding = boundOf(keys, HALF_SLIDING, 'sliding').map((each) => chargesOf(each, {}, startMs))
  const names = bound.map((_, index) => `key-${index}`)
  const flexible = HOURS.map(
    (hours) => new RateLimiterMemory({ keyPrefix: `l${hours}`, points: 1e9, duration: hours * 3_600 }),
  )
  const express = HOURS.map((hours) => {
    const each = new MemoryStore()
    each.init({ windowMs: hours * HOUR } as Options)
    return each
  })
  const reserve = (id: string, made: readonly Charge[]): void => {
    void store.reserve({ id, owner: made[0]!.counter.owner, charges: made, lifetimeMs: 60_000, context: '' })
  }
  const settle = (picks: readonly number[], ids: readonly string[], of = charges): void => {
    for (let index = 0; index < ids.length; index += 1) {
      const settled = of[picks[index]!]!.map((charge) => ({ charge, actual: 1 }))
      void store.settle({ id: ids[index]!, owner: 'o', charges: settled, atMs: Math.floor(nowMs) })
    }
    nowMs += (UNDER_WAY / CALLS_PER_SECOND) * 1_000
    if (nowMs > startMs + HOUR / 2) nowMs = startMs + HOUR / 2
  }
  const each = (picks: readonly number[], ids: readonly string[], one: (pick: number, id: string) => void): void => {
    for (let index = 0; index < ids.length; index += 1) one(picks[index]!, ids[index]!)
  }
  const variants: readonly Variant[] = [
    {
      name: 'reserve',
      run: (picks, ids) => each(picks, ids, (pick, id) => reserve(id, charges[pick]!)),
      after: settle,
      ns: [],
    },
    {
      name: 'chargesOf and reserve',
      run: (picks, ids) => each(picks, ids, (pick, id) => reserve(id, chargesOf(bound[pick]!, {}, startMs))),
      after: settle,
      ns: [],
    },
    {
      name: 'reserve and settle',
      run: (picks, ids) => {
        each(picks, ids, (pick, id) => reserve(id, charges[pick]!))
        settle(picks, ids)
      },
      ns: [],
    },
    {
      name: 'reserve and settle, 2 of 4 sliding',
      run: (picks, ids) => {
        each(picks, ids, (pick, id) => reserve(id, sliding[pick]!))
        settle(picks, ids, sliding)
      },
      ns: [],
    },
    {
      name: 'rate-limiter-flexible, Promise.all',
      run: async (picks) => {
        for (const pick of picks) await Promise.all(flexible.map((limiter) => limiter.consume(names[pick]!, 1)))
      },
      ns: [],
    },
    {
      name: 'rate-limiter-flexible, one by one',
      run: async (picks) => {
        for (const pick of picks) for (const limiter of flexible) await limiter.consume(names[pick]!, 1)
      },
      ns: [],
    },
    {
      name: 'express-rate-limit, MemoryStore',
      run: async (picks) => {
        for (const pick of picks) for (const each of express) await each.increment(names[pick]!)
      },
      ns: [],
    },
  ]
  let calls = 0
  const batch = async ({ run, after }: Variant, picks: readonly number[]): Promise<number> => {
    const ids = picks.map(() => `01936b2e-0000-7000-8000-${String((calls += 1)).padStart(12, '0')}`)
    // Put together before, as a call's id is by the time that it is admitted.
    for (const id of ids) if (id.charCodeAt(0) === 0) throw new Error('no id')
    const before = cpuNs()
    const running = run(picks, ids)
    if (running instanceof Promise) await running
    const ns = cpuNs() - before
    after?.(picks, ids)
    return ns
  }
  // Everything is there before it is measured: this is about callers who come again.
  const firstNs = variants.map(() => 0)
  for (const [number, variant] of variants.entries()) {
    if (number === 1 || number === 2) continue
    for (let from = 0; from < keys; from += UNDER_WAY) {
      const picks = Array.from({ length: Math.min(UNDER_WAY, keys - from) }, (_, index) => from + index)
      firstNs[number]! += await batch(variant, picks)
    }
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const variant of variants) {
      let ns = 0
      for (let number = 0; number < BATCHES; number += 1) {
        const picks = Array.from({ length: UNDER_WAY }, () => Math.floor(Math.random() * keys))
        ns += await batch(variant, picks)
      }
      variant.ns.push(ns / BATCHES / UNDER_WAY)
    }
  }
  const base = median(variants[0]!.ns)
  process.stdout.write(
    `\n| ${keys.toLocaleString('en')} keys, 4 limits | CPU ns a decision | × reserve | first call |\n`,
  )
  process.stdout.write('|---|---|---|---|\n')
  for (const [number, { name, ns }] of variants.entries()) {
    const first = firstNs[number] === 0 ? '' : Math.round(firstNs[number]! / keys)
    process.stdout.write(`| ${name} | ${Math.round(median(ns))} | ${(median(ns) / base).toFixed(1)} | ${first} |\n`)
  }
  for (const each of express) each.shutdown()
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)]!
}

/** Bytes of the heap and of array buffers, after everything that can be collected was. */
function bytesInUse(): number {
  for (let round = 0; round < 3; round += 1) globalThis.gc!()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

async function bytesOfStore(name: string, keys: number, windows: readonly Window[]): Promise<void> {
  const bound = boundOf(keys, windows)
  // The strings of counters are the caller's. They are made whole before, as looking them up would.
  const whole = new Set<string>()
  for (const each of bound) for (const { counter } of each) whole.add(counter.partition).add(counter.owner)
  whole.clear()
  const nowMs = Date.now()
  const warm = new MemoryCounterStore({ clock: () => nowMs, closedForMs: 0 })
  const fill = async (store: MemoryCounterStore, count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) {
      const charges = chargesOf(bound[index]!, {}, nowMs)
      const request = {
        id: `call-${index}`,
        owner: charges[0]!.counter.owner,
        charges,
        lifetimeMs: 60_000,
        context: '',
      }
      await store.reserve(request)
      await store.settle({ ...request, charges: charges.map((charge) => ({ charge, actual: 1 })), atMs: nowMs })
    }
  }
  await fill(warm, 1_000)
  const store = new MemoryCounterStore({ clock: () => nowMs, closedForMs: 0 })
  const before = bytesInUse()
  await fill(store, keys)
  const bytes = (bytesInUse() - before) / keys
  process.stdout.write(
    `| ${name} | ${keys.toLocaleString('en')} | ${bytes.toFixed(0)} | ${store.size.counters / keys} |\n`,
  )
  // Both are alive until here.
  if (bound.length + whole.size !== keys) throw new Error('lost')
}

async function bytesOfPeer(name: string, keys: number, open: () => (key: string) => Promise<unknown>): Promise<void> {
  const names = Array.from({ length: keys }, (_, index) => `key-${index}`)
  const before = bytesInUse()
  const count = open()
  for (const key of names) await count(key)
  process.stdout.write(
    `| ${name} | ${keys.toLocaleString('en')} | ${((bytesInUse() - before) / keys).toFixed(0)} | 4 |\n`,
  )
}

const sliding = (buckets: number): readonly Window[] =>
  HOURS.map((hours) => ({ kind: 'sliding', durationMs: hours * HOUR, buckets }))

for (const keys of [100, 10_000]) await decisions(keys)
if (globalThis.gc === undefined) process.stdout.write('\nBytes a key: run with --expose-gc\n')
else {
  process.stdout.write('\n| store | keys | bytes a key | counters a key |\n|---|---|---|---|\n')
  await bytesOfStore('4 fixed windows', 1_000_000, FIXED)
  await bytesOfStore('4 sliding windows of 10 steps', 100_000, sliding(10))
  await bytesOfStore('4 sliding windows of 60 steps', 100_000, sliding(60))
  await bytesOfPeer('rate-limiter-flexible, 4 limits', 100_000, () => {
    const limiters = HOURS.map(
      (hours) => new RateLimiterMemory({ keyPrefix: `b${hours}`, points: 9, duration: hours * 3_600 }),
    )
    return (key) => Promise.all(limiters.map((limiter) => limiter.consume(key, 1)))
  })
  await bytesOfPeer('express-rate-limit, 4 limits', 100_000, () => {
    const stores = HOURS.map((hours) => {
      const each = new MemoryStore()
      each.init({ windowMs: hours * HOUR } as Options)
      return each
    })
    return (key) => Promise.all(stores.map((each) => each.increment(key)))
  })
}
process.exit()
