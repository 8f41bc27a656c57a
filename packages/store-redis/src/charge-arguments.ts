import type { Charge, ChargeWindow, CounterStatus } from '@tallygate/core'

/** The numbers by which the scripts know kinds and choices; see `lua/includes`. */
const KIND: Record<ChargeWindow['kind'], number> = { fixed: 1, sliding: 2, 'first-use': 3, lifetime: 4, concurrent: 5 }
const TRIP: Record<Charge['trip'], number> = { fits: 0, reached: 1, exceeded: 2 }
const EFFECT: Record<Charge['effect'], number> = { refuse: 0, flag: 1, shadow: 2 }
const FIGURES_PER_STATUS = 5

/** Charges as the scripts take them: their distinct partitions' keys, and a JSON list of numbers and names. */
export interface ChargeArguments {
  readonly keys: readonly string[]
  readonly json: string
}

/** @param keyOf Name of the Redis key of a charge's partition. */
export function chargeArguments(charges: readonly Charge[], keyOf: (charge: Charge) => string): ChargeArguments {
  const keys: string[] = []
  const rows = charges.map((charge) => {
    const key = keyOf(charge)
    let index = keys.indexOf(key)
    if (index === -1) index = keys.push(key) - 1
    const { counter, window, amount, quota, trip, effect, onChange, onExpiry, alternative } = charge
    return [
      index + 1,
      counter.name,
      KIND[window.kind],
      amount,
      quota ?? -1,
      TRIP[trip],
      EFFECT[effect],
      onChange.quota === 'now' ? 0 : 1,
      onChange.duration === 'now' ? 0 : 1,
      onExpiry === 'keep' ? 0 : 1,
      alternative,
      ...windowNumbers(window),
    ]
  })
  return { keys, json: JSON.stringify(rows) }
}

/** Reads the statuses that a script's reply ends with, from `offset`. */
export function statusesOf(reply: readonly number[], offset: number, charges: readonly Charge[]): CounterStatus[] {
  return charges.map((charge, index) => {
    const at = offset + index * FIGURES_PER_STATUS
    return {
      used: reply[at]!,
      quota: orNull(reply[at + 1]!),
      startMs: charge.window.kind === 'fixed' ? charge.window.startMs : null,
      tripped: reply[at + 2] === 1,
      resetAtMs: orNull(reply[at + 3]!),
      roomAtMs: orNull(reply[at + 4]!),
    }
  })
}

function windowNumbers(window: ChargeWindow): readonly number[] {
  switch (window.kind) {
    case 'fixed':
      return [window.startMs, window.endMs, window.nextEndMs]
    case 'sliding':
      return [window.bucketMs, window.buckets]
    case 'first-use':
      return [window.durationMs, window.then === 'restart' ? 0 : 1]
    case 'lifetime':
    case 'concurrent':
      return []
  }
}

function orNull(figure: number): number | null {
  return figure < 0 ? null : figure
}
