import type { Charge } from '@tallygate/core'
import { lineOf, Shape, shapedCharge, type Place, type Shapes } from './charge-shape.ts'

/** Charges as the scripts take them; see `lua/includes/charge.lua`. */
export interface ChargeArguments<T> {
  /** Those of the partitions but the owner's home, which the scripts know. */
  readonly keys: string[]
  /** The lines of the counters of home, then of each further partition. */
  readonly lines: string[]
  /** An instant in all windows that are aligned to the epoch, amounts, then quotas and edges as the shape says. */
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

/** What becomes of the numbers of charges. */
export interface NumberOptions<T> {
  readonly shapes: Shapes<T>
  /** `baked`: quotas are in the shape, and equal amounts sent once; `sent`: all that may change is sent. */
  readonly quotas: 'baked' | 'sent'
  /** In place of the amounts of the charges. */
  readonly actuals?: readonly number[] | undefined
}

export function chargeArguments<T>(
  prefix: string,
  owner: string,
  charges: readonly Charge[],
  { shapes, quotas, actuals }: NumberOptions<T>,
): ChargeArguments<T> {
  const keys: string[] = []
  const lines = ['']
  const instant = alignedInstant(charges)
  const isBaked = quotas === 'baked'
  const amounts: number[] = []
  const places: Place[] = []
  let rest = ''
  let branch: ReturnType<Shapes<T>['next']> = shapes.root
  let isRebuilt = false
  let last: Charge['counter'] | undefined
  let at = 0
  for (let index = 0; index < charges.length; index += 1) {
    const charge = charges[index]!
    const { counter, window } = charge
    if (last === undefined || counter.partition !== last.partition || counter.owner !== last.owner) {
      at =
        counter.owner === owner && counter.partition === owner ? 0 : partitionIndex(keys, lines, keyOf(prefix, counter))
      last = counter
    }
    lines[at]! += lineOf(charge)
    const quota = charge.quota ?? -1
    const amount = amountIndex(amounts, actuals === undefined ? charge.amount : actuals[index]!, isBaked)
    const place = { partition: at + 1, w1: firstNumber(charge, instant), amount, quota: isBaked ? quota : undefined }
    if (!isBaked) rest += ` ${quota}`
    if (window.kind === 'fixed' && place.w1 === 0) rest += ` ${window.startMs} ${window.endMs} ${window.nextEndMs}`
    if (charge.isRebuilt) isRebuilt = true
    places.push(place)
    branch = branch && shapes.next(branch, charge, place)
  }
  const shared = branch && shapes.at(branch)
  const shape = shared ?? new Shape<T>(charges.map((charge, index) => shapedCharge(charge, places[index]!)))
  const numbers = `${instant}${joined(amounts)}${rest}`
  return { keys, lines, numbers, shape, isShared: shared !== undefined, isRebuilt }
}

/** From 1. */
function amountIndex(amounts: number[], amount: number, isOnce: boolean): number {
  const known = isOnce ? amounts.indexOf(amount) : -1
  return known === -1 ? amounts.push(amount) : known + 1
}

function joined(amounts: readonly number[]): string {
  let text = ''
  for (const amount of amounts) text += ` ${amount}`
  return text
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
