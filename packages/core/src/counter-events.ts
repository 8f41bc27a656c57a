import type { Entry } from './entry.ts'
import type { CounterEvent, CounterEventQuery } from './ledger.ts'

/** What an entry did to the counters that are asked for. */
export function eventsOf(entry: Entry, { counters }: Pick<CounterEventQuery, 'counters'>): CounterEvent[] {
  const { id, atMs } = entry
  const indexOf = (partition: string, name: string): number =>
    counters.findIndex((counter) => counter.partition === partition && counter.name === name)
  if (entry.kind === 'usage') {
    const { admittedAtMs } = entry
    return entry.charges.flatMap(({ partition, counter: name, reserved, actual }): CounterEvent[] => {
      const counter = indexOf(partition, name)
      return counter === -1 ? [] : [{ id, atMs, counter, kind: 'usage', admittedAtMs, reserved, actual }]
    })
  }
  // What a call cost changes no counter.
  if (entry.kind === 'repricing') return []
  const counter = indexOf(entry.partition, entry.counter)
  if (counter === -1) return []
  if (entry.kind === 'adjustment') {
    const { adjustment, amount } = entry
    return [{ id, atMs, counter, kind: 'adjustment', adjustment, amount }]
  }
  const { endMs, quota, toppedUp } = entry
  const event = { id, atMs, counter, kind: 'window-start', endMs, quota } as const
  return [toppedUp === undefined ? event : { ...event, toppedUp }]
}
