import { type Window } from '@tallygate/core'
import { expect } from 'chai'
import { MINUTE, PASSES, REFUSED, requests, SystemBed, tokens } from './system-bed.ts'
import { closeTestBeds } from './test-bed.ts'

describe('What operators of WSO2 find again', () => {
  afterEach(closeTestBeds)

  const every = (every: 'minute' | 'hour' | 'day', count = 1): Window => ({ kind: 'fixed', every, count })
  const per = ['application']
  const tier = (window: Window, quotas: { requests: number; total?: number; prompt?: number; completion?: number }) => {
    const { total = null, prompt = null, completion = null } = quotas
    return [
      requests(quotas.requests, window, { per }),
      tokens(total, window, { name: 'total', per }),
      tokens(prompt, window, { name: 'prompt', unit: 'input-tokens', per }),
      tokens(completion, window, { name: 'completion', unit: 'output-tokens', per }),
    ]
  }

  it('trips when the count is reached, for all users of an application together', async () => {
    const gateway = await SystemBed.of(tier(every('minute'), { requests: 3 }))
    const statuses = [
      await gateway.calls(2, { service: 'app' }),
      await gateway.calls(2, { service: 'app', user: 'bob' }),
    ]
    expect(statuses.flat()).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
    expect(await gateway.call({ service: 'other' })).to.equal(PASSES)
  })

  for (const [dimension, quotas] of [
    ['total', { requests: 99, total: 300 }],
    ['prompt', { requests: 99, prompt: 300 }],
    ['completion', { requests: 99, completion: 58 }],
  ] as const) {
    it(`any dimension trips: ${dimension} tokens, whose crossing answer is delivered; one of null never does`, async () => {
      const gateway = await SystemBed.of(tier(every('minute'), quotas))
      expect(await gateway.calls(2, { tokens: [300, 58] })).to.deep.equal([PASSES, REFUSED])
      gateway.bed.clock.advance(MINUTE)
      expect(await gateway.call({ tokens: [300, 58] })).to.equal(PASSES)
    })
  }

  for (const { window, usedUpAt, freeAt } of [
    { window: every('minute', 5), usedUpAt: [11, 33], freeAt: [11, 35] },
    { window: every('hour'), usedUpAt: [11, 59], freeAt: [12, 0] },
    { window: every('day'), usedUpAt: [11, 31], freeAt: [24, 0] },
  ] as const) {
    it(`${JSON.stringify(window)} is aligned to the clock, UTC, not to the first use`, async () => {
      const at = ([hour, minute]: readonly [number, number]): number => Date.UTC(2026, 10, 21, hour, minute)
      const gateway = await SystemBed.of(tier(window, { requests: 1 }))
      gateway.bed.clock.set(at(usedUpAt))
      expect(await gateway.calls(2)).to.deep.equal([PASSES, REFUSED])
      gateway.bed.clock.set(at(freeAt) - 1)
      expect(await gateway.call()).to.equal(REFUSED)
      gateway.bed.clock.advance(1)
      expect(await gateway.call()).to.equal(PASSES)
    })
  }

  it('counts a request and the tokens of its answer; a failure without usage adds no tokens', async () => {
    const gateway = await SystemBed.of(tier(every('day'), { requests: 9 }))
    await gateway.call({ fails: 500, service: 'app' })
    await gateway.call({ tokens: [20, 5], service: 'app' })
    const used = { 'plan/requests': 2, 'plan/total': 25, 'plan/prompt': 20, 'plan/completion': 5 }
    expect(await gateway.used({ service: 'app' })).to.deep.equal(used)
  })

  it('passes what is over the quota where it does not stop, flags it as overage, and counts on', async () => {
    const gateway = await SystemBed.of([requests(1, every('day'), { onTrip: 'flag' })])
    expect(await gateway.calls(3)).to.deep.equal([PASSES, PASSES, PASSES])
    expect((await gateway.bed.entries()).map(({ overage }) => overage)).to.deep.equal([false, true, true])
    expect(await gateway.used()).to.deep.equal({ 'plan/requests': 3 })
  })

  it('a subscription of another tier counts anew', async () => {
    const limits = [requests(1, every('day'))]
    const plans = ['bronze', 'gold'].map((name) => ({ name, limits }))
    const gateway = await SystemBed.open({ plans, defaultPlans: ['bronze'] })
    expect(await gateway.calls(2)).to.deep.equal([PASSES, REFUSED])
    gateway.bed.quota.swap({ plans, defaultPlans: ['gold'] })
    expect(await gateway.calls(2)).to.deep.equal([PASSES, REFUSED])
  })
})
