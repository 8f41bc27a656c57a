import type { CountRule, Plan, UsageOutcome } from '@tallygate/core'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'
import { charged, QuotaBed, REQUESTS, subject, TOKENS } from './quota-bed.ts'

const plan = (name: string, count?: CountRule, limits: Plan['limits'] = [REQUESTS, TOKENS]): Plan => ({
  name,
  limits,
  ...(count === undefined ? {} : { count }),
})
const OK = { status: 200, outcome: 'complete', tokens: 30 } as const
const ERROR = { status: 500, outcome: 'failed' } as const

describe('CallHolds', () => {
  it('counts every attempt by default, and an error as one that used no tokens', async () => {
    const bed = new QuotaBed({ plans: [plan('p')], defaultPlans: ['p'] })
    await bed.call(OK)
    await bed.call(ERROR)
    expect(await bed.used()).to.deep.equal({ 'p/requests': 2, 'p/tokens': 30 })
  })

  it('gives an attempt back that its plan does not count, and its entry charges 0', async () => {
    const bed = new QuotaBed({ plans: [plan('p', { on: 'success' })], defaultPlans: ['p'] })
    const entry = await bed.call(ERROR)
    expect(entry).to.include({ status: 500, outcome: 'failed' })
    expect(entry.charges.map(({ counter, actual }) => [counter, actual])).to.deep.equal([
      ['p/requests', 0],
      ['p/tokens', 0],
    ])
    expect(await bed.used()).to.deep.equal({ 'p/requests': 0, 'p/tokens': 0 })
    await bed.call(OK)
    expect(await bed.used()).to.deep.equal({ 'p/requests': 1, 'p/tokens': 30 })
  })

  it('goes by the rule of each plan: what one gives back stands in the entry with 0', async () => {
    const plans = [plan('each'), plan('good', { refundOn: ['aborted'] })]
    const bed = new QuotaBed({ plans, defaultPlans: ['each', 'good'] })
    const { charges } = await bed.call({ status: 200, outcome: 'aborted', tokens: 7 })
    expect(charges.map(({ counter, actual }) => [counter, actual])).to.deep.equal([
      ['each/requests', 1],
      ['each/tokens', 7],
      ['good/requests', 0],
      ['good/tokens', 0],
    ])
    expect(await bed.used()).to.deep.equal({
      'each/requests': 1,
      'each/tokens': 7,
      'good/requests': 0,
      'good/tokens': 0,
    })
  })

  it('keeps counters and ledger at the same, whatever plans count and however calls end', async () => {
    const cause = fc.constantFrom('4xx', '5xx', 'failed', 'aborted', 429, 200)
    const rule = fc.record({ on: fc.constantFrom('attempt', 'success', 'http200'), refundOn: fc.array(cause) })
    const ended = fc.record({
      status: fc.constantFrom(undefined, 200, 201, 404, 429, 500),
      outcome: fc.constantFrom<UsageOutcome>('complete', 'aborted', 'failed'),
      tokens: fc.nat(60),
    })
    const free = [REQUESTS, TOKENS].map((limit) => ({ ...limit, quota: null }))
    await fc.assert(
      fc.asyncProperty(fc.tuple(rule, rule), fc.array(ended, { maxLength: 6 }), async ([one, two], calls) => {
        const plans = [plan('one', one as CountRule, free), plan('two', two as CountRule, free)]
        const bed = new QuotaBed({ plans, defaultPlans: ['one', 'two'] })
        for (const call of calls) await bed.call(call)
        const none = { 'one/requests': 0, 'one/tokens': 0, 'two/requests': 0, 'two/tokens': 0 }
        expect(await bed.used()).to.deep.equal({ ...none, ...charged(await bed.entries()) })
      }),
      { numRuns: runs(50) },
    )
  })

  it('marks a call as overage that passed a limit which flags, and not one that a shadow would have stopped', async () => {
    const flagged = [{ ...REQUESTS, quota: 0, onTrip: 'flag' }] as const
    const shadowed = [{ ...flagged[0], mode: 'shadow' }] as const
    for (const [limits, overage] of [
      [flagged, true],
      [shadowed, false],
    ] as const) {
      const bed = new QuotaBed({ plans: [plan('p', undefined, limits)], defaultPlans: ['p'] })
      expect(await bed.call(OK)).to.include({ overage })
      expect(await bed.used()).to.deep.equal({ 'p/requests': 1 })
    }
  })

  it('charges all of several plans of which one has room', async () => {
    const plans = [plan('small', undefined, [{ ...REQUESTS, quota: 1 }]), plan('large', undefined, [REQUESTS])]
    const bed = new QuotaBed({
      plans,
      assignments: [{ for: { group: 'two' }, plans: ['small', 'large'], combine: 'any' }],
    })
    const who = subject('alice', { groups: ['two'] })
    for (let call = 0; call < 10; call += 1) await bed.call(OK, who)
    expect(await bed.used(who)).to.deep.equal({ 'small/requests': 10, 'large/requests': 10 })
    expect(await bed.begin(who)).to.equal(429)
  })
})
