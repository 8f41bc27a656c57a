import {
  MemoryCounterStore,
  type Charge,
  type ChargeWindow,
  type Counter,
  type ReserveRequest,
  type SettleRequest,
} from '@tallygate/core'
import { runs, SettableClock, testCharge } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const START = Date.UTC(2026, 0, 15, 12)
const MINUTE = 60_000

/** What a limit can be, by turns: two windows of each kind, and a quota that waits for the next one. */
const SHAPES: readonly ((nowMs: number) => ChargeWindow)[] = [
  (nowMs) => fixed(nowMs, MINUTE),
  (nowMs) => fixed(nowMs, 3 * MINUTE),
  () => ({ kind: 'sliding', bucketMs: 6_000, buckets: 10 }),
  () => ({ kind: 'sliding', bucketMs: 6_000, buckets: 4 }),
]
const COUNTERS: readonly Counter[] = ['a', 'b', 'c'].map((counter) => testCharge({ counter }).counter)

const part = fc.record({
  counter: fc.nat(COUNTERS.length - 1),
  shape: fc.constantFrom<number>(0, 0, 1, 2, 2, 3),
  amount: fc.nat(4),
  quota: fc.constantFrom<number | null>(null, 12, 12, 20),
  waits: fc.boolean(),
})
const parts = fc.uniqueArray(part, { selector: ({ counter }) => counter, minLength: 1 })
const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('reserve' as const), parts }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      call: fc.nat(3),
      actual: fc.nat(6),
      agoMs: fc.constantFrom(0, 0, 7_000),
      /** The limits have other windows by now. */
      turnedBy: fc.constantFrom(0, 0, 0, 1),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 5_999, 21_000, MINUTE) }),
  },
)
type Part = typeof part extends fc.Arbitrary<infer Each> ? Each : never

describe('QuickCounters', () => {
  it('answer as the long way does, which is that of charges whose objects are all new', () => {
    const property = fc.property(fc.array(command, { minLength: 3, maxLength: 30 }), (commands) => {
      const clock = new SettableClock(START)
      const [quick, long] = [0, 1].map(() => new MemoryCounterStore({ clock: clock.now })) as [
        MemoryCounterStore,
        MemoryCounterStore,
      ]
      const windows = new Map<string, ChargeWindow>()
      const chargeAt = ({ counter, shape, amount, quota, waits }: Part, atMs: number): Charge => {
        const made = SHAPES[shape]!(atMs)
        const window = windows.get(JSON.stringify(made)) ?? made
        windows.set(JSON.stringify(made), window)
        const change = waits ? 'next-window' : 'now'
        const onChange = { quota: change, duration: change } as const
        return { ...testCharge({ window, amount, quota, onChange }), counter: COUNTERS[counter]! }
      }
      const calls: { readonly id: string; readonly parts: readonly Part[] }[] = []
      for (const each of commands) {
        if (each.kind === 'wait') clock.advance(each.ms)
        else if (each.kind === 'reserve') {
          const call = { id: `call-${calls.length}`, parts: each.parts }
          calls.push(call)
          const charges = call.parts.map((part) => chargeAt(part, clock.now()))
          const request = { id: call.id, owner: 'o', charges, lifetimeMs: 10 * MINUTE, context: '' }
          expect(quick.reserve(request)).to.deep.equal(long.reserve(anew(request)))
        } else {
          const call = calls.at(-1 - each.call)
          if (call === undefined) continue
          const atMs = clock.now() - each.agoMs
          const charges = call.parts.map((part) => {
            const turned = { ...part, shape: (part.shape + each.turnedBy) % SHAPES.length }
            return { charge: chargeAt(turned, atMs), actual: each.actual }
          })
          const request = { id: call.id, owner: 'o', charges, atMs }
          expect(quick.settle(request)).to.equal(long.settle(anew(request)))
        }
        const seen = COUNTERS.flatMap((_, counter) =>
          SHAPES.map((_, shape) => chargeAt({ counter, shape, amount: 1, quota: 20, waits: false }, clock.now())),
        )
        expect(quick.read(seen)).to.deep.equal(long.read(anew(seen)))
      }
    })
    fc.assert(property, { numRuns: runs(500) })
  })
})

function fixed(nowMs: number, lengthMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / lengthMs) * lengthMs
  return { kind: 'fixed', startMs, endMs: startMs + lengthMs, nextEndMs: startMs + 2 * lengthMs }
}

/** The same, in objects that no store has met. */
function anew<Asked extends ReserveRequest | SettleRequest | readonly Charge[]>(asked: Asked): Asked {
  return structuredClone(asked)
}
