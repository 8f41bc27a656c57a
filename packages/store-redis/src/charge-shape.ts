import type { Charge, ChargeWindow } from '@tallygate/core'

/** All of a charge that does not change from call to call, as the scripts know it; see `lua/includes/charge.lua`. */
export interface ShapedCharge {
  /** Of the partition, from 1. */
  readonly partition: number
  readonly kind: 'F' | 'S' | 'U' | 'L' | 'C'
  readonly trip: number
  readonly effect: number
  readonly keepsQuota: boolean
  readonly keepsDuration: boolean
  readonly expiry: 'k' | 'r'
  readonly alternative: number
  readonly isRebuilt: boolean
  /** Fixed: length in ms of a window aligned to the epoch, 0 for others; sliding: of a step; first-use: of the window. */
  readonly w1: number
  /** Sliding: steps; first-use: 1 if it ends for good. */
  readonly w2: number
  /** Which of the amounts that are sent is its own, from 1: equal ones are sent once. */
  readonly amount: number
  /** -1: none; `undefined`: it is sent. Part of the shape, as most callers share a few plans. */
  readonly quota: number | undefined
}

const KIND = { fixed: 'F', sliding: 'S', 'first-use': 'U', lifetime: 'L', concurrent: 'C' } as const
const KINDS = ['fixed', 'sliding', 'first-use', 'lifetime', 'concurrent']
const TRIP: Record<Charge['trip'], number> = { fits: 0, reached: 1, exceeded: 2 }
const EFFECT: Record<Charge['effect'], number> = { refuse: 0, flag: 1, shadow: 2 }
/** What fits into the number by which charges are told apart. */
const MOST_ALTERNATIVES = 1_000
const MOST_PARTITIONS = 16
const MOST_AMOUNTS = 16

/** What of a shape is not in the charge itself. */
export type Place = Pick<ShapedCharge, 'partition' | 'w1' | 'amount' | 'quota'>

/** A list of charges without their names, amounts, quotas and instants, and what was made for it. */
export class Shape<T> {
  readonly charges: readonly ShapedCharge[]
  /** As the scripts read it. */
  readonly text: string
  made: T | undefined

  constructor(charges: readonly ShapedCharge[]) {
    this.charges = charges
    this.text = charges.map(textOf).join(';')
  }
}

interface Branch<T> {
  readonly children: Map<number, Branch<T>>
  readonly charge: ShapedCharge | undefined
  readonly parent: Branch<T> | undefined
  shape: Shape<T> | undefined
}

/** Finds the shape of charges without making anything, in a tree of those seen before. Remembers at most so many. */
export class Shapes<T> {
  readonly most: number
  readonly #root: Branch<T> = { children: new Map(), charge: undefined, parent: undefined, shape: undefined }
  #branches = 0
  #size = 0

  constructor(most: number) {
    this.most = most
  }

  get root(): Branch<T> {
    return this.#root
  }

  /** The branch of a charge after others; `undefined` where there are too many, or it is out of the ordinary. */
  next(from: Branch<T>, charge: Charge, place: Place): Branch<T> | undefined {
    const { alternative, window } = charge
    const { partition, w1, amount, quota } = place
    if (alternative >= MOST_ALTERNATIVES || partition > MOST_PARTITIONS || amount > MOST_AMOUNTS) return undefined
    const code = codeOf(charge) * MOST_PARTITIONS + partition - 1
    const byCode = this.#child(from, code, undefined)
    const byLength = w1 === 0 ? byCode : byCode && this.#child(byCode, w1, undefined)
    const rest = -1 - (secondNumber(window) * MOST_AMOUNTS + amount - 1)
    const byRest = byLength && this.#child(byLength, rest, quota === undefined ? { charge, place } : undefined)
    return quota === undefined ? byRest : byRest && this.#child(byRest, quota, { charge, place })
  }

  /** The shape that a branch ends. */
  at(branch: Branch<T>): Shape<T> | undefined {
    if (branch.shape !== undefined || this.#size >= this.most) return branch.shape
    const charges: ShapedCharge[] = []
    for (let each: Branch<T> | undefined = branch; each !== undefined; each = each.parent) {
      if (each.charge !== undefined) charges.unshift(each.charge)
    }
    this.#size += 1
    branch.shape = new Shape(charges)
    return branch.shape
  }

  #child(
    from: Branch<T>,
    key: number,
    of: { readonly charge: Charge; readonly place: Place } | undefined,
  ): Branch<T> | undefined {
    const known = from.children.get(key)
    if (known !== undefined) return known
    // Shapes share branches, so that this is far more than the shapes need.
    if (this.#branches >= this.most * 100) return undefined
    this.#branches += 1
    const charge = of && shapedCharge(of.charge, of.place)
    const child = { children: new Map(), charge, parent: from, shape: undefined }
    from.children.set(key, child)
    return child
  }
}

/** A charge as the scripts know it. */
export function shapedCharge(charge: Charge, place: Place): ShapedCharge {
  return {
    ...place,
    kind: KIND[charge.window.kind],
    trip: TRIP[charge.trip],
    effect: EFFECT[charge.effect],
    keepsQuota: charge.onChange.quota === 'next-window',
    keepsDuration: charge.onChange.duration === 'next-window',
    expiry: charge.onExpiry === 'keep' ? 'k' : 'r',
    alternative: charge.alternative,
    isRebuilt: charge.isRebuilt,
    w2: secondNumber(charge.window),
  }
}

/** What a counter is called in the directory of its partition. */
export function lineOf({ counter: { name }, window }: Charge): string {
  if (window.kind === 'sliding') return `S${window.bucketMs},${window.buckets + 1} ${name}\n`
  return `${window.kind === 'first-use' && window.then === 'end' ? 'E' : KIND[window.kind]} ${name}\n`
}

function secondNumber(window: ChargeWindow): number {
  if (window.kind === 'sliding') return window.buckets
  return window.kind === 'first-use' && window.then === 'end' ? 1 : 0
}

function codeOf({ window, trip, effect, onChange, onExpiry, alternative, isRebuilt }: Charge): number {
  let code = alternative * 5 + KINDS.indexOf(window.kind)
  code = code * 3 + TRIP[trip]
  code = code * 3 + EFFECT[effect]
  code = code * 2 + (onChange.quota === 'now' ? 0 : 1)
  code = code * 2 + (onChange.duration === 'now' ? 0 : 1)
  code = code * 2 + (onExpiry === 'keep' ? 0 : 1)
  return code * 2 + (isRebuilt ? 1 : 0)
}

function textOf(charge: ShapedCharge): string {
  const { partition, kind, trip, effect, keepsQuota, keepsDuration, expiry, alternative, isRebuilt, w1, w2 } = charge
  const flags = [keepsQuota, keepsDuration].map(Number)
  const numbers = [w1, w2, charge.amount, charge.quota ?? 'n']
  return [partition, kind, trip, effect, ...flags, expiry, alternative, Number(isRebuilt), ...numbers].join(',')
}
