import type { Charge, ChargeWindow, CounterStoreCapability } from '@tallygate/core'
import fc from 'fast-check'

/** A limit of the model: what a charge on its counter is made of. */
export interface ModelLimit extends Pick<Charge, 'quota' | 'trip' | 'effect' | 'onChange' | 'onExpiry'> {
  readonly kind: ChargeWindow['kind']
  /** Which of the shapes that the kind has. */
  readonly shape: number
  readonly alternative: number
}

/** What never changes about a limit. */
export interface ModelCounter {
  readonly isRebuilt: boolean
  /** What a first-use window does at its end. */
  readonly then: 'restart' | 'end'
}

/** One step of a sequence. Calls are known by their place among those so far, and limits by their number. */
export type ModelCommand =
  | { readonly kind: 'advance'; readonly byMs: number }
  | {
      readonly kind: 'reserve'
      /** Which of the sequence's shapes; `null`: the limits are those of the parts. */
      readonly shape: 0 | 1 | null
      readonly parts: readonly (readonly [limit: number, amount: number])[]
      /** The node's clock is behind that of the store. */
      readonly behindMs: number
      /** Something is settled while unknown counters are being seeded. */
      readonly interferes: boolean
    }
  | { readonly kind: 'reserve-again' | 'release' | 'extend' | 'hold-state'; readonly call: number }
  | {
      readonly kind: 'settle'
      readonly call: number
      readonly actuals: readonly number[]
      readonly agoMs: number
    }
  | { readonly kind: 'settle-again'; readonly call: number }
  | { readonly kind: 'settle-unheard'; readonly limit: number; readonly actual: number }
  | { readonly kind: 'change'; readonly limit: number; readonly to: Partial<ModelLimit> }
  | {
      readonly kind: 'adjust'
      readonly limit: number
      readonly adjustment: 'reset' | 'top-up' | 'refund'
      readonly amount: number
      readonly times: 1 | 2
      /** Asked before, so that the store knows the counter. */
      readonly isKnown: boolean
    }
  | { readonly kind: 'read'; readonly limits: readonly number[] }
  | { readonly kind: 'sweep'; readonly acknowledges: boolean }
  | { readonly kind: 'lose' }

/** A sequence: the limits it begins with, and what happens. */
export interface ModelSequence {
  readonly counters: readonly ModelCounter[]
  readonly limits: readonly ModelLimit[]
  /** Limits of the two kinds of calls that most are of, which count on one key under different limits. */
  readonly shapes: readonly [readonly number[], readonly number[]]
  readonly commands: readonly ModelCommand[]
  /** Equal windows are the same object, as those of a plan's limits are. */
  readonly keepsWindows: boolean
}

/** Limits of a sequence. */
export const LIMITS = 5
const MINUTE = 60_000

/** Sequences that a store with these capabilities can be asked to live through. */
export function modelSequences(capabilities: ReadonlySet<CounterStoreCapability>): fc.Arbitrary<ModelSequence> {
  const isRebuilt = capabilities.has('rebuild') ? fc.boolean() : fc.constant(false)
  const limit = fc.record(limitMembers(capabilities))
  const counter = fc.record({ isRebuilt, then: fc.constantFrom<ModelCounter['then']>('restart', 'end') })
  const each = { minLength: LIMITS, maxLength: LIMITS }
  // Each sequence begins with a call of each shape.
  const first = fc.tuple(reserve(fc.constant(0)), reserve(fc.constant(1)))
  const others = fc.array(command(capabilities), { minLength: 5, maxLength: 40 })
  return fc.record({
    counters: fc.array(counter, each),
    limits: fc.array(limit, each),
    shapes: shapes(),
    commands: fc.tuple(first, others).map((commands) => commands.flat()),
    keepsWindows: fc.boolean(),
  })
}

/** Two, each with a limit of the first partition, of which the first shape does not have that of the second. */
function shapes(): fc.Arbitrary<ModelSequence['shapes']> {
  const all = Array.from({ length: LIMITS }, (_, number) => number)
  const more = fc.shuffledSubarray(all, { maxLength: 3 })
  const own = fc.shuffledSubarray(all.filter(isInFirstPartition), { minLength: 2, maxLength: 2 })
  return fc.tuple(own, more, more).map(([[one, other], ofOne, ofOther]) => [
    [one!, ...ofOne.filter((number) => number !== one && number !== other)],
    [other!, ...ofOther.filter((number) => number !== other)],
  ])
}

/** Limits have two partitions; the first is the home of their owner. */
export function isInFirstPartition(limit: number): boolean {
  return limit < LIMITS / 2
}

/** The window of a limit at an instant. Fixed ones of different shape begin together only now and then. */
export function windowOf({ kind, shape }: ModelLimit, { then }: ModelCounter, nowMs: number): ChargeWindow {
  switch (kind) {
    case 'fixed': {
      const [lengthMs, offsetMs] = [
        [MINUTE, 0],
        [150_000, 7_000],
        [2 * MINUTE, 0],
      ][shape] as [number, number]
      const startMs = Math.floor((nowMs - offsetMs) / lengthMs) * lengthMs + offsetMs
      return { kind, startMs, endMs: startMs + lengthMs, nextEndMs: startMs + 2 * lengthMs }
    }
    case 'sliding':
      return {
        kind,
        ...[
          { bucketMs: 6_000, buckets: 10 },
          { bucketMs: 6_000, buckets: 4 },
          { bucketMs: 20_000, buckets: 3 },
        ][shape]!,
      }
    case 'first-use':
      return { kind, durationMs: [MINUTE, 25_000, 140_000][shape]!, then }
    default:
      return { kind }
  }
}

function limitMembers(capabilities: ReadonlySet<CounterStoreCapability>): {
  [Member in keyof ModelLimit]: fc.Arbitrary<ModelLimit[Member]>
} {
  const waits = capabilities.has('next-window') ? (['next-window'] as const) : []
  const change = fc.constantFrom<'now' | 'next-window'>('now', ...waits)
  const optional = (['sliding', 'first-use', 'lifetime', 'concurrent'] as const).filter((kind) =>
    capabilities.has(kind),
  )
  return {
    kind: fc.constantFrom<ChargeWindow['kind']>('fixed', ...optional),
    shape: fc.nat(2),
    quota: fc.option(fc.nat(20), { freq: 8 }),
    trip: fc.constantFrom<Charge['trip']>('fits', 'reached', 'exceeded'),
    effect: fc.constantFrom<Charge['effect']>('refuse', 'refuse', 'flag', 'shadow'),
    onChange: fc.record({ quota: change, duration: change }),
    onExpiry: fc.constantFrom<Charge['onExpiry']>('keep', 'release'),
    alternative: capabilities.has('alternatives') ? fc.constantFrom(0, 0, 0, 1, 2) : fc.constant(0),
  }
}

function reserve(shape: fc.Arbitrary<0 | 1 | null>): fc.Arbitrary<ModelCommand> {
  const limit = fc.nat(LIMITS - 1)
  const parts = fc.uniqueArray(fc.tuple(limit, fc.nat(6)), { selector: ([each]) => each, minLength: 1, maxLength: 4 })
  const behindMs = fc.constantFrom(0, 0, 0, 0, 30_000, 70_000, 400_000)
  return fc.record({ kind: fc.constant('reserve'), shape, parts, behindMs, interferes: fc.boolean() })
}

function command(capabilities: ReadonlySet<CounterStoreCapability>): fc.Arbitrary<ModelCommand> {
  const call = fc.nat(12)
  const limit = fc.nat(LIMITS - 1)
  const of = <Kind extends ModelCommand['kind']>(kind: Kind): fc.Arbitrary<Kind> => fc.constant(kind)
  const byMs = fc.constantFrom(1, 999, 6_000, 20_000, 46_000, 61_000)
  const members = limitMembers(capabilities)
  const change = fc.oneof(
    fc.record({ quota: members.quota }),
    fc.record({ shape: members.shape }),
    fc.record({ shape: members.shape }),
    fc.record({ onChange: members.onChange }),
    fc.record({ trip: members.trip, effect: members.effect }),
    fc.record({ kind: members.kind }),
  )
  const common: [weight: number, arbitrary: fc.Arbitrary<ModelCommand>][] = [
    [4, fc.record({ kind: of('advance'), byMs })],
    [9, reserve(fc.constantFrom<0 | 1 | null>(0, 0, 1, 1, null))],
    [
      4,
      fc.record({
        kind: of('settle'),
        call,
        actuals: fc.array(fc.nat(12), { minLength: 4, maxLength: 4 }),
        agoMs: fc.constantFrom(0, 0, 5_000, 30_000),
      }),
    ],
    [1, fc.record({ kind: of('settle-again'), call })],
    [1, fc.record({ kind: of('settle-unheard'), limit, actual: fc.nat(6) })],
    [1, fc.record({ kind: of('reserve-again'), call })],
    [1, fc.record({ kind: of('extend'), call })],
    [1, fc.record({ kind: of('release'), call })],
    [3, fc.record({ kind: of('change'), limit, to: change })],
    [1, fc.record({ kind: of('read'), limits: fc.uniqueArray(limit, { minLength: 1, maxLength: LIMITS }) })],
  ]
  const topUps = capabilities.has('top-up') ? (['top-up'] as const) : []
  const adjustment = fc.constantFrom<'reset' | 'top-up' | 'refund'>('reset', 'refund', ...topUps)
  const times = fc.constantFrom<1 | 2>(1, 2)
  common.push(
    [2, fc.record({ kind: of('adjust'), limit, adjustment, amount: fc.nat(8), times, isKnown: fc.boolean() })],
    [1, fc.record({ kind: of('hold-state'), call })],
  )
  if (capabilities.has('expiry')) common.push([1, fc.record({ kind: of('sweep'), acknowledges: fc.boolean() })])
  if (capabilities.has('rebuild')) common.push([1, fc.record({ kind: of('lose') })])
  return fc.oneof(...common.map(([weight, arbitrary]) => ({ weight, arbitrary })))
}
