import {
  Admission,
  bindLimits,
  MemoryCounterStore,
  MemoryPlanSource,
  QuotaError,
  type Reservation,
  type SettleOutcome,
} from '@tallygate/core'
import { Telemetry } from '@tallygate/telemetry'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'
import { Settler } from '../src/settler.ts'

const { plans } = new MemoryPlanSource({
  plans: [{ name: 'p', limits: [{ name: 'tokens', unit: 'tokens', quota: 100, window: { kind: 'lifetime' } }] }],
})
const bound = bindLimits({ plans, combine: 'all' }, { tenant: 'default', key: 'k' }, {}, ['tenant', 'key'])

/** Counters that can be taken away: all of them, or those of some reservations. */
class AwayStore extends MemoryCounterStore {
  isAway = false
  awayFor = ''
  refuses = ''
  underWay = 0
  mostUnderWay = 0

  override async settle(...request: Parameters<MemoryCounterStore['settle']>): Promise<SettleOutcome> {
    this.mostUnderWay = Math.max(this.mostUnderWay, (this.underWay += 1))
    await new Promise(setImmediate)
    this.underWay -= 1
    const [{ id }] = request
    if (id === this.refuses) throw new QuotaError('ERR_QUOTA_CONFIG', 'never')
    if (this.isAway || (this.awayFor !== '' && id.startsWith(this.awayFor)))
      throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone')
    return super.settle(...request)
  }

  override async release(...request: Parameters<MemoryCounterStore['release']>): Promise<void> {
    if (this.isAway) throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone')
    return super.release(...request)
  }
}

function opened(options: { most?: number } = {}): {
  store: AwayStore
  admission: Admission
  settler: Settler
  logged: string[]
} {
  const clock = new SettableClock()
  const store = new AwayStore({ clock: clock.now })
  const admission = new Admission({ store, clock: clock.now })
  const logged: string[] = []
  const log = (message: string): void => void logged.push(message)
  const settler = new Settler({ admission, telemetry: new Telemetry(), logger: { warn: log, error: log }, ...options })
  return { store, admission, settler, logged }
}

async function held(admission: Admission, id: string, tokens: number): Promise<Reservation> {
  const decision = await admission.admit({ id, bound, amounts: { tokens }, context: '' })
  if (!decision.admitted) throw new Error('was refused')
  return decision.reservation!
}

async function used(admission: Admission): Promise<number> {
  return (await admission.read(bound)).statuses[0]!.used
}

describe('Settler', () => {
  it('replaces what is held by what was used, and gives back what was not', async () => {
    const { admission, settler } = opened()
    settler.settle(await held(admission, 'a', 30), { tokens: 12 }, 0)
    settler.release(await held(admission, 'b', 30))
    await settler.flush()
    expect(await used(admission)).to.equal(12)
  })

  it('is not done before what is tried again has been settled', async () => {
    const { store, admission, settler } = opened()
    const held100 = await Promise.all(Array.from({ length: 100 }, (_, index) => held(admission, `r${index}`, 1)))
    store.isAway = true
    for (const reservation of held100) settler.settle(reservation, { tokens: 0 }, 0)
    await settler.flush()
    expect(settler.pending).to.equal(100)
    store.isAway = false
    const first = settler.flush()
    expect(settler.pending).to.equal(100)
    await Promise.all([first, settler.flush()])
    expect([settler.pending, await used(admission)]).to.deep.equal([0, 0])
  })

  it('tries again what the counters did not take, and counts it once', async () => {
    const { store, admission, settler, logged } = opened()
    const [a, b] = [await held(admission, 'a', 30), await held(admission, 'b', 30)]
    store.isAway = true
    settler.settle(a, { tokens: 12 }, 0)
    settler.release(b)
    await settler.flush()
    expect(settler.pending).to.equal(2)
    expect(logged[0]).to.equal('the counters take no settlement: it is tried again')
    expect(await used(admission)).to.equal(60)
    store.isAway = false
    await settler.flush()
    settler.settle(a, { tokens: 12 }, 0)
    await settler.flush()
    expect([settler.pending, await used(admission)]).to.deep.equal([0, 12])
  })

  it('settles what it can while a part of the counters is away, some at once, however much waits before', async () => {
    const { store, admission, settler } = opened()
    store.isAway = true
    for (let index = 0; index < 250; index += 1)
      settler.settle(await held(admission, `dead${index}`, 0), { tokens: 0 }, 0)
    for (let index = 0; index < 50; index += 1) settler.settle(await held(admission, `a${index}`, 1), { tokens: 2 }, 0)
    await settler.flush()
    expect([settler.pending, await used(admission)]).to.deep.equal([300, 50])
    store.isAway = false
    store.awayFor = 'dead'
    store.mostUnderWay = 0
    for (let round = 0; round < 3; round += 1) await settler.flush()
    expect([settler.pending, await used(admission), store.mostUnderWay]).to.deep.equal([250, 100, 16])
    store.awayFor = ''
    await settler.flush()
    expect(settler.pending).to.equal(0)
  })

  it('drops what the counters refuse, and says so, at once and when it is tried again', async () => {
    const { store, admission, settler, logged } = opened()
    store.refuses = 'a'
    settler.settle(await held(admission, 'a', 1), { tokens: 2 }, 0)
    await settler.flush()
    expect([settler.pending, logged]).to.deep.equal([0, ['the counters refuse a settlement: it is dropped']])
    store.isAway = true
    store.refuses = ''
    for (const id of ['b', 'c']) settler.settle(await held(admission, id, 1), { tokens: 2 }, 0)
    await settler.flush()
    store.isAway = false
    store.refuses = 'b'
    await settler.flush()
    expect([settler.pending, await used(admission)]).to.deep.equal([0, 1 + 1 + 2])
    expect(logged.slice(2)).to.deep.equal(['the counters refuse a settlement: it is dropped'])
  })

  it('drops what is too much, and says at once that it does, and how many it were when the counters are back', async () => {
    const { store, admission, settler, logged } = opened({ most: 3 })
    const reservations = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((id) => held(admission, id, 1)))
    store.isAway = true
    for (const reservation of reservations) {
      settler.settle(reservation, { tokens: 2 }, 0)
      await settler.flush()
    }
    expect(settler.pending).to.equal(3)
    store.isAway = false
    await settler.flush()
    expect([settler.pending, await used(admission)]).to.deep.equal([0, 3 * 2 + 2])
    expect(logged).to.deep.equal([
      'the counters take no settlement: it is tried again',
      'too many settlements wait: from now on they are dropped; what their counters do not hold of them is in the ledger alone',
      'settlements were dropped while the counters were away',
    ])
  })
})
