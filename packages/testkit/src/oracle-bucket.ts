import type { Charge, ChargeWindow } from '@tallygate/core'

interface Event {
  readonly id: string
  readonly step: number
  /** `-Infinity`: a reset. */
  readonly units: number
}

/** One bucket of a counter with everything that ever happened in it. A sliding window has one, with many steps. */
export class OracleBucket {
  readonly kind: ChargeWindow['kind']
  readonly isRebuilt: boolean
  /** A first-use window that does not restart. */
  readonly lasts: boolean
  /** `null`: a first-use window that has not begun. */
  readonly startMs: number | null
  /** As the last charge said that was added. */
  endMs: number
  quota: number | null
  toppedUp: number
  readonly #charge: Charge
  #events: Event[] = []

  constructor(charge: Charge, startMs: number | null, endMs: number, quota: number | null, toppedUp: number) {
    const { window } = charge
    this.kind = window.kind
    this.isRebuilt = charge.isRebuilt
    this.lasts = window.kind === 'first-use' && window.then === 'end'
    this.startMs = startMs
    this.endMs = endMs
    this.quota = quota
    this.toppedUp = toppedUp
    this.#charge = charge
  }

  /** Whether a window can go on with this bucket: it is of the same kind and, sliding, of the same shape. */
  isOf(window: ChargeWindow): boolean {
    const mine = this.#charge.window
    if (mine.kind !== 'sliding' || window.kind !== 'sliding') return mine.kind === window.kind
    return mine.bucketMs === window.bucketMs && mine.buckets === window.buckets
  }

  add(id: string, step: number, units: number): void {
    this.#events.push({ id, step, units })
  }

  empty(): void {
    for (const step of this.steps()) this.add('', step, -Infinity)
  }

  /** Takes units back, those of the newest steps first, as far as they are still in the window. */
  takeBack(id: string, amount: number, newest: number): void {
    let left = amount
    for (const step of this.steps().sort((one, other) => other - one)) {
      if (step > newest) continue
      const taken = Math.min(left, this.unitsIn(step))
      this.add(id, step, -taken)
      left -= taken
    }
  }

  /** The same window after a reset: its next use begins it, with what was topped up. */
  notBegun(): OracleBucket {
    return new OracleBucket(this.#charge, null, Infinity, this.quota, this.toppedUp)
  }

  /** As if these calls had never been. */
  forget(ids: ReadonlySet<string>): void {
    this.#events = this.#events.filter(({ id }) => !ids.has(id))
  }

  steps(): number[] {
    return [...new Set(this.#events.map(({ step }) => step))]
  }

  /** Everything that happened in a step, in order; what is taken back never makes it less than nothing. */
  unitsIn(step: number): number {
    let sum = 0
    for (const event of this.#events) if (event.step === step) sum = Math.max(0, sum + event.units)
    return sum
  }

  /** Sliding: the units of the step of an instant and of the N before it. */
  used(window: ChargeWindow, atMs: number): number {
    const latest = stepAt(window, atMs)
    const first = window.kind === 'sliding' ? latest - window.buckets : latest
    let sum = 0
    for (const step of this.steps()) if (step >= first && step <= latest) sum += this.unitsIn(step)
    return sum
  }

  /**
   * Sliding: when units next leave the window, in the first step after which what is left is enough. Those of the step
   * that is current count as there.
   */
  returnsAt(window: ChargeWindow, atMs: number, isEnough: (left: number) => boolean): number | undefined {
    if (window.kind !== 'sliding') return undefined
    const latest = stepAt(window, atMs)
    for (let step = latest - window.buckets; step <= latest; step += 1) {
      const leavesAtMs = (step + window.buckets + 1) * window.bucketMs
      if (step < latest && this.unitsIn(step) === 0) continue
      if (isEnough(this.used(window, atMs) - this.#usedUpTo(window, atMs, step))) return leavesAtMs
    }
    return undefined
  }

  #usedUpTo(window: ChargeWindow & { kind: 'sliding' }, atMs: number, last: number): number {
    let sum = 0
    for (let step = stepAt(window, atMs) - window.buckets; step <= last; step += 1) sum += this.unitsIn(step)
    return sum
  }
}

/** Number of the step that an instant is in; 0 where windows don't slide. */
export function stepAt(window: ChargeWindow, atMs: number): number {
  return window.kind === 'sliding' ? Math.floor(atMs / window.bucketMs) : 0
}
