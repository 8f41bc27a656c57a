import { hash } from 'node:crypto'
import { isOver, QuotaError, type Charge, type CounterStatus } from '@tallygate/core'
import type { CountedKey } from './flexible-limiter.ts'

/** One bucket of a counter: a key of its own in the limiter. */
export interface CounterPlace extends CountedKey {
  /** `null` where the window has no buckets. */
  readonly startMs: number | null
  /** `Infinity` where it never ends. */
  readonly endMs: number
}

/** A key outlives its bucket for so long: for nodes whose clocks are behind. */
const GRACE_SECONDS = 60
/** Tables of rate-limiter-flexible have keys of up to 255 characters, which include its prefix. */
const MOST_KEY_CHARACTERS = 200

/** Longest window where keys end by a timer of Node's, which takes 2^31 - 1 ms, and ends at once when it is given more. */
const MOST_MS_BY_TIMER = 24 * 86_400_000

/**
 * @param byTimer Whether keys end by a timer of Node's.
 * @throws QuotaError `ERR_QUOTA_CAPABILITY` for what a number under a key can't count.
 */
export function assertCountable(charges: readonly Charge[], byTimer: boolean): void {
  for (const charge of charges) {
    const missing = missingFor(charge, byTimer)
    if (missing === undefined) continue
    throw new QuotaError(
      'ERR_QUOTA_CAPABILITY',
      `${charge.counter.name} needs ${missing}, which this limiter of rate-limiter-flexible can't do: change the limit, or use another store`,
    )
  }
}

/** Whether the edges that came with a charge still hold. */
export function isStale({ window }: Charge, nowMs: number): boolean {
  return window.kind === 'fixed' && (nowMs < window.startMs || nowMs >= window.nextEndMs)
}

/** Where a charge counts at an instant: the bucket's start is part of the key, so that windows keep to the calendar. */
export function placeOf({ counter, window }: Charge, atMs: number, nowMs: number): CounterPlace {
  const name = `${counter.partition}/${counter.name}`
  if (window.kind !== 'fixed') return { key: shortened(name), lifetimeSeconds: 0, startMs: null, endMs: Infinity }
  const isNext = atMs >= window.endMs
  const startMs = isNext ? window.endMs : window.startMs
  const endMs = isNext ? window.nextEndMs : window.endMs
  const lifetimeSeconds = Math.max(0, Math.ceil((endMs - nowMs) / 1_000)) + GRACE_SECONDS
  return { key: shortened(`${name}@${startMs}`), lifetimeSeconds, startMs, endMs }
}

/** Where a charge stands with `used` units counted before its own. */
export function statusOf(charge: Charge, { startMs, endMs }: CounterPlace, used: number, nowMs: number): CounterStatus {
  const { quota } = charge
  const tripped = isOver(used, charge.quota, charge)
  const resetAtMs = endMs === Infinity ? null : endMs
  const roomAtMs = !tripped ? nowMs : isOver(0, charge.quota, charge) ? null : resetAtMs
  return { used, quota, startMs, tripped, resetAtMs, roomAtMs }
}

/** Whether charges are refused together: one that must have room has none, or each alternative is full. */
export function refuses(charges: readonly Charge[], statuses: readonly CounterStatus[]): boolean {
  const isFull = (charge: Charge, index: number): boolean => charge.effect === 'refuse' && statuses[index]!.tripped
  const full = new Set(charges.filter(isFull).map(({ alternative }) => alternative))
  if (full.has(0)) return true
  const alternatives = charges.map(({ alternative }) => alternative).filter((alternative) => alternative !== 0)
  return alternatives.length > 0 && alternatives.every((alternative) => full.has(alternative))
}

function missingFor({ window, onChange }: Charge, byTimer: boolean): string | undefined {
  if (window.kind === 'lifetime') return undefined
  if (window.kind !== 'fixed') return window.kind
  if (onChange.quota === 'next-window' || onChange.duration === 'next-window') return 'next-window'
  // By the length of the window, not by what is left of it: it is refused on any day of the month.
  const longestMs = Math.max(window.endMs - window.startMs, window.nextEndMs - window.endMs)
  return byTimer && longestMs > MOST_MS_BY_TIMER ? 'a window of more than 24 days' : undefined
}

function shortened(key: string): string {
  return key.length <= MOST_KEY_CHARACTERS ? key : `#${hash('sha256', key, 'base64url')}`
}
