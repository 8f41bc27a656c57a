import { Admission, MemoryCounterStore, QuotaError, type Limit, type UsageEntry } from '@tallygate/core'
import { expect } from 'chai'
import { admitted, boundTo, DAY, NOON, TOKENS } from './admission-bed.ts'
import { charged, entry, restarted, type WatchedLedger } from './rebuild-bed.ts'

describe('Admission, with a ledger to rebuild counters from', () => {
  it('knows what was used before the process began', async () => {
    const { admit, used } = await restarted()
    expect(admitted(await admit('a')).statuses.map((status) => status.used)).to.deep.equal([2, 35])
    expect(await used()).to.deep.equal([2, 35])
  })

  it('refuses what would not fit beside it', async () => {
    const { admit } = await restarted()
    expect(await admit('a', [{ ...TOKENS, quota: 34 }])).to.include({ admitted: false, reason: 'no-room' })
  })

  it('knows it where limits are only asked about', async () => {
    expect(await (await restarted()).used()).to.deep.equal([1, 30])
  })

  it('reads a history once, for all calls that wait for it', async () => {
    const { ledger, admit } = await restarted()
    const decisions = await Promise.all(['a', 'b', 'c'].map((id) => admit(id)))
    expect(decisions.every((decision) => decision.admitted)).to.equal(true)
    await admit('d')
    expect(ledger.reads).to.equal(1)
  })

  it('reads page by page', async () => {
    const { ledger, used } = await restarted()
    const written = Array.from({ length: 5_500 }, (_, index) => entry(`e${index}`, { charges: charged(1) }))
    await ledger.append(written)
    expect(await used()).to.deep.equal([5_501, 5_530])
    expect(ledger.reads).to.equal(2)
  })

  for (const onUnavailable of ['refuse', 'admit'] as const) {
    it(`decides without the ledger as a store that is away: ${onUnavailable}`, async () => {
      const { ledger, admit } = await restarted()
      ledger.isAway = true
      const limits = [{ ...DAY, onUnavailable }]
      const decision = await admit('a', limits)
      if (onUnavailable === 'refuse') expect(decision).to.include({ admitted: false, reason: 'unavailable' })
      else expect(decision).to.include({ admitted: true, counted: false })
      ledger.isAway = false
      expect(admitted(await admit('b', limits)).statuses[0]!.used).to.equal(2)
    })
  }

  it('waits for a ledger no longer than it may, and knows the counters when it has answered', async () => {
    const { ledger, admit } = await restarted({ withinMs: 20 })
    const { promise, resolve } = Promise.withResolvers<void>()
    ledger.whileReading = () => promise
    expect(await admit('a')).to.include({ admitted: false, reason: 'unavailable' })
    resolve()
    expect(admitted(await admit('b')).statuses[0]!.used).to.equal(2)
    expect(ledger.reads).to.equal(1)
  })

  it('reads again what was settled while it read', async () => {
    const { ledger, admission, admit } = await restarted()
    // Admitted while nothing could be counted: its entry comes between the ledger's answer and the seed.
    ledger.isAway = true
    const limits = [
      { ...DAY, onUnavailable: 'admit' as const },
      { ...TOKENS, onUnavailable: 'admit' as const },
    ]
    const { reservation } = admitted(await admit('uncounted', limits))
    ledger.isAway = false
    ledger.whileReading = async () => {
      ledger.whileReading = async () => {}
      const atMs = admission.settlementTime(reservation!)
      await ledger.append([entry('uncounted', { atMs, charges: charged(7) })])
      await admission.settle(reservation!, { requests: 1, tokens: 7 }, atMs)
    }
    expect(admitted(await admit('b', limits)).statuses.map(({ used }) => used)).to.deep.equal([3, 42])
    expect(await admission.settle(reservation!, { requests: 1, tokens: 7 }, NOON)).to.equal('closed')
  })

  it('brings in first what waits elsewhere', async () => {
    const late = entry('late', { charges: charged(9) })
    let ledger: WatchedLedger | undefined
    const { used, ...node } = await restarted({ beforeRead: async () => ledger!.append([late]) })
    ledger = node.ledger
    expect(await used()).to.deep.equal([2, 39])
  })

  it('does not seed counters while something stays behind', async () => {
    const { admit } = await restarted({
      beforeRead: async () => {
        throw new QuotaError('ERR_QUOTA_LEDGER_UNAVAILABLE', 'entries wait in the outbox')
      },
    })
    expect(await admit('a')).to.include({ admitted: false, reason: 'unavailable' })
  })

  it('does not charge a settlement again that it has read', async () => {
    const { ledger, admission, clock, admit, used } = await restarted()
    const { reservation } = admitted(await admit('a'))
    const atMs = admission.settlementTime(reservation!)
    await ledger.append([entry('a', { atMs, charges: charged(6) })])
    // The process dies here. Another one begins with the same ledger, and settles what it finds unsettled.
    const store = new MemoryCounterStore({ clock: clock.now })
    const next = new Admission({ store, clock: clock.now, rebuild: { ledger } })
    await next.read(boundTo([DAY, TOKENS]))
    expect(await next.settle(reservation!, { requests: 1, tokens: 6 }, atMs)).to.equal('closed')
    expect((await next.read(boundTo([DAY, TOKENS]))).statuses.map((status) => status.used)).to.deep.equal([2, 36])
    expect(await used()).to.deep.equal([2, 35])
  })

  it('begins at 0 without a ledger, and reads none for windows that began with the process', async () => {
    const { ledger, clock, admit, used } = await restarted()
    clock.advance(86_400_000)
    await admit('a')
    expect(await used()).to.deep.equal([1, 5])
    expect(ledger.reads).to.equal(0)
    const bare = new Admission({ store: new MemoryCounterStore({ clock: clock.now }), clock: clock.now })
    expect((await bare.read(boundTo([DAY]))).statuses[0]!.used).to.equal(0)
  })

  it('writes down when a window starts that starts at first use', async () => {
    const starts: UsageEntry['id'][] = []
    const { clock, admit } = await restarted({ record: (start) => void starts.push(`${start.counter} ${start.atMs}`) })
    const limit: Limit = { ...DAY, name: 'trial', window: { kind: 'first-use', durationMs: 60_000, then: 'restart' } }
    await admit('a', [limit])
    clock.advance(1)
    await admit('b', [limit])
    clock.advance(59_999)
    await admit('c', [limit])
    expect(starts).to.deep.equal([`pro/trial ${NOON}`, `pro/trial ${NOON + 60_000}`])
  })
})
