import type { Charge, ChargeWindow, CounterStatus } from './counter-store.ts'
import { amountIn, hasShape, oldestBucket, slidingResetAt, slidingUsed } from './sliding-steps.ts'

/**
 * What a store remembers of one counter. Kinds with one bucket at a time use `startMs`, `endMs` and `used`; a sliding
 * one keeps the amounts of the buckets up to `latest`, that of a bucket in place `bucket number % places` of its ring, and
 * in `used` their sum.
 */
export interface CounterState {
  kind: ChargeWindow['kind']
  startMs: number
  /** `Infinity` where the bucket never ends. */
  endMs: number
  used: number
  /** The quota that the bucket began with. */
  quota: number | null
  /** Units added to the quota of the bucket. */
  toppedUp: number
  /** Says something even after its end: a first-use window that does not restart. */
  lasts: boolean
  /** Sliding only, as what follows. */
  bucketMs: number
  latest: number
  /** Places of the ring: one more than the window has buckets. */
  places: number
  /** Where the ring is: from `ringAt` on. */
  ring: Float64Array
  ringAt: number
}

/** One counter as a charge sees it at an instant. */
export interface CounterView {
  /** Names the bucket that is current: its start, or its number where the window slides. */
  readonly bucket: number
  readonly endMs: number
  readonly used: number
  /** With what was topped up. */
  readonly quota: number | null
  /** A first-use window that is over for good. */
  readonly ended: boolean
}

/** Start of a first-use window that has not begun: it was reset, or nobody has used it. */
export const NOT_BEGUN = -1

/** Whether the edges that came with a charge still hold at the store's time. */
export function isStale(window: ChargeWindow, nowMs: number): boolean {
  return window.kind === 'fixed' && (nowMs < window.startMs || nowMs >= window.nextEndMs)
}

/** Looks at a counter without changing it. Windows that have not begun look empty and begin at `nowMs`. */
export function viewCounter(state: CounterState | undefined, charge: Charge, nowMs: number): CounterView {
  const { window } = charge
  const known = state?.kind === window.kind ? state : undefined
  switch (window.kind) {
    case 'fixed':
      return viewFixed(known, charge, window, nowMs)
    case 'sliding': {
      const bucket = Math.floor(nowMs / window.bucketMs)
      const used = known !== undefined && hasShape(known, window) ? slidingUsed(known, bucket) : 0
      return { bucket, endMs: Infinity, used, quota: charge.quota, ended: false }
    }
    case 'first-use':
      return viewFirstUse(known, charge, window, nowMs)
    case 'lifetime':
    case 'concurrent': {
      const quota = toppedUp(charge.quota, known)
      return { bucket: 0, endMs: Infinity, used: known?.used ?? 0, quota, ended: false }
    }
  }
}

/** Whether a charge has no room. */
export function trips(view: CounterView, charge: Charge): boolean {
  return view.ended || isOver(view.used, view.quota, charge)
}

/** Whether charges, given which of them tripped, are refused together: an AND, and an OR of ANDs. */
export function refuses(charges: readonly Charge[], statuses: readonly { readonly tripped: boolean }[]): boolean {
  let hasAlternatives = false
  for (const [index, { alternative, effect }] of charges.entries()) {
    if (alternative !== 0) hasAlternatives = true
    else if (statuses[index]!.tripped && effect === 'refuse') return true
  }
  return hasAlternatives && everyAlternativeIsFull(charges, statuses)
}

/** The status of a charge, before its own amount is counted. */
export function statusOf(
  state: CounterState | undefined,
  view: CounterView,
  charge: Charge,
  nowMs: number,
): CounterStatus {
  const tripped = trips(view, charge)
  const { window } = charge
  return {
    used: view.used,
    quota: view.quota,
    startMs: window.kind === 'fixed' || window.kind === 'first-use' ? view.bucket : null,
    tripped,
    resetAtMs: resetAt(state, view, charge),
    roomAtMs: tripped ? roomAt(state, view, charge, nowMs) : nowMs,
  }
}

/** Whether a charge has no room where so much of a quota is used: what every counter store must answer alike. */
export function isOver(used: number, quota: number | null, { trip, amount }: Charge): boolean {
  if (quota === null) return false
  switch (trip) {
    case 'fits':
      return used + amount > quota
    case 'reached':
      return used >= quota
    case 'exceeded':
      return used > quota
  }
}

/** Whether a counter says the same as none at all. */
export function isForgettable(state: CounterState, nowMs: number): boolean {
  switch (state.kind) {
    case 'fixed':
    case 'first-use':
      return nowMs >= state.endMs && !state.lasts
    case 'sliding':
      return nowMs >= (state.latest + state.places) * state.bucketMs
    case 'concurrent':
      return state.used === 0
    case 'lifetime':
      return false
  }
}

function everyAlternativeIsFull(
  charges: readonly Charge[],
  statuses: readonly { readonly tripped: boolean }[],
): boolean {
  const full = new Set<number>()
  const alternatives = new Set<number>()
  for (const [index, { alternative, effect }] of charges.entries()) {
    if (alternative === 0) continue
    alternatives.add(alternative)
    if (statuses[index]!.tripped && effect === 'refuse') full.add(alternative)
  }
  return full.size === alternatives.size
}

function viewFixed(
  known: CounterState | undefined,
  charge: Charge,
  window: ChargeWindow & { kind: 'fixed' },
  nowMs: number,
): CounterView {
  const inNext = nowMs >= window.endMs
  const startMs = inNext ? window.endMs : window.startMs
  const endMs = inNext ? window.nextEndMs : window.endMs
  if (known !== undefined && known.startMs === startMs) {
    const end = charge.onChange.duration === 'next-window' ? known.endMs : endMs
    return { bucket: startMs, endMs: end, used: known.used, quota: quotaInForce(known, charge), ended: false }
  }
  const isIn = known !== undefined && known.startMs <= nowMs && nowMs < known.endMs
  if (isIn && charge.onChange.duration === 'next-window') {
    return {
      bucket: known.startMs,
      endMs: known.endMs,
      used: known.used,
      quota: quotaInForce(known, charge),
      ended: false,
    }
  }
  return { bucket: startMs, endMs, used: 0, quota: charge.quota, ended: false }
}

function viewFirstUse(
  known: CounterState | undefined,
  charge: Charge,
  window: ChargeWindow & { kind: 'first-use' },
  nowMs: number,
): CounterView {
  if (known === undefined || known.startMs === NOT_BEGUN) {
    const quota = toppedUp(charge.quota, known)
    return { bucket: nowMs, endMs: nowMs + window.durationMs, used: 0, quota, ended: false }
  }
  const endMs = firstUseEnd(known, charge, window)
  if (nowMs >= endMs && window.then === 'restart') {
    return { bucket: nowMs, endMs: nowMs + window.durationMs, used: 0, quota: charge.quota, ended: false }
  }
  const ended = nowMs >= endMs
  return { bucket: known.startMs, endMs, used: known.used, quota: quotaInForce(known, charge), ended }
}

function firstUseEnd(known: CounterState, charge: Charge, window: ChargeWindow & { kind: 'first-use' }): number {
  return charge.onChange.duration === 'next-window' ? known.endMs : known.startMs + window.durationMs
}

function quotaInForce(known: CounterState, charge: Charge): number | null {
  return toppedUp(charge.onChange.quota === 'next-window' ? known.quota : charge.quota, known)
}

function toppedUp(quota: number | null, known: CounterState | undefined): number | null {
  return quota === null ? null : quota + (known?.toppedUp ?? 0)
}

function resetAt(state: CounterState | undefined, view: CounterView, { window }: Charge): number | null {
  if (window.kind !== 'sliding') return Number.isFinite(view.endMs) && !view.ended ? view.endMs : null
  const isKnown = state !== undefined && state.kind === 'sliding' && hasShape(state, window)
  return isKnown ? slidingResetAt(state, view.bucket) : (view.bucket + window.buckets + 1) * window.bucketMs
}

function roomAt(state: CounterState | undefined, view: CounterView, charge: Charge, nowMs: number): number | null {
  const { window, quota } = charge
  if (view.ended || isOver(0, quota, charge)) return null
  switch (window.kind) {
    case 'fixed':
      return view.endMs
    case 'first-use':
      return window.then === 'restart' ? view.endMs : null
    case 'lifetime':
      return null
    case 'concurrent':
      // Nobody knows when another call ends: soon.
      return nowMs + 1_000
    case 'sliding': {
      if (state === undefined) return null
      let { used } = view
      for (let bucket = oldestBucket(state, view.bucket); bucket <= view.bucket; bucket += 1) {
        used -= amountIn(state, bucket)
        if (!isOver(used, view.quota, charge)) return (bucket + window.buckets + 1) * window.bucketMs
      }
      return null
    }
  }
}
