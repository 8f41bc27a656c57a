import type { Charge } from '@tallygate/core'
import { lineOf, Shape, shapedCharge, type Shapes } from './charge-shape.ts'

/** Charges as the scripts take them; see `lua/includes/charge.lua`. */
export interface ChargeArguments<T> {
  /** Those of the partitions but the owner's home, which the scripts know. */
  readonly keys: string[]
  /** The lines of the counters of home, then of each further partition. */
  readonly lines: string[]
  /** An instant in all windows that are aligned to the epoch, then amounts, quotas and edges. */
  readonly numbers: string
  readonly shape: Shape<T>
  /** Whether the shape will be met again: not where there are too many. */
  readonly isShared: boolean
  readonly isRebuilt: boolean
}

/** All keys of an owner share a hash tag, so that a Cluster keeps them in one slot. */
export function baseOf(prefix: string, owner: string): string {
  return `${prefix}{${owner}}:`
}

/** @param actuals In place of the amounts of the charges. */
export function chargeArguments<T>(
  prefix: string,
  owner: string,
  charges: readonly Charge[],
  shapes: Shapes<T>,
  actuals?: readonly number[],
): ChargeArguments<T> {
  const keys: string[] = []
  const lines = ['']
  const instant = alignedInstant(charges)
  let numbers = String(instant)
  let branch: ReturnType<Shapes<T>['next']> = shapes.root
  let isRebuilt = false
  let last: Charge['counter'] | undefined
  let at = 0
  for (let index = 0; index < charges.length; index += 1) {
    const charge = charges[index]!
    const { counter, window, amount, quota } = charge
    if (last === undefined || counter.partition !== last.partition || counter.owner !== last.owner) {
      at = counter.owner === owner && counter.partition === owner ? 0 : partitionIndex(keys, lines, keyOf(prefix, counter))
      last = counter
    }
    lines[at]! += lineOf(charge)
    numbers += ` ${actuals === undefined ? amount : actuals[index]!} ${quota ?? -1}`
    const w1 = firstNumber(charge, instant)
    if (window.kind === 'fixed' && w1 === 0) numbers += ` ${window.startMs} ${window.endMs} ${window.nextEndMs}`
    if (charge.isRebuilt) isRebuilt = true
    branch = branch && shapes.next(branch, charge, at + 1, w1)
  }
  const shared = branch && shapes.at(branch)
  const shape = shared ?? unusualShape<T>(prefix, owner, keys, charges, instant)
  return { keys, lines, numbers, shape, isShared: shared !== undefined, isRebuilt }
}

function partitionIndex(keys: string[], lines: string[], key: string): number {
  const known = keys.indexOf(key)
  if (known !== -1) return known + 1
  lines.push('')
  return keys.push(key)
}

/** The partition that has the owner's own name is its home, and has no further name. */
function keyOf(prefix: string, { owner, partition }: Charge['counter']): string {
  return `${baseOf(prefix, owner)}c:${partition === owner ? '' : partition}`
}

/** The latest start of a window that is aligned to the epoch: in all of them, if they were made for one instant. */
function alignedInstant(charges: readonly Charge[]): number {
  let instant = 0
  for (const { window } of charges) {
    if (window.kind === 'fixed' && window.startMs > instant && alignedLength(window) !== 0) instant = window.startMs
  }
  return instant
}

function alignedLength({ startMs, endMs, nextEndMs }: Charge['window'] & { kind: 'fixed' }): number {
  const length = endMs - startMs
  return nextEndMs - endMs === length && startMs >= 0 && startMs % length === 0 ? length : 0
}

function firstNumber({ window }: Charge, instant: number): number {
  switch (window.kind) {
    case 'fixed': {
      const length = alignedLength(window)
      return length !== 0 && instant - (instant % length) === window.startMs ? length : 0
    }
    case 'sliding':
      return window.bucketMs
    case 'first-use':
      return window.durationMs
    default:
      return 0
  }
}

function unusualShape<T>(
  prefix: string,
  home: string,
  keys: string[],
  charges: readonly Charge[],
  instant: number,
): Shape<T> {
  return new Shape(
    charges.map((charge) => {
      const { owner, partition } = charge.counter
      const at = owner === home && partition === home ? 0 : keys.indexOf(keyOf(prefix, charge.counter)) + 1
      return shapedCharge(charge, at + 1, firstNumber(charge, instant))
    }),
  )
}
