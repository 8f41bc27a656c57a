import type { Charge, ChargeWindow, ReserveRequest } from '@tallygate/core'
import { testCharge } from '@tallygate/testkit'

export const MINUTE = 60_000
/** On a minute, and on a day. */
export const START = Date.UTC(2026, 0, 15)

/** A charge of one unit against ten a minute, unless it is told otherwise. */
export function charge({ name = 'limit', ...overrides }: Partial<Charge> & { name?: string } = {}): Charge {
  return { ...testCharge({ counter: `plan/${name}` }), window: minuteAt(START), ...overrides }
}

/** A request whose hold outlives the test. */
export function asked(id: string, ...charges: readonly Charge[]): ReserveRequest {
  return { id, owner: 'o', charges, lifetimeMs: 1e12, context: '' }
}

export function minuteAt(nowMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / MINUTE) * MINUTE
  return { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
}

/** January and February. */
export const MONTH = {
  kind: 'fixed',
  startMs: Date.UTC(2026, 0, 1),
  endMs: Date.UTC(2026, 1, 1),
  nextEndMs: Date.UTC(2026, 2, 1),
} as const
