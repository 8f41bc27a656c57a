import type { Charge, CounterStatus, SeededCounter } from '@tallygate/core'
import { OracleBucket, stepAt } from './oracle-bucket.ts'

/** What a hold has set aside in a counter, and in which bucket. */
export interface OracleHeld {
  readonly charge: Charge
  readonly startMs: number | null
  readonly step: number
  readonly amount: number
}

/** What one charge sees at an instant: a bucket that is there, or one that would begin. */
interface View {
  readonly bucket: OracleBucket
  readonly isNew: boolean
  readonly endMs: number
}

/** One counter: all the buckets it ever had. The last is the one in force; each is known by its start. */
export class OracleCounter {
  readonly #buckets: OracleBucket[] = []

  get #last(): OracleBucket | undefined {
    return this.#buckets.at(-1)
  }

  get isRebuilt(): boolean {
    return this.#last?.isRebuilt === true
  }

  status(charge: Charge, nowMs: number): CounterStatus {
    const { window, onChange } = charge
    const { bucket, isNew, endMs } = this.#view(charge, nowMs)
    const hasNext = window.kind === 'fixed' || window.kind === 'first-use'
    const isEnded = window.kind === 'first-use' && window.then === 'end' && !isNew && nowMs >= endMs
    const base = hasNext && onChange.quota === 'next-window' ? bucket.quota : charge.quota
    const quota = base === null ? null : base + bucket.toppedUp
    const used = bucket.used(window, nowMs)
    const tripped = isEnded || isFull(used, quota, charge)
    const endsAtMs = Number.isFinite(endMs) ? endMs : null
    const resetAtMs = bucket.returnsAt(window, nowMs, () => true) ?? endsAtMs
    const roomAtMs = (): number | null => {
      if (isEnded || isFull(0, charge.quota, charge)) return null
      if (window.kind === 'concurrent') return nowMs + 1_000
      if (window.kind === 'sliding') return bucket.returnsAt(window, nowMs, (left) => !isFull(left, quota, charge))!
      return window.kind === 'first-use' && window.then === 'end' ? null : endsAtMs
    }
    return {
      used,
      quota,
      startMs: hasNext ? bucket.startMs : null,
      tripped,
      resetAtMs: isEnded ? null : resetAtMs,
      roomAtMs: tripped ? roomAtMs() : nowMs,
    }
  }

  /** Counts units in the bucket of an instant, which becomes the one in force. */
  add(id: string, charge: Charge, amount: number, atMs: number): OracleHeld {
    const { bucket, isNew, endMs } = this.#view(charge, atMs)
    const step = stepAt(charge.window, atMs)
    if (isNew) this.#buckets.push(bucket)
    bucket.endMs = endMs
    if (charge.onChange.quota === 'now') bucket.quota = charge.quota
    bucket.add(id, step, amount)
    return { charge, startMs: bucket.startMs, step, amount }
  }

  /** An excess, in the bucket of an instant; nothing where that is over by now, or a fixed window has gone on since. */
  addExcess(id: string, charge: Charge, amount: number, atMs: number, nowMs: number): void {
    const last = this.#last
    const { bucket, endMs } = this.#view(charge, atMs)
    const isLater = last?.isOf(charge.window) === true && last.startMs! > bucket.startMs! && nowMs < last.endMs
    const isOver = charge.window.kind === 'fixed' && (isLater || nowMs >= endMs)
    if (!isOver) this.add(id, charge, amount, atMs)
  }

  /** Units of a hold, if the bucket that they were reserved in is the one in force and still open. */
  giveBack(id: string, held: OracleHeld, amount: number, atMs: number): void {
    const last = this.#last
    if (last?.isOf(held.charge.window) !== true) return
    if (last.startMs === held.startMs && atMs < last.endMs) last.add(id, held.step, -amount)
  }

  topUp(charge: Charge, amount: number, atMs: number): void {
    const { bucket, isNew } = this.#view(charge, atMs)
    if (charge.window.kind === 'first-use' && isNew) {
      this.#buckets.push(new OracleBucket(charge, null, Infinity, charge.quota, bucket.toppedUp + amount))
      return
    }
    if (isNew) this.#buckets.push(bucket)
    bucket.toppedUp += amount
  }

  refund(id: string, charge: Charge, amount: number, atMs: number): void {
    const { bucket, isNew } = this.#view(charge, atMs)
    if (!isNew) bucket.takeBack(id, amount, stepAt(charge.window, atMs))
  }

  reset(atMs: number): void {
    const last = this.#last
    if (last === undefined) return
    last.empty()
    // One that only this charge takes for over is over for good: one with a longer duration would still see it.
    const isOver = !last.lasts && atMs >= last.endMs
    if (last.kind === 'first-use' && last.startMs !== null && !isOver) this.#buckets.push(last.notBegun())
  }

  /** What the ledger says of the bucket of an instant. */
  seedOf(charge: Charge, nowMs: number): SeededCounter {
    const { bucket, isNew, endMs } = this.#view(charge, nowMs)
    const { quota, toppedUp } = bucket
    const { window } = charge
    if (window.kind === 'first-use' && isNew) return { charge, startMs: null, endMs: null, used: 0, quota, toppedUp }
    const used = bucket.used(window, nowMs)
    if (window.kind === 'sliding') {
      const steps = bucket.steps().map((step) => [step, bucket.unitsIn(step)] as const)
      return { charge, startMs: 0, endMs: null, used, quota, toppedUp, steps }
    }
    const hasEnd = Number.isFinite(endMs)
    return { charge, startMs: bucket.startMs, endMs: hasEnd ? bucket.endMs : null, used, quota, toppedUp }
  }

  /** The store has been told of the bucket of an instant. */
  seeded(charge: Charge, nowMs: number): void {
    const { bucket, isNew } = this.#view(charge, nowMs)
    if (isNew) this.#buckets.push(charge.window.kind === 'first-use' ? bucket.notBegun() : bucket)
  }

  /** As if these calls had never been. */
  forget(ids: ReadonlySet<string>): void {
    for (const bucket of this.#buckets) bucket.forget(ids)
  }

  #view(charge: Charge, atMs: number): View {
    const { window, onChange, quota } = charge
    const known = this.#last?.isOf(window) === true ? this.#last : undefined
    const waits = onChange.duration === 'next-window'
    const begin = (startMs: number, endMs: number, toppedUp = 0): View => {
      return { bucket: new OracleBucket(charge, startMs, endMs, quota, toppedUp), isNew: true, endMs }
    }
    if (window.kind === 'fixed') {
      const [startMs, endMs] = atMs < window.endMs ? [window.startMs, window.endMs] : [window.endMs, window.nextEndMs]
      const isSame = known?.startMs === startMs || (waits && known !== undefined && known.startMs! <= atMs)
      const goesOn = known !== undefined && isSame && atMs < known.endMs
      return goesOn ? { bucket: known, isNew: false, endMs: waits ? known.endMs : endMs } : begin(startMs, endMs)
    }
    if (window.kind === 'first-use') {
      if (known === undefined || known.startMs === null) {
        return begin(atMs, atMs + window.durationMs, known?.toppedUp)
      }
      const endMs = waits ? known.endMs : known.startMs + window.durationMs
      const isOver = window.then === 'restart' && (atMs >= endMs || atMs >= known.endMs)
      return isOver ? begin(atMs, atMs + window.durationMs) : { bucket: known, isNew: false, endMs }
    }
    return known === undefined ? begin(0, Infinity) : { bucket: known, isNew: false, endMs: Infinity }
  }
}

function isFull(used: number, quota: number | null, { trip, amount }: Charge): boolean {
  if (quota === null) return false
  return { fits: used + amount > quota, reached: used >= quota, exceeded: used > quota }[trip]
}
