import { MemoryCounterStore, type Charge } from '@tallygate/core'

/** How arrivals come: alone, many at once after a pause, or half of them just before an edge and half just after. */
export const ARRIVALS = ['poisson', 'bursts', 'boundary doubles'] as const
/** Units asked for, as a multiple of the quota. */
export const LOADS = [0.5, 0.9, 1.1, 3] as const

export interface Trial {
  readonly arrivals: (typeof ARRIVALS)[number]
  readonly load: number
  /** Steps of the window. */
  readonly buckets: number
  readonly count: number
  readonly seed: number
}

export interface Accuracy {
  /** Most units admitted in any span of the window's length. */
  readonly most: number
  readonly refused: number
  /** Refusals that an exact log of what was admitted would not have made. */
  readonly tooMany: number
  /** The longest after the exact log had room, as a share of the window; an upper bound by whole milliseconds. */
  readonly longestShare: number
  /** Units admitted, as a share of those that an exact log would have admitted, had it decided from the beginning. */
  readonly admittedShare: number
}

export const QUOTA = 100
const WINDOW_MS = 60_000
/** How near an edge arrivals come, in milliseconds. */
const NEAR_MS = 40

/** Lets calls arrive at a sliding window in memory, and holds every answer against a log of what was admitted. */
export async function slidingAccuracy({ arrivals, load, buckets, count, seed }: Trial): Promise<Accuracy> {
  let nowMs = Date.UTC(2026, 0, 15, 12)
  const store = new MemoryCounterStore({ clock: () => nowMs, closedForMs: 0 })
  const log = new AdmittedLog()
  const exact = new AdmittedLog()
  const random = randomFrom(seed)
  const next = nextArrival(arrivals, (load * QUOTA) / WINDOW_MS, random)
  let [most, refused, tooMany, longestMs] = [0, 0, 0, 0]
  for (let call = 0; call < count; call += 1) {
    nowMs = next(nowMs)
    const charge = chargeOf(1 + Math.floor(random() * random() * 9), WINDOW_MS / buckets, buckets)
    const { amount } = charge
    const id = String(call)
    if (exact.usedWithin(WINDOW_MS, nowMs) + amount <= QUOTA) exact.add(nowMs, amount)
    const { outcome } = await store.reserve({ id, owner: 'o', charges: [charge], lifetimeMs: 1_000, context: '' })
    if (outcome === 'granted') {
      log.add(nowMs, amount)
      most = Math.max(most, log.usedWithin(WINDOW_MS, nowMs))
      await store.settle({ id, owner: 'o', charges: [{ charge, actual: amount }], atMs: nowMs })
      continue
    }
    refused += 1
    const hadRoomMs = log.roomSince(WINDOW_MS, QUOTA - amount, nowMs)
    if (hadRoomMs < 0) continue
    tooMany += 1
    longestMs = Math.max(longestMs, hadRoomMs)
  }
  return { most, refused, tooMany, longestShare: longestMs / WINDOW_MS, admittedShare: log.total / exact.total }
}

/** All that was admitted lately, one by one. */
class AdmittedLog {
  readonly #admitted: { readonly atMs: number; readonly amount: number }[] = []

  total = 0

  add(atMs: number, amount: number): void {
    this.total += amount
    this.#admitted.push({ atMs, amount })
    if (this.#admitted.length > 100 * QUOTA) this.#admitted.splice(0, 90 * QUOTA)
  }

  /** Units in the span of this length that ends with an instant. */
  usedWithin(spanMs: number, atMs: number): number {
    let used = 0
    for (let index = this.#admitted.length - 1; index >= 0; index -= 1) {
      const admitted = this.#admitted[index]!
      if (admitted.atMs <= atMs - spanMs) break
      used += admitted.amount
    }
    return used
  }

  /** For how long before an instant no more than `most` were used in the window; negative: more are. */
  roomSince(spanMs: number, most: number, atMs: number): number {
    let used = 0
    for (let index = this.#admitted.length - 1; index >= 0; index -= 1) {
      const admitted = this.#admitted[index]!
      used += admitted.amount
      if (used > most) return atMs - (admitted.atMs + spanMs)
    }
    return Infinity
  }
}

/** The instant of the arrival after one, with so many units a millisecond on average. */
function nextArrival(arrivals: Trial['arrivals'], unitsPerMs: number, random: () => number): (atMs: number) => number {
  // The amounts that are asked for are 2.5 on average: 1 + floor(9 r s) of two even random numbers, nearly.
  const gapMs = 2.75 / unitsPerMs
  let left = 0
  if (arrivals === 'poisson') {
    let exactMs = 0
    return (atMs) => {
      exactMs = Math.max(exactMs, atMs) - gapMs * Math.log(1 - random())
      return Math.floor(exactMs)
    }
  }
  if (arrivals === 'bursts') {
    return (atMs) => {
      if (left > 0) {
        left -= 1
        return atMs
      }
      left = Math.floor((random() * QUOTA) / 4)
      return atMs + Math.ceil(2 * random() * (left + 1) * gapMs)
    }
  }
  const inWindow = Math.max(2, Math.round(WINDOW_MS / gapMs))
  let edgeMs = 0
  return (atMs) => {
    if (left === 0) {
      left = inWindow
      edgeMs = (Math.floor((atMs + NEAR_MS) / WINDOW_MS) + 1) * WINDOW_MS
    }
    left -= 1
    const share = 1 - (2 * left + 1) / inWindow
    return Math.max(atMs, Math.floor(edgeMs + share * NEAR_MS))
  }
}

function chargeOf(amount: number, bucketMs: number, buckets: number): Charge {
  return {
    counter: COUNTER,
    window: { kind: 'sliding', bucketMs, buckets },
    amount,
    quota: QUOTA,
    trip: 'fits',
    effect: 'refuse',
    onChange: { quota: 'now', duration: 'now' },
    onExpiry: 'keep',
    alternative: 0,
    isRebuilt: false,
  }
}

const COUNTER = { owner: 'o', partition: 'p', name: 'plan/limit', key: 'o p plan/limit' }

/** Mulberry32: even numbers from 0 up to 1, the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
