import { MemoryCounterStore, type AdjustRequest, type Charge, type CounterStore } from '@tallygate/core'
import { FlexibleCounterStore } from '@tallygate/store-flexible'
import { runs, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { RateLimiterMemory } from 'rate-limiter-flexible'
import { asked, charge, minuteAt } from './charges.ts'

type Sketch = Pick<Charge, 'amount' | 'quota' | 'trip' | 'effect' | 'alternative'> & {
  readonly name: string
  readonly kind: 'fixed' | 'lifetime'
}

type Step =
  | { readonly kind: 'advance'; readonly byMs: number }
  | { readonly kind: 'reserve' | 'extend' | 'read'; readonly id: string; readonly sketches: readonly Sketch[] }
  | { readonly kind: 'settle'; readonly id: string; readonly sketches: readonly Sketch[]; readonly actual: number }
  | { readonly kind: 'release'; readonly id: string }
  | {
      readonly kind: 'adjust'
      readonly id: string
      readonly sketch: Sketch
      readonly adjustment: Exclude<AdjustRequest['adjustment'], 'top-up'>
      readonly amount: number
    }

const id = fc.constantFrom('r1', 'r2', 'r3', 'r4', 'r5', 'r6')
const sketch: fc.Arbitrary<Sketch> = fc.record({
  name: fc.constantFrom('a', 'b', 'c', 'd'),
  kind: fc.constantFrom<Sketch['kind']>('fixed', 'fixed', 'lifetime'),
  amount: fc.nat(6),
  quota: fc.option(fc.nat(20), { freq: 8 }),
  trip: fc.constantFrom<Charge['trip']>('fits', 'reached', 'exceeded'),
  effect: fc.constantFrom<Charge['effect']>('refuse', 'refuse', 'flag', 'shadow'),
  alternative: fc.constantFrom(0, 0, 1, 2),
})
const sketches = fc.uniqueArray(sketch, { selector: ({ name }) => name, minLength: 1, maxLength: 4 })
const kindOf = <K extends Step['kind']>(kind: K): fc.Arbitrary<K> => fc.constant(kind)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: kindOf('advance'), byMs: fc.constantFrom(1, 999, 20_000, 61_000, 130_000) }),
  },
  { weight: 5, arbitrary: fc.record({ kind: kindOf('reserve'), id, sketches }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('extend' as const, 'read' as const), id, sketches }) },
  { weight: 3, arbitrary: fc.record({ kind: kindOf('settle'), id, sketches, actual: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ kind: kindOf('release'), id }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: kindOf('adjust'),
      id: fc.constantFrom('j1', 'j2', 'j3'),
      sketch,
      adjustment: fc.constantFrom('reset' as const, 'refund' as const),
      amount: fc.nat(8),
    }),
  },
)

describe('MemoryCounterStore and FlexibleCounterStore', () => {
  it('agree on any sequence of operations that come one after the other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const clock = new SettableClock()
        const remembering = { clock: clock.now, closedForMs: 1e12 }
        const limiter = new RateLimiterMemory({ points: 1, duration: 1 })
        const memory = new MemoryCounterStore(remembering)
        const flexible = new FlexibleCounterStore({ limiter, ...remembering })
        for (const each of steps) {
          if (each.kind === 'advance') clock.advance(each.byMs)
          else expect(await run(flexible, each, clock.now())).to.deep.equal(await run(memory, each, clock.now()))
        }
      }),
      { numRuns: runs(300) },
    )
  })
})

async function run(store: CounterStore, step: Exclude<Step, { kind: 'advance' }>, nowMs: number): Promise<unknown> {
  switch (step.kind) {
    case 'release':
      return store.release({ id: step.id, owner: 'o' })
    case 'adjust': {
      const { adjustment, amount } = step
      return store.adjust({ id: step.id, charge: chargeAt(step.sketch, nowMs), adjustment, amount, atMs: nowMs })
    }
    case 'settle': {
      const charges = step.sketches.map((each) => ({ charge: chargeAt(each, nowMs), actual: step.actual }))
      const outcome = await store.settle({ id: step.id, owner: 'o', charges, atMs: nowMs })
      return [outcome, await store.holdState({ id: step.id, owner: 'o' })]
    }
    case 'read':
      return store.read(step.sketches.map((each) => chargeAt(each, nowMs)))
    default:
      return store[step.kind](asked(step.id, ...step.sketches.map((each) => chargeAt(each, nowMs))))
  }
}

/** A counter keeps its kind: its name says which. */
function chargeAt({ name, kind, ...rest }: Sketch, nowMs: number): Charge {
  return charge({ ...rest, name: `${name}-${kind}`, window: kind === 'fixed' ? minuteAt(nowMs) : { kind } })
}
