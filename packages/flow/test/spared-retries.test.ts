import { createQuota, type QuotaOptions } from '@tallygate/flow'
import { expect } from 'chai'
import { charged, QuotaBed, REQUESTS, subject, TOKENS } from './quota-bed.ts'

const OK = { status: 200, outcome: 'complete', tokens: 10 } as const
const ERROR = { status: 500, outcome: 'failed' } as const
const BROKEN = { status: 200, outcome: 'failed', tokens: 7 } as const
const HUNG_UP = { status: 200, outcome: 'aborted', tokens: 7 } as const
const same = { headers: { 'idempotency-key': 'one' } }
const MINUTE = 60_000
const PLANS = [{ name: 'p', limits: [REQUESTS, TOKENS] }]

describe('attempts that try again what has failed', () => {
  const open = (options: QuotaOptions = {}): QuotaBed =>
    new QuotaBed({
      plans: PLANS,
      defaultPlans: ['p'],
      spareRetriesMs: MINUTE,
      ...options,
    })
  const used = async (bed: QuotaBed): Promise<readonly unknown[]> => {
    const now = await bed.used()
    expect(now, 'counters and ledger').to.deep.equal({
      'p/requests': 0,
      'p/tokens': 0,
      ...charged(await bed.entries()),
    })
    return [now['p/requests'], now['p/tokens']]
  }

  it('are no further request, and what they use is charged', async () => {
    const bed = open()
    for (const ended of [ERROR, BROKEN, OK]) await bed.call(ended, subject(), same)
    expect(await used(bed)).to.deep.equal([1, 17])
    await bed.call(OK, subject(), same)
    expect(await used(bed), 'what has succeeded is not tried again').to.deep.equal([2, 27])
  })

  it('pass when no request is left', async () => {
    const bed = open({ plans: [{ name: 'p', limits: [{ ...REQUESTS, quota: 1 }] }] })
    await bed.call(ERROR, subject(), same)
    expect(await bed.begin()).to.equal(429)
    expect(await bed.call(OK, subject(), same)).to.include({ status: 200 })
    expect(await bed.begin(subject(), same)).to.equal(429)
  })

  it('are counted where each is told apart from what has failed', async () => {
    const others: readonly (readonly [what: string, who: string, request: Parameters<QuotaBed['begin']>[1]])[] = [
      ['another key', 'alice', { headers: { 'idempotency-key': 'two' } }],
      ['no key', 'alice', {}],
      ['another body', 'alice', { ...same, prompt: 'Something else' }],
      ['another caller', 'bob', same],
    ]
    for (const [what, who, request] of others) {
      const bed = open()
      await bed.call(ERROR, subject('alice'), same)
      const { charges } = await bed.call(OK, subject(who), request)
      expect(charges[0], what).to.include({ counter: 'p/requests', reserved: 1, actual: 1 })
    }
  })

  it('are counted after a caller has hung up, when the time since the first failure is over, and by default', async () => {
    const hungUp = open()
    await hungUp.call(HUNG_UP, subject(), same)
    await hungUp.call(OK, subject(), same)
    expect((await used(hungUp))[0]).to.equal(2)

    const late = open()
    for (let attempt = 0; attempt < 5; attempt += 1) {
      await late.call(ERROR, subject(), same)
      late.clock.advance(MINUTE / 2)
    }
    expect((await used(late))[0], 'the first, and the one after a minute').to.equal(2)

    const plain = new QuotaBed({ plans: PLANS, defaultPlans: ['p'] })
    await plain.call(ERROR, subject(), same)
    await plain.call(OK, subject(), same)
    expect((await used(plain))[0]).to.equal(2)
  })

  it('are spared once for each failure, also side by side, and again where a spared one was never made', async () => {
    const bed = open()
    await bed.call(ERROR, subject(), same)
    const [one, two] = [await bed.begin(subject(), same), await bed.begin(subject(), same)]
    if (typeof one === 'number' || typeof two === 'number') throw new Error('refused')
    expect((await bed.used())['p/requests']).to.equal(2)
    one.release()
    two.release()
    await bed.quota.drain()
    await bed.call(OK, subject(), same)
    expect((await used(bed))[0]).to.equal(1)
  })

  for (const spareRetriesMs of [0, 1.5, 86_400_001, '5m' as unknown as number]) {
    it(`refuses ${spareRetriesMs} ms`, () => {
      expect(() => createQuota({ pepper: 'x'.repeat(32), spareRetriesMs })).to.throw(
        /spareRetriesMs is .*: use whole milliseconds from 1 to 86400000/,
      )
    })
  }
})
