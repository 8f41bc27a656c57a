import {
  Admission,
  bindLimits,
  CompiledPlan,
  MemoryLedger,
  type AdjustmentEntry,
  type BoundLimit,
  type CounterStore,
  type Limit,
  type Reservation,
  type UsageEntry,
  type Window,
} from '@tallygate/core'
import { expect } from 'chai'
import fc from 'fast-check'
import { describe, it } from 'mocha'
import { runs } from './runs.ts'
import { SettableClock } from './settable-clock.ts'

/** How a test opens the store under test, by a clock that it moves: empty, with nothing of any other store. */
export type OpenRebuiltStore = (clock: SettableClock) => Promise<CounterStore>

const HOUR = 3_600_000
const WINDOWS: readonly (readonly [name: string, window: Window, onChange?: Limit['onChange']])[] = [
  ['hour', { kind: 'fixed', durationMs: HOUR }],
  ['day', { kind: 'fixed', every: 'day', zone: 'Europe/Berlin' }],
  ['kept', { kind: 'fixed', every: 'hour' }, { quota: 'next-window', duration: 'next-window' }],
  ['sliding', { kind: 'sliding', durationMs: HOUR, buckets: 6 }],
  ['restart', { kind: 'first-use', durationMs: HOUR, then: 'restart' }],
  ['restart-kept', { kind: 'first-use', durationMs: HOUR, then: 'restart' }, { quota: 'next-window' }],
  ['end', { kind: 'first-use', durationMs: 3 * HOUR, then: 'end' }],
  ['lifetime', { kind: 'lifetime' }],
]

/** One limit of each kind of window, each of which only flags, so that every call is counted. */
function limits(quota: number): readonly BoundLimit[] {
  const plan = new CompiledPlan({
    name: 'pro',
    limits: WINDOWS.map(([name, window, onChange = {}]) => ({
      name,
      unit: 'tokens',
      quota,
      window,
      onChange,
      onTrip: 'flag',
    })),
  })
  return bindLimits({ plans: [plan], combine: 'all' }, { tenant: 'acme', key: 'alice' }, {}, ['tenant', 'key'])
}

type Command =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'begin'; readonly amount: number }
  | { readonly kind: 'end'; readonly which: number; readonly actual: number }
  | { readonly kind: 'release'; readonly which: number }
  | { readonly kind: 'requote'; readonly quota: number }
  | {
      readonly kind: 'adjust'
      readonly limit: number
      readonly adjustment: AdjustmentEntry['adjustment']
      readonly amount: number
    }

const amount = fc.nat(20)
const which = fc.nat(10)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: HOUR }) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('begin' as const), amount }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('end' as const), which, actual: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('release' as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('requote' as const), quota: fc.integer({ min: 1, max: 99 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('adjust' as const),
      limit: fc.nat(WINDOWS.length - 1),
      adjustment: fc.constantFrom('reset', 'top-up', 'refund'),
      amount,
    }),
  },
)

/** Counters, a ledger, and a node between them that writes down what the flow writes down. */
class Life {
  readonly clock: SettableClock
  readonly ledger = new MemoryLedger()
  readonly admission: Admission
  #bound = limits(50)
  #open: Reservation[] = []
  #ids = 0
  #adjustedAtMs = 0

  constructor(clock: SettableClock, store: CounterStore) {
    this.clock = clock
    this.admission = this.admissionOn(store)
  }

  admissionOn(store: CounterStore): Admission {
    const record = (start: Parameters<MemoryLedger['append']>[0][number]): void => void this.ledger.append([start])
    const rebuild = { ledger: this.ledger, record }
    // No hold expires while its call is open.
    return new Admission({ store, clock: this.clock.now, lifetimeMs: 1_000 * HOUR, rebuild })
  }

  async live(commands: readonly Command[]): Promise<void> {
    for (const each of commands) {
      await this.#do(each)
      this.clock.advance(1)
    }
    while (this.#open.length > 0) {
      await this.#do({ kind: 'end', which: 0, actual: this.#open.length })
      this.clock.advance(1)
    }
  }

  async #do(command: Command): Promise<void> {
    switch (command.kind) {
      case 'wait':
        return this.clock.advance(command.ms)
      case 'requote':
        this.#bound = limits(command.quota)
        return
      case 'begin': {
        const id = `call-${(this.#ids += 1)}`
        const amounts = { tokens: command.amount }
        const decision = await this.admission.admit({ id, bound: this.#bound, amounts, context: '' })
        if (!decision.admitted || decision.reservation === undefined) throw new Error('nothing was reserved')
        this.#open.push(decision.reservation)
        return
      }
      case 'adjust':
        return this.#adjust(command)
      default: {
        const [reservation] = this.#open.splice(command.which % Math.max(1, this.#open.length), 1)
        if (reservation === undefined) return
        // What is given back after an adjustment is taken from what came after it, and no ledger knows.
        const isOlder = reservation.admittedAtMs <= this.#adjustedAtMs
        if (command.kind === 'release' && !isOlder) return this.admission.release(reservation)
        const tokens = command.kind === 'end' ? command.actual : 0
        const atMs = this.admission.settlementTime(reservation)
        await this.ledger.append([entryOf(reservation, tokens, atMs)])
        await this.admission.settle(reservation, { tokens }, atMs)
      }
    }
  }

  async #adjust({ limit, adjustment, amount }: Command & { kind: 'adjust' }): Promise<void> {
    const bound = this.#bound[limit]!
    if (bound.limit.definition.window.kind === 'sliding' && adjustment !== 'reset') return
    // A store may have forgotten a window that is over, while calls that began in it still hold something there.
    if (bound.limit.name.startsWith('restart') && this.#open.length > 0) return
    const id = `adjustment-${(this.#ids += 1)}`
    const { owner, partition, name: counter } = bound.counter
    const atMs = this.clock.now()
    const about = { id, tenant: 'acme', atMs, owner, partition, counter, unit: 'tokens', adjustment, amount } as const
    await this.ledger.append([{ kind: 'adjustment', ...about }])
    this.#adjustedAtMs = atMs
    await this.admission.adjust({ id, bound, adjustment, amount, atMs })
  }

  /** Where the limits stand, as far as a ledger can tell. */
  async statuses(admission: Admission): Promise<unknown> {
    const { nowMs, statuses } = await admission.read(this.#bound, { subject: 'alice' })
    const counters = statuses.map(({ bound: { counter } }) => counter)
    const started = await this.ledger.windowStarts({ tenant: 'acme', counters, toMs: Infinity })
    return statuses.map(({ bound: { limit }, used, quota, startMs, resetAtMs }, index) => {
      // With which quota a first-use window began that a settlement began, no entry tells.
      const isTold =
        limit.name !== 'restart-kept' || started.some((start) => start.counter === index && start.atMs === startMs)
      // What is released after the end of a window that ends for good stays there, where it says nothing any more.
      const isOver = limit.name === 'end' && startMs !== null && nowMs >= startMs + 3 * HOUR
      return { limit: limit.name, used: isOver ? 'over' : used, quota: isTold ? quota : 'untold', startMs, resetAtMs }
    })
  }
}

function entryOf({ id, bound, charges, admittedAtMs }: Reservation, actual: number, atMs: number): UsageEntry {
  return {
    kind: 'usage',
    id,
    tenant: 'acme',
    atMs,
    callId: id,
    subject: 'alice',
    dimensions: {},
    plans: [],
    outcome: 'complete',
    streamed: false,
    admittedAtMs,
    durationMs: 0,
    overage: false,
    charges: bound.map(({ counter: { owner, partition, name: counter } }, index) => {
      return { owner, partition, counter, unit: 'tokens', reserved: charges[index]!.amount, actual }
    }),
  }
}

/**
 * That a store can be rebuilt from a ledger, as a property for mocha: one that lived through a history and one that is
 * seeded from its ledger stand at the same. For stores with the capability `rebuild`, of all kinds of windows.
 *
 * @param usually How many histories are tried, times `FC_TIMES`.
 */
export function describeRebuild(name: string, open: OpenRebuiltStore, usually = 200): void {
  describe(`${name}, seeded from a ledger`, () => {
    it('stands where one stands that lived through it', async function () {
      this.timeout(runs(60_000))
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 40 }), fc.nat(4 * HOUR), async (commands, waitMs) => {
          const clock = new SettableClock()
          const lived = await open(clock)
          const life = new Life(clock, lived)
          await life.live(commands)
          clock.advance(waitMs)
          const rebuilt = await open(clock)
          expect(await life.statuses(life.admissionOn(rebuilt))).to.deep.equal(await life.statuses(life.admission))
          await Promise.all([lived.close(), rebuilt.close()])
        }),
        { numRuns: runs(usually) },
      )
    })
  })
}
