import { MemoryCounterStore, type Charge, type ChargeWindow, type CounterStatus } from '@tallygate/core'
import { SettableClock, testCharge, type TestChargeOptions } from '@tallygate/testkit'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const LIFETIME = 30_000
/** The clock starts here, on an hour. */
export const START = Date.UTC(2026, 0, 15, 12)

export const SLIDING = { kind: 'sliding', bucketMs: 6_000, buckets: 10 } as const
export const LIFETIME_WINDOW = { kind: 'lifetime' } as const

export function firstUse(then: 'restart' | 'end'): ChargeWindow {
  return { kind: 'first-use', durationMs: MINUTE, then }
}

/** A store in memory, its clock, and requests with what does not matter filled in. */
export class MemoryStoreBed {
  readonly clock = new SettableClock(START)
  store = new MemoryCounterStore({ clock: this.clock.now })

  async reserve(id: string, ...charges: Charge[]): Promise<string> {
    const reply = await this.store.reserve({ id, owner: 'o', charges, lifetimeMs: LIFETIME, context: '' })
    return reply.outcome
  }

  async settle(id: string, charge: Charge, actual: number, atMs = this.clock.now()): Promise<string> {
    return this.store.settle({ id, owner: 'o', charges: [{ charge, actual }], atMs })
  }

  async status(charge: Charge): Promise<CounterStatus> {
    return (await this.store.read([charge])).statuses[0]!
  }

  async used(charge: Charge): Promise<number> {
    return (await this.status(charge)).used
  }

  async adjust(
    id: string,
    charge: Charge,
    adjustment: 'reset' | 'top-up' | 'refund',
    amount = 0,
    atMs = this.clock.now(),
  ): Promise<boolean> {
    return this.store.adjust({ id, charge, adjustment, amount, atMs })
  }
}

export function charge(overrides: TestChargeOptions): Charge {
  return testCharge({ window: minuteAt(START), ...overrides })
}

export function minuteAt(atMs: number): ChargeWindow {
  const startMs = Math.floor(atMs / MINUTE) * MINUTE
  return { kind: 'fixed', startMs, endMs: startMs + MINUTE, nextEndMs: startMs + 2 * MINUTE }
}

/** An hour that begins at this instant. */
export function hourAt(startMs: number): ChargeWindow {
  return { kind: 'fixed', startMs, endMs: startMs + HOUR, nextEndMs: startMs + 2 * HOUR }
}
