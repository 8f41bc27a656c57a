import { QuotaError, type Admitted, type Limit } from '@tallygate/core'
import { expect } from 'chai'
import { AdmissionBed, admitted, boundTo, boundToPlans, DAY, NOON, refused, TOKENS } from './admission-bed.ts'
import { complaint } from './complaint.ts'

const HALF: Limit = { ...DAY, onUnavailable: { local: 0.5 } }
const LAX: Limit = { ...TOKENS, onUnavailable: 'admit' }

function away(): Promise<never> {
  return Promise.reject(new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'gone'))
}

describe('a limit that is local while the counters are away', () => {
  let bed: AdmissionBed
  let isAway: boolean
  beforeEach(() => {
    isAway = true
    bed = new AdmissionBed()
    const reserve = bed.store.reserve.bind(bed.store)
    bed.store.reserve = (request) => (isAway ? away() : reserve(request))
  })

  async function passes(bound: ReturnType<typeof boundTo>, calls: number, tokens = 0): Promise<Admitted[]> {
    const decisions = []
    for (let call = 0; call < calls; call += 1) decisions.push(await bed.admit(bound, { tokens }))
    return decisions.flatMap((decision) => (decision.admitted ? [decision] : []))
  }

  it('admits its share of the quota, and says that this node decided', async () => {
    const [first, ...others] = await passes(boundTo([HALF]), 8)
    expect(others).to.have.length(4)
    expect(first).to.deep.include({ counted: false, withoutStore: 'local', statuses: [] })
    expect(first!.reservation).to.include({ withoutStore: 'local' })
  })

  it('refuses what is more as unavailable, and not as used up: the quota itself may have room', async () => {
    const bound = boundTo([{ ...HALF, quota: 1 }])
    expect(refused(await bed.admit(bound))).to.include({
      reason: 'unavailable',
      retryAtMs: null,
      withoutStore: 'local',
    })
  })

  const shares = [
    { quota: 100, local: 0.29, most: 29 },
    { quota: 10, local: 0.25, most: 2 },
    { quota: 3, local: 0.3, most: 0 },
    { quota: 7, local: 1, most: 7 },
  ]
  for (const { quota, local, most } of shares) {
    it(`of ${quota} with a share of ${local}, ${most} pass`, async () => {
      const bound = boundTo([{ ...DAY, quota, onUnavailable: { local } }])
      expect(await passes(bound, quota + 1)).to.have.length(most)
    })
  }

  it('counts tokens as the counters would: what a call did not use has room for the next', async () => {
    const bound = boundTo([{ ...TOKENS, onUnavailable: { local: 0.5 } }])
    const [first, ...none] = await passes(bound, 2, 40)
    expect(none).to.have.length(0)
    await bed.admission.settle(first!.reservation!, { tokens: 10 }, NOON)
    expect(await passes(bound, 2, 40)).to.have.length(1)
  })

  it('counts a call once, however long its settlement is tried on counters that are away', async () => {
    const bound = boundTo([{ ...TOKENS, onUnavailable: { local: 0.5 } }])
    const [first] = await passes(bound, 1, 40)
    for (let minute = 0; minute < 10; minute += 1) {
      await bed.admission.settle(first!.reservation!, { tokens: 10 }, NOON)
      bed.clock.advance(60_000)
    }
    expect(await passes(bound, 2, 40)).to.have.length(1)
  })

  it('gives back what a released call held, and keeps a long call from expiring', async () => {
    const bound = boundTo([{ ...HALF, window: { kind: 'concurrent' }, quota: 2 }])
    const [running] = await passes(bound, 2)
    for (let half = 0; half < 4; half += 1) {
      bed.clock.advance(30_000)
      await bed.admission.extend(running!.reservation!)
    }
    expect(await passes(bound, 1)).to.have.length(0)
    await bed.admission.release(running!.reservation!)
    expect(await passes(bound, 2)).to.have.length(1)
  })

  it('has a new share in the next window', async () => {
    const bound = boundTo([HALF])
    expect(await passes(bound, 6)).to.have.length(5)
    bed.clock.advance(86_400_000)
    expect(await passes(bound, 6)).to.have.length(5)
  })

  it('charges the counters with all that was used, when they are back', async () => {
    const bound = boundTo([HALF])
    const calls = await passes(bound, 10)
    isAway = false
    for (const { reservation } of calls) expect(await bed.admission.settle(reservation!, {}, NOON)).to.equal('late')
    expect(await bed.used(bound)).to.deep.equal([5])
    expect(admitted(await bed.admit(bound))).to.have.property('counted', true)
    expect(await bed.used(bound)).to.deep.equal([6])
  })

  it('has no second share when the counters come and go', async () => {
    const bound = boundTo([HALF])
    expect(await passes(bound, 10)).to.have.length(5)
    for (const afterMs of [1_000, 30_000, 59_000]) {
      bed.clock.advance(afterMs)
      isAway = false
      await bed.reserve(bound)
      isAway = true
      expect(await passes(bound, 10)).to.have.length(0)
    }
  })

  it('forgets its share when the counters have answered for a minute', async () => {
    const bound = boundTo([HALF])
    expect(await passes(bound, 10)).to.have.length(5)
    bed.clock.advance(60_000)
    isAway = false
    await bed.reserve(bound)
    isAway = true
    expect(await passes(bound, 10)).to.have.length(5)
  })

  it('is not in the way where another limit refuses, and beside one that admits it decides', async () => {
    refused(await bed.admit(boundTo([HALF, LAX, { ...DAY, name: 'strict' }])))
    expect(await passes(boundTo([HALF, LAX]), 10, 60)).to.have.length(5)
  })

  it('in shadow refuses nothing', async () => {
    expect(await passes(boundTo([{ ...HALF, mode: 'shadow' }, LAX]), 10)).to.have.length(10)
  })

  it('that flags lets pass what is over its share', async () => {
    expect(await passes(boundTo([{ ...HALF, onTrip: 'flag' }]), 10)).to.have.length(10)
  })

  it('is not in the way where another alternative is free of it', async () => {
    const plans = [
      { name: 'a', limits: [HALF] },
      { name: 'b', limits: [LAX] },
    ]
    expect(await passes(boundToPlans('all', plans), 10)).to.have.length(5)
    expect(await passes(boundToPlans('any', plans), 10)).to.have.length(10)
  })

  it('meets an edge of its window that passes while it decides', async () => {
    let late = 0
    const edge = NOON + 43_200_000
    bed.clock.set(edge - 1)
    bed.store.reserve = () => {
      bed.clock.advance((late += 1))
      return away()
    }
    expect(await passes(boundTo([HALF]), 6)).to.have.length(5)
  })

  const mistakes: readonly (readonly [unknown, RegExp])[] = [
    ['never', /onUnavailable is "never": use refuse, admit or \{ local: 0\.25 \}/],
    [{ local: 0 }, /onUnavailable\.local is 0: use a share of the quota above 0/],
    [{ local: 1.5 }, /onUnavailable\.local is 1\.5: use a share of/],
    [{ local: Number.NaN }, /onUnavailable\.local is null|NaN/],
    [{ local: 0.5, nodes: 3 }, /nodes/],
    [null, /onUnavailable is null/],
  ]
  for (const [onUnavailable, says] of mistakes) {
    it(`is refused as ${JSON.stringify(onUnavailable)}`, () => {
      expect(complaint(() => boundTo([{ ...DAY, onUnavailable } as Limit]))).to.match(says)
    })
  }
})
