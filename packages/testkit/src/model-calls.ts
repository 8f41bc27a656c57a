import type { Charge, ChargeWindow, Counter, ReserveRequest, SettleRequest } from '@tallygate/core'
import {
  isInFirstPartition,
  LIMITS,
  windowOf,
  type ModelCommand,
  type ModelLimit,
  type ModelSequence,
} from './model-command.ts'

/** A call of the model. It is charged by the limits as they were when it began. */
export interface ModelCall {
  readonly id: string
  readonly owner: string
  readonly parts: readonly { readonly number: number; readonly limit: ModelLimit; readonly amount: number }[]
  /** As it was settled, for sending it again. */
  settled?: SettleRequest
}

/** How long holds of the model live. */
const LIFETIME_MS = 45_000
/** Where the store does not let them expire. */
const FOREVER_MS = 86_400_000

/** The limits of a sequence as they are by now, the calls so far, and requests made of them. */
export class ModelCalls {
  readonly limits: ModelLimit[]
  readonly #sequence: ModelSequence
  readonly #calls: ModelCall[] = []
  /** The same objects again and again, as those who keep what they have bound. */
  readonly #counters: readonly Counter[]
  readonly #windows = new Map<string, ChargeWindow>()
  readonly #lifetimeMs: number
  #ids = 0

  constructor(sequence: ModelSequence, owners: 1 | 2, expires: boolean) {
    this.#lifetimeMs = expires ? LIFETIME_MS : FOREVER_MS
    this.limits = [...sequence.limits]
    this.#sequence = sequence
    this.#counters = sequence.limits.map((_, number) => {
      const owner = owners > 1 && number >= LIMITS - 2 ? 'w' : 'o'
      const partition = isInFirstPartition(number) ? owner : 'tenant=t'
      const name = `plan/limit-${number}`
      return { owner, partition, name, key: `${owner} ${partition} ${name}` }
    })
  }

  /** A new id. */
  id(of: string): string {
    this.#ids += 1
    return `${of}${this.#ids}`
  }

  /** A call of one of the shapes takes its amounts from the parts. */
  beginCommand({ shape, parts }: ModelCommand & { readonly kind: 'reserve' }): ModelCall {
    if (shape === null) return this.begin(parts)
    return this.begin(this.#sequence.shapes[shape].map((limit, at) => [limit, parts[at % parts.length]![1]]))
  }

  begin(amounts: readonly (readonly [number: number, amount: number])[]): ModelCall {
    const parts = amounts.map(([number, amount]) => ({ number, limit: this.limits[number]!, amount }))
    const call: ModelCall = { id: this.id('r'), owner: this.#counters[parts[0]!.number]!.owner, parts }
    this.#calls.push(call)
    return call
  }

  /** One of the calls so far, counted from the latest. */
  at(place: number): ModelCall | undefined {
    return this.#calls.at(-1 - (place % Math.max(1, this.#calls.length)))
  }

  change(number: number, to: Partial<ModelLimit>): void {
    // The ledger knows one counter by its name, whatever kind its window is of.
    if (to.kind !== undefined && this.#sequence.counters[number]!.isRebuilt) return
    this.limits[number] = { ...this.limits[number]!, ...to }
  }

  /** Whether the limits of a call still have the windows that they had when it began. */
  hasItsShapes({ parts }: ModelCall): boolean {
    return parts.every(({ number, limit: { kind, shape } }) => {
      const now = this.limits[number]!
      return kind === now.kind && shape === now.shape
    })
  }

  request({ id, owner, parts }: ModelCall, nodeMs: number): ReserveRequest {
    const charges = parts.map(({ number, limit, amount }) => this.charge(number, nodeMs, limit, amount))
    return { id, owner, charges, lifetimeMs: this.#lifetimeMs, context: `context of ${id}` }
  }

  settlement({ id, owner, parts }: ModelCall, actuals: readonly number[], atMs: number): SettleRequest {
    const charges = parts.map(({ number, limit, amount }, index) => {
      return { charge: this.charge(number, atMs, limit, amount), actual: actuals[index]! }
    })
    return { id, owner, charges, atMs }
  }

  charge(number: number, atMs: number, limit = this.limits[number]!, amount = 1): Charge {
    const { kind, shape: _, ...rest } = limit
    const counter = this.#sequence.counters[number]!
    // A bucket of another duration that is still in force is not looked for by a store that has lost it.
    const duration = counter.isRebuilt && kind === 'fixed' ? 'now' : limit.onChange.duration
    return {
      ...rest,
      onChange: { ...limit.onChange, duration },
      counter: this.#counters[number]!,
      window: this.#kept(windowOf(limit, counter, atMs)),
      amount,
      isRebuilt: counter.isRebuilt && kind !== 'concurrent',
    }
  }

  #kept(window: ChargeWindow): ChargeWindow {
    if (!this.#sequence.keepsWindows) return window
    const key = JSON.stringify(window)
    const kept = this.#windows.get(key) ?? window
    this.#windows.set(key, kept)
    return kept
  }
}
