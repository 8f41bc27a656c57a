import type { Charge, ChargeWindow, SeededCounter } from './counter-store.ts'
import type { AdjustmentEntry } from './entry.ts'
import type { WindowStartEvent } from './ledger.ts'

/** Start of a first-use window that has not begun. */
const NOT_BEGUN = Infinity

type StartedWindow = Pick<WindowStartEvent, 'atMs' | 'endMs' | 'quota' | 'toppedUp'>

/**
 * What history makes of one counter, as far as it matters at an instant: the bucket that is in force then, or the steps
 * of a sliding window. Told of what happened, oldest first, it stands where a store stands that lived through it.
 */
export class CounterAccount {
  readonly #charge: Charge
  readonly #nowMs: number
  readonly #window: ChargeWindow
  #startMs = 0
  #endMs = Infinity
  #used = 0
  #quota: number | null
  #toppedUp = 0
  /** Of a sliding window: amounts by number of the step, as far back as one counts. */
  readonly #steps = new Map<number, number>()
  /** The first instant at which something that happened can matter. */
  readonly fromMs: number
  /** Whether what happened may be told in any order, as long as nobody has changed the counter otherwise. */
  readonly isOrderless: boolean

  /** @param started The latest window that began, where the ledger knows of one. */
  constructor(charge: Charge, nowMs: number, started: StartedWindow | undefined) {
    this.#charge = charge
    this.#nowMs = nowMs
    const { window } = charge
    this.#window = window
    this.#quota = charge.quota
    switch (window.kind) {
      case 'fixed':
        this.#beginFixed(window, nowMs, started)
        this.fromMs = this.#startMs
        this.isOrderless = true
        return
      case 'sliding':
        this.fromMs = (Math.floor(nowMs / window.bucketMs) - window.buckets) * window.bucketMs
        this.isOrderless = true
        return
      case 'first-use':
        this.#startMs = NOT_BEGUN
        this.fromMs = started?.atMs ?? (window.then === 'end' ? 0 : nowMs - 2 * window.durationMs)
        if (started !== undefined) this.begin(started)
        this.isOrderless = started !== undefined && (nowMs < this.#endMs || window.then === 'end')
        // One that has ended is told again: another may have followed whose start nobody wrote down.
        if (!this.isOrderless) this.#unbegin()
        return
      case 'lifetime':
      case 'concurrent':
        this.fromMs = 0
        this.isOrderless = true
    }
  }

  /** Whether what was added up still is what matters at a later instant. */
  isCurrentAt(nowMs: number): boolean {
    const window = this.#window
    if (window.kind === 'first-use' && (!this.isOrderless || window.then === 'end')) return true
    return (window.kind !== 'fixed' && window.kind !== 'first-use') || nowMs < this.#endMs
  }

  /** The same at an instant at which it {@link isCurrentAt}; what one is told from now on, the other is not. */
  copyAt(nowMs: number): CounterAccount {
    const copy = new CounterAccount(this.#charge, nowMs, undefined)
    copy.#startMs = this.#startMs
    copy.#endMs = this.#endMs
    copy.#used = this.#used
    copy.#quota = this.#quota
    copy.#toppedUp = this.#toppedUp
    for (const [step, amount] of this.#steps) copy.#addToStep(step, amount)
    return copy
  }

  /** A window that starts at first use has started. What was inferred from its calls gives way to it. */
  begin({ atMs, endMs, quota, toppedUp }: StartedWindow): void {
    if (this.#window.kind !== 'first-use' || this.#startMs === atMs) return
    const { durationMs } = this.#window
    if (toppedUp !== undefined) this.#toppedUp = toppedUp
    else if (this.#startMs !== NOT_BEGUN) this.#toppedUp = 0
    this.#startMs = atMs
    this.#endMs = this.#charge.onChange.duration === 'next-window' ? (endMs ?? Infinity) : atMs + durationMs
    this.#quota = quota
    this.#used = 0
  }

  /** Something was reserved. Returns the bucket that holds it; `undefined` where that one does not matter any more. */
  admit(amount: number, atMs: number): number | undefined {
    const window = this.#window
    if (window.kind === 'sliding') {
      const step = Math.floor(atMs / window.bucketMs)
      this.#addToStep(step, amount)
      return step
    }
    if (!this.#isIn(atMs)) return undefined
    this.#used += amount
    return this.#startMs
  }

  /** What was reserved in a bucket was settled: decision 6 of the architecture. */
  settle(bucket: number | undefined, reserved: number, actual: number, atMs: number): void {
    const excess = actual - reserved
    const window = this.#window
    if (window.kind === 'sliding') {
      if (excess > 0) this.#addToStep(Math.floor(atMs / window.bucketMs), excess)
      else if (bucket !== undefined) this.#addToStep(bucket, excess)
      return
    }
    if (excess > 0) {
      if (this.#isIn(atMs)) this.#used += excess
    } else if (bucket === this.#startMs && atMs < this.#endMs) this.#used = Math.max(0, this.#used + excess)
  }

  adjust(adjustment: AdjustmentEntry['adjustment'], amount: number, atMs: number): void {
    switch (adjustment) {
      case 'reset':
        this.#used = 0
        this.#steps.clear()
        if (this.#window.kind === 'first-use') {
          this.#startMs = NOT_BEGUN
          this.#endMs = Infinity
        }
        return
      case 'top-up':
        return this.#topUp(amount, atMs)
      case 'refund':
        if (this.#window.kind === 'sliding') this.#refundSteps(amount)
        else if (this.#covers(atMs) || this.#hasEnded(atMs)) this.#used = Math.max(0, this.#used - amount)
    }
  }

  seeded(): SeededCounter {
    const window = this.#window
    // One that is over and will begin anew says the same as one that has not begun.
    if (window.kind === 'first-use' && window.then === 'restart' && this.#endMs <= this.#nowMs) this.#unbegin()
    const startMs = this.#startMs === NOT_BEGUN ? null : this.#startMs
    const endMs = startMs === null || this.#endMs === Infinity ? null : this.#endMs
    const base = { charge: this.#charge, startMs, endMs, quota: this.#quota, toppedUp: this.#toppedUp }
    if (this.#window.kind !== 'sliding') return { ...base, used: startMs === null ? 0 : this.#used }
    const steps = [...this.#steps].filter(([, amount]) => amount > 0)
    return { ...base, used: steps.reduce((sum, [, amount]) => sum + amount, 0), steps }
  }

  /** The bucket of the calendar, or the one that began before the calendar changed, where that waits for its end. */
  #beginFixed(window: ChargeWindow & { kind: 'fixed' }, nowMs: number, started: StartedWindow | undefined): void {
    const isNext = nowMs >= window.endMs
    this.#startMs = isNext ? window.endMs : window.startMs
    this.#endMs = isNext ? window.nextEndMs : window.endMs
    if (started === undefined) return
    const { onChange } = this.#charge
    const isThis = started.atMs === this.#startMs
    const lasts = onChange.duration === 'next-window' && started.endMs !== null && nowMs < started.endMs
    if (!isThis && !lasts) return
    this.#startMs = started.atMs
    if (lasts) this.#endMs = started.endMs!
    if (onChange.quota === 'next-window') this.#quota = started.quota
  }

  /** Its start will be among what happened. */
  #unbegin(): void {
    this.#startMs = NOT_BEGUN
    this.#endMs = Infinity
    this.#toppedUp = 0
    this.#quota = this.#charge.quota
  }

  #covers(atMs: number): boolean {
    return this.#startMs <= atMs && atMs < this.#endMs
  }

  /** A first-use window that ends for good still counts after its end. */
  #hasEnded(atMs: number): boolean {
    const window = this.#window
    return window.kind === 'first-use' && window.then === 'end' && this.#startMs !== NOT_BEGUN && atMs >= this.#endMs
  }

  /** Whether an instant is in the bucket; where none is open, and a use begins one, it does. */
  #isIn(atMs: number): boolean {
    const window = this.#window
    if (window.kind !== 'first-use') return this.#covers(atMs)
    // Before a window that the ledger knows of, and after one that never restarts.
    if (this.#startMs !== NOT_BEGUN && atMs < this.#startMs) return false
    const isOver = this.#startMs !== NOT_BEGUN && atMs >= this.#endMs
    if (this.#startMs === NOT_BEGUN || (isOver && window.then === 'restart'))
      this.begin({ atMs, endMs: atMs + window.durationMs, quota: this.#charge.quota })
    return true
  }

  #topUp(amount: number, atMs: number): void {
    const { kind } = this.#window
    if (kind === 'sliding' || kind === 'concurrent') return
    if (kind === 'first-use' && this.#startMs !== NOT_BEGUN && atMs >= this.#endMs && !this.#hasEnded(atMs)) {
      // The next window gets it.
      this.#unbegin()
    }
    if (kind === 'first-use' || this.#covers(atMs)) this.#toppedUp += amount
  }

  #addToStep(step: number, amount: number): void {
    const window = this.#window as ChargeWindow & { kind: 'sliding' }
    if (step * window.bucketMs < this.fromMs) return
    this.#steps.set(step, Math.max(0, (this.#steps.get(step) ?? 0) + amount))
  }

  /** From the newest step on, so that what leaves the window first stays. */
  #refundSteps(amount: number): void {
    let left = amount
    for (const [step, kept] of [...this.#steps].sort(([one], [other]) => other - one)) {
      const taken = Math.min(left, kept)
      this.#steps.set(step, kept - taken)
      left -= taken
    }
  }
}
