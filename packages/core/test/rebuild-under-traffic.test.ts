import {
  Admission,
  chargesOf,
  MemoryCounterStore,
  readCounters,
  type Limit,
  type Reservation,
  type SeedRequest,
} from '@tallygate/core'
import { runs, SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { admitted, boundTo, DAY, MIDNIGHT, NOON, TOKENS } from './admission-bed.ts'
import { charged, entry, restarted, WatchedLedger, type Node } from './rebuild-bed.ts'

const MINUTE = 60_000
const LIMITS: readonly Limit[] = [
  { ...DAY, quota: 10_000, onUnavailable: 'admit' },
  { ...TOKENS, quota: 10_000, onUnavailable: 'admit' },
]
const ACTUAL = { requests: 1, tokens: 7 }

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Calls that were admitted while nothing could be counted. */
async function uncounted({ ledger, admit }: Node, calls: number): Promise<Reservation[]> {
  ledger.isAway = true
  const ids = Array.from({ length: calls }, (_, index) => `uncounted-${index}`)
  const decisions = await Promise.all(ids.map((id) => admit(id, LIMITS)))
  ledger.isAway = false
  return decisions.map((decision) => admitted(decision).reservation!)
}

/** As a process does when a call ends: its entry first. */
async function end({ ledger, admission }: Node, reservation: Reservation): Promise<void> {
  const atMs = admission.settlementTime(reservation)
  await ledger.append([entry(reservation.id, { atMs, charges: charged(7) })])
  await admission.settle(reservation, ACTUAL, atMs)
}

/** As another process does, which knows nothing of ours. */
async function endElsewhere({ ledger, store, clock }: Node, { id, owner, charges }: Reservation): Promise<void> {
  const atMs = clock.now()
  await ledger.append([entry(id, { atMs, charges: charged(7) })])
  await store.settle({ id, owner, charges: charges.map((charge, at) => ({ charge, actual: [1, 7][at]! })), atMs })
}

async function byLedger({ ledger, clock }: Node): Promise<number[]> {
  const read = await readCounters(ledger, chargesOf(boundTo(LIMITS), {}, clock.now()), clock.now(), 'alice')
  return read.map(({ used }) => used)
}

describe('Counters that are rebuilt while calls end', () => {
  it('are known after a second, short reading, however many calls end', async () => {
    const node = await restarted()
    const { ledger, admission, used } = node
    const open = await uncounted(node, 60)
    const before = ledger.reads
    const ends: Promise<void>[] = []
    // With each reading, one call ends; the ledger is slower than they are.
    ledger.whileReading = async () => {
      for (const reservation of open.splice(0, 5)) ends.push(end(node, reservation))
      await later(5)
    }
    const { statuses, counted } = admitted(
      await admission.admit({ id: 'a', bound: boundTo(LIMITS), amounts: { tokens: 5 }, context: '', subject: 'alice' }),
    )
    expect(counted).to.equal(true)
    expect(ledger.reads - before).to.equal(2)
    // Those of the second reading were held back until the seed had arrived.
    expect(statuses.map((status) => status.used)).to.deep.equal([12, 105])
    await Promise.all(ends)
    expect(await used(LIMITS)).to.deep.equal([12, 105])
  })

  it('are known although a process that has just begun admits calls without them', async () => {
    const node = await restarted({ withinMs: 5, answerWithinMs: 10_000 })
    const { ledger, admit, used } = node
    ledger.whileReading = () => later(50)
    const calls: Promise<void>[] = []
    const call = async (id: string): Promise<boolean> => {
      const decision = admitted(await admit(id, LIMITS))
      calls.push(later(2).then(() => end(node, decision.reservation!)))
      return decision.counted
    }
    let isCounted = false
    for (let index = 0; !isCounted && index < 200; index += 1) isCounted = await call(`c${index}`)
    await Promise.all(calls)
    expect(isCounted).to.equal(true)
    expect(await used(LIMITS)).to.deep.equal(await byLedger(node))
  })

  it('read a long history once: then only what is new', async () => {
    const node = await restarted({ withinMs: 5, answerWithinMs: 10_000 })
    const { ledger, admit } = node
    const open = await uncounted(node, 150)
    const before = ledger.reads
    ledger.whileReading = async () => {
      await later(1)
      if (open.length > 0) await endElsewhere(node, open.pop()!)
    }
    let decision = admitted(await admit('b0', LIMITS))
    expect(decision.counted).to.equal(false)
    for (let index = 1; !decision.counted && index < 1_000; index += 1) {
      await later(1)
      decision = admitted(await admit(`b${index}`, LIMITS))
    }
    expect(decision.counted).to.equal(true)
    const [first, ...others] = ledger.readFrom.slice(before)
    expect(first).to.equal(NOON - 12 * 60 * MINUTE)
    expect(others).to.have.length.above(100)
    expect(new Set(others)).to.deep.equal(new Set([NOON - MINUTE]))
    expect(decision.statuses.map((status) => status.used)).to.deep.equal([152, 30 + 150 * 7 + 5])
  })

  it('keep a decision waiting no longer in all than one reading may', async () => {
    const node = await restarted({ withinMs: 60 })
    const { ledger, admit } = node
    const open = await uncounted(node, 100)
    const before = ledger.reads
    ledger.whileReading = async () => {
      await later(20)
      if (open.length > 0) await endElsewhere(node, open.pop()!)
    }
    expect(admitted(await admit('b', LIMITS)).counted).to.equal(false)
    expect(ledger.reads - before).to.be.below(6)
  })

  it('are not lost for good to a ledger that hangs once', async () => {
    const { ledger, admit } = await restarted({ withinMs: 10, answerWithinMs: 30 })
    ledger.whileReading = () => new Promise(() => {})
    expect(await admit('a')).to.include({ admitted: false, reason: 'unavailable' })
    ledger.whileReading = async () => {}
    await later(40)
    expect(admitted(await admit('b')).statuses[0]!.used).to.equal(2)
  })

  it('are not lost for good to an outbox that hangs once', async () => {
    let beforeRead = (): Promise<void> => new Promise(() => {})
    const { admit } = await restarted({ withinMs: 10, answerWithinMs: 30, beforeRead: () => beforeRead() })
    expect(await admit('a')).to.include({ admitted: false, reason: 'unavailable' })
    beforeRead = async () => {}
    await later(40)
    expect(admitted(await admit('b')).statuses[0]!.used).to.equal(2)
  })

  it('hold settlements back no longer than it takes, where it comes to nothing', async () => {
    const node = await restarted({ withinMs: 10, answerWithinMs: 30 })
    const { ledger, admission, admit } = node
    const [elsewhere, ours] = await uncounted(node, 2)
    ledger.whileReading = () => endElsewhere(node, elsewhere!)
    const decided = admit('b', LIMITS)
    let settled: unknown
    await Promise.race([
      decided,
      new Promise<void>((resolve) => {
        ledger.whileReading = async () => {
          ledger.whileReading = () => {
            settled = end(node, ours!)
            resolve()
            return new Promise(() => {})
          }
          await endElsewhere(node, elsewhere!)
        }
      }),
    ])
    await decided
    await settled
    ledger.whileReading = async () => {}
    await admission.read(boundTo(LIMITS), { subject: 'alice' })
    expect(await node.used(LIMITS)).to.deep.equal([3, 44])
  })

  it('are read again in whole where a reset comes late that other calls followed', async () => {
    const node = await restarted()
    const { ledger, admission, used } = node
    await ledger.append([entry('after', { atMs: NOON - 10_000, charges: charged(3) })])
    ledger.whileReading = async () => {
      ledger.whileReading = async () => {}
      const bound = boundTo(LIMITS)[0]!
      const { owner, partition, name: counter } = bound.counter
      const of = { id: 'reset', tenant: 'acme', atMs: NOON - 20_000, owner, partition, counter }
      await ledger.append([{ ...of, kind: 'adjustment', adjustment: 'reset', amount: 0, unit: 'requests' }])
      await admission.adjust({ id: 'reset', bound, adjustment: 'reset', amount: 0, atMs: of.atMs })
    }
    expect(await used(LIMITS)).to.deep.equal([1, 33])
    expect(ledger.reads).to.equal(3)
  })

  it('leave a call to its settlement that was read after midnight, while the day before was rebuilt', async () => {
    let beforeRead = async (): Promise<void> => {}
    const node = await restarted({ beforeRead: () => beforeRead() })
    const { clock, ledger, admission, used } = node
    const [reservation] = await uncounted(node, 1)
    beforeRead = async () => {
      clock.set(MIDNIGHT)
      await ledger.append([entry(reservation!.id, { atMs: MIDNIGHT, charges: charged(7) })])
    }
    await used(LIMITS)
    expect(await admission.settle(reservation!, ACTUAL, MIDNIGHT)).to.equal('late')
    expect(await used(LIMITS)).to.deep.equal([1, 7])
  })

  it('tell a store of many ids in pieces', async () => {
    const clock = new SettableClock(NOON)
    const store = new WatchedStore({ clock: clock.now })
    const ledger = new WatchedLedger()
    const ids = Array.from({ length: 5_001 }, (_, index) => `recent-${index}`)
    await ledger.append(ids.map((id) => entry(id, { charges: charged(1) })))
    const admission = new Admission({ store, clock: clock.now, rebuild: { ledger } })
    const bound = boundTo([{ ...DAY, quota: 10_000 }])
    expect((await admission.read(bound)).statuses[0]!.used).to.equal(5_001)
    expect(store.seeds.map(({ counters, closed }) => [counters.length, closed.length])).to.deep.equal([
      [1, 2_000],
      [0, 2_000],
      [0, 1_001],
    ])
    for (const id of [ids[0]!, ids[2_000]!, ids[5_000]!]) {
      const charges = chargesOf(bound, {}, NOON, 0).map((charge) => ({ charge, actual: 1 }))
      expect(await store.settle({ id, owner: charges[0]!.charge.counter.owner, charges, atMs: NOON })).to.equal(
        'closed',
      )
    }
  })

  it('stand where the ledger says, whatever happens while it is read', async function () {
    this.timeout(runs(30_000))
    const happening = fc.constantFrom('end', 'end-elsewhere', 'adjust', 'end-late', 'a-minute', 'midnight', 'fail')
    const property = fc.asyncProperty(fc.array(fc.array(happening, { maxLength: 3 }), { maxLength: 6 }), runHistory)
    await fc.assert(property, { numRuns: runs(300) })
  })
})

/** What happens during each reading, then nothing more. */
async function runHistory(readings: readonly (readonly string[])[]): Promise<void> {
  const node = await restarted()
  // So many, on either day, that refunds never come to 0, from where on it would matter which came first.
  const atMs = NOON - 60 * MINUTE
  await node.ledger.append(Array.from({ length: 20 }, (_, at) => entry(`early-${at}`, { atMs, charges: charged(1) })))
  const open = await uncounted(node, 40)
  const ends: Promise<void>[] = []
  const pending = readings.map((each) => [...each])
  let adjustments = 0
  node.ledger.whileReading = async () => {
    for (const what of pending.shift() ?? []) {
      if (what === 'end') ends.push(end(node, open.pop()!))
      else if (what === 'end-elsewhere') await endElsewhere(node, open.pop()!)
      else if (what === 'adjust') await adjust(node, `adjustment-${(adjustments += 1)}`)
      else if (what === 'end-late') {
        // Nobody has settled it here yet; it ended before others that were read.
        const reservation = open.pop()!
        const atMs = node.clock.now() - 1_000
        await node.ledger.append([entry(reservation.id, { atMs, charges: charged(7) })])
        ends.push(Promise.resolve(node.admission.settle(reservation, ACTUAL, atMs)).then(() => {}))
      } else if (what === 'a-minute') node.clock.advance(MINUTE)
      else if (what === 'midnight') {
        if (node.clock.now() >= MIDNIGHT) continue
        node.clock.set(MIDNIGHT)
        for (const reservation of open.splice(0, 20)) await endElsewhere(node, reservation)
      } else {
        node.ledger.isAway = true
        setTimeout(() => (node.ledger.isAway = false), 0)
      }
    }
  }
  await node.admit('last', LIMITS)
  node.ledger.isAway = false
  pending.length = 0
  await node.admission.read(boundTo(LIMITS), { subject: 'alice' })
  await Promise.all(ends)
  const { statuses } = await node.admission.read(boundTo(LIMITS), { subject: 'alice' })
  const says = await byLedger(node)
  const state = await node.store.holdState({ id: 'last', owner: 'tenant=acme,key=alice' })
  const held = state?.state === 'reserved' ? [1, 5] : [0, 0]
  expect(statuses.map((status) => status.used)).to.deep.equal(says.map((used, at) => used + held[at]!))
}

async function adjust({ ledger, clock, admission }: Node, id: string): Promise<void> {
  const bound = boundTo(LIMITS)[0]!
  const { owner, partition, name } = bound.counter
  const atMs = clock.now() - 500
  const of = { tenant: 'acme', owner, partition, counter: name }
  await ledger.append([
    { kind: 'adjustment', id, ...of, atMs, adjustment: 'refund', amount: 1, unit: 'requests' } as never,
  ])
  await admission.adjust({ id, bound, adjustment: 'refund', amount: 1, atMs })
}

class WatchedStore extends MemoryCounterStore {
  readonly seeds: SeedRequest[] = []

  override seed(request: SeedRequest): ReturnType<MemoryCounterStore['seed']> {
    this.seeds.push(request)
    return super.seed(request)
  }
}
