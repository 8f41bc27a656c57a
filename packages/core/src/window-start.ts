import type { Charge, CounterStatus, SettledCharge } from './counter-store.ts'
import type { WindowStartEntry } from './entry.ts'
import { tenantOf } from './partition.ts'

/** What a window began with. Instants in milliseconds; `endMs` is `null` where it has no end. */
export interface WindowStart {
  readonly startMs: number
  readonly endMs: number | null
  readonly quota: number | null
  readonly toppedUp: number
}

/** Whether a ledger has to know when a window of this kind started, and with which quota. */
export function keepsItsStart({ window, onChange }: Charge): boolean {
  if (window.kind === 'first-use') return true
  return window.kind === 'fixed' && (onChange.quota === 'next-window' || onChange.duration === 'next-window')
}

/** The entry of a window's start. Whoever finds it first writes it: its id is made of counter and instant. */
export function windowStart(
  { counter: { owner, partition, name } }: Charge,
  { startMs, endMs, quota, toppedUp }: WindowStart,
): WindowStartEntry {
  const id = `${partition} ${name} ${startMs}`
  const entry = {
    kind: 'window-start',
    id,
    tenant: tenantOf(partition),
    atMs: startMs,
    owner,
    partition,
    counter: name,
    endMs,
    quota,
  } as const
  return toppedUp === 0 ? entry : { ...entry, toppedUp }
}

/** Writes down which windows have begun with a call, or with what was done to a counter, where only that can tell. */
export class WindowStarts {
  readonly #record: (start: WindowStartEntry) => void

  constructor(record: (start: WindowStartEntry) => void) {
    this.#record = record
  }

  reserved(charges: readonly Charge[], statuses: readonly CounterStatus[], nowMs: number): void {
    for (const [index, charge] of charges.entries()) {
      if (!keepsItsStart(charge)) continue
      const { startMs, used, quota, resetAtMs } = statuses[index]!
      const isFirst = charge.window.kind === 'first-use' ? startMs === nowMs : used === charge.amount
      if (!isFirst || startMs === null) continue
      const toppedUp = charge.window.kind === 'first-use' ? (quota ?? 0) - (charge.quota ?? 0) : 0
      this.#record(windowStart(charge, { startMs, endMs: resetAtMs, quota: charge.quota, toppedUp }))
    }
  }

  settled(reserved: readonly Charge[], settled: readonly SettledCharge[]): void {
    for (const [index, { charge, actual }] of settled.entries()) {
      if (charge.window !== reserved[index]!.window && actual > charge.amount) this.uncalled(charge)
    }
  }

  /** What the bucket of a fixed window can begin with beside a call: an excess, or a top-up. */
  uncalled(charge: Charge): void {
    const { window, quota } = charge
    if (window.kind !== 'fixed' || !keepsItsStart(charge)) return
    const { startMs, endMs } = window
    this.#record(windowStart(charge, { startMs, endMs, quota, toppedUp: 0 }))
  }
}
