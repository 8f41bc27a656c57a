import type { Charge } from './counter-store.ts'
import type { WindowStartEntry } from './entry.ts'

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
  tenant: string,
  { startMs, endMs, quota, toppedUp }: WindowStart,
): WindowStartEntry {
  const id = `${partition} ${name} ${startMs}`
  const entry = {
    kind: 'window-start',
    id,
    tenant,
    atMs: startMs,
    owner,
    partition,
    counter: name,
    endMs,
    quota,
  } as const
  return toppedUp === 0 ? entry : { ...entry, toppedUp }
}
