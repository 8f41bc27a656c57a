import type { Charge, CounterStatus } from '@tallygate/core'

const FIGURES_PER_STATUS = 6

/** Reads the statuses that a script's reply holds from `offset`. */
export function statusesOf(reply: readonly number[], offset: number, charges: readonly Charge[]): CounterStatus[] {
  return charges.map((_charge, index) => statusAt(reply, offset + index * FIGURES_PER_STATUS))
}

/** Where in a reply what follows the statuses is. */
export function afterStatuses(offset: number, charges: readonly Charge[]): number {
  return offset + charges.length * FIGURES_PER_STATUS
}

/** Six figures: used, quota, start, tripped, reset, room; -1 for none. */
export function statusAt(reply: readonly number[], at: number): CounterStatus {
  return {
    used: reply[at]!,
    quota: orNull(reply[at + 1]!),
    startMs: orNull(reply[at + 2]!),
    tripped: reply[at + 3] === 1,
    resetAtMs: orNull(reply[at + 4]!),
    roomAtMs: orNull(reply[at + 5]!),
  }
}

function orNull(figure: number): number | null {
  return figure < 0 ? null : figure
}
