import type {
  Charge,
  ChargeWindow,
  CounterStatus,
  CounterStore,
  CounterStoreCapability,
  ReserveReply,
  SeedRequest,
  SettleOutcome,
} from '@tallygate/core'
import { SettableClock } from './settable-clock.ts'
import { testCharge, type TestChargeOptions } from './test-charge.ts'

/** How a test opens the store under test: empty, and going by the clock it is given. */
export type OpenCounterStore = (clock: SettableClock) => Promise<CounterStore>

export const MINUTE = 60_000
/** How long holds of the suite live. */
export const LIFETIME = 30_000
/** The suite's clock starts here, on a minute. */
export const START = Date.UTC(2026, 0, 15, 12)

/** What the tests of a store share: the store, its clock, and requests with what does not matter filled in. */
export class ConformanceBed {
  readonly capabilities: ReadonlySet<CounterStoreCapability>
  readonly #open: OpenCounterStore
  #clock = new SettableClock(START)
  #store: CounterStore | undefined

  constructor(open: OpenCounterStore, capabilities: readonly CounterStoreCapability[]) {
    this.#open = open
    this.capabilities = new Set(capabilities)
  }

  /** Before each test. */
  async begin(): Promise<void> {
    this.#clock = new SettableClock(START)
    this.#store = await this.#open(this.#clock)
  }

  get clock(): SettableClock {
    return this.#clock
  }

  get store(): CounterStore {
    return this.#store!
  }

  has(...capabilities: readonly CounterStoreCapability[]): boolean {
    return capabilities.every((capability) => this.capabilities.has(capability))
  }

  async reserve(id: string, ...charges: Charge[]): Promise<ReserveReply> {
    return this.store.reserve({ id, owner: 'o', charges, lifetimeMs: LIFETIME, context: `context of ${id}` })
  }

  async outcome(id: string, ...charges: Charge[]): Promise<ReserveReply['outcome']> {
    return (await this.reserve(id, ...charges)).outcome
  }

  /** Of the first charge. */
  async reserved(id: string, ...charges: Charge[]): Promise<Partial<CounterStatus>> {
    const reply = await this.reserve(id, ...charges)
    return 'statuses' in reply ? reply.statuses[0]! : {}
  }

  async extend(id: string, ...charges: Charge[]): Promise<void> {
    await this.store.extend({ id, owner: 'o', charges, lifetimeMs: LIFETIME, context: `context of ${id}` })
  }

  async settle(id: string, charge: Charge, actual: number, atMs = this.clock.now()): Promise<SettleOutcome> {
    return this.store.settle({ id, owner: 'o', charges: [{ charge, actual }], atMs })
  }

  async release(id: string): Promise<void> {
    await this.store.release({ id, owner: 'o' })
  }

  async adjust(id: string, adjustment: 'reset' | 'top-up' | 'refund', charge: Charge, amount = 0): Promise<boolean> {
    return this.store.adjust({ id, charge, adjustment, amount, atMs: this.clock.now() })
  }

  async seed(request: Pick<SeedRequest, 'counters' | 'fence'> & Partial<SeedRequest>): Promise<boolean> {
    return this.store.seed({ owner: 'o', closed: [], countedUntilMs: -1, ...request })
  }

  async status(charge: Charge): Promise<CounterStatus> {
    return (await this.store.read([charge])).statuses[0]!
  }

  async used(charge: Charge): Promise<number> {
    return (await this.status(charge)).used
  }
}

/** 1 of 10 in the minute in which the suite starts, unless told otherwise. */
export function charge(overrides: TestChargeOptions = {}): Charge {
  return testCharge({ window: minuteAt(START), ...overrides })
}

export function minuteAt(nowMs: number): ChargeWindow {
  const startMs = Math.floor(nowMs / MINUTE) * MINUTE
  return { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
}

/** A minute in ten steps. */
export function sliding(overrides: TestChargeOptions = {}): Charge {
  return charge({ window: { kind: 'sliding', bucketMs: 6_000, buckets: 10 }, ...overrides })
}

/** A minute from the first use on. */
export function firstUse(then: 'restart' | 'end', overrides: TestChargeOptions = {}): Charge {
  return charge({ window: { kind: 'first-use', durationMs: MINUTE, then }, ...overrides })
}

export function lifetime(overrides: TestChargeOptions = {}): Charge {
  return charge({ window: { kind: 'lifetime' }, ...overrides })
}

/** Two at a time. */
export function concurrent(overrides: TestChargeOptions = {}): Charge {
  return charge({ window: { kind: 'concurrent' }, quota: 2, ...overrides })
}
