import { type Plan } from '@tallygate/core'
import { expect } from 'chai'
import { MONTH, PASSES, REFUSED, requests, SystemBed, tokens } from './system-bed.ts'
import { closeTestBeds } from './test-bed.ts'

describe('What operators of Drupal find again', () => {
  afterEach(closeTestBeds)

  it('trips when the limit is reached, for each key, before the provider is asked', async () => {
    const site = await SystemBed.of([requests(3, MONTH)])
    expect(await site.calls(4, { user: 'key-a' })).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
    expect(site.bed.provider.requests).to.have.length(3)
    expect(await site.call({ user: 'key-b' })).to.equal(PASSES)
  })

  it('counts in calendar months: the first of the next is free again, and the old one stays in the ledger', async () => {
    const site = await SystemBed.of([requests(1, MONTH)])
    site.bed.clock.set(Date.UTC(2026, 10, 30, 23, 59, 59, 999))
    expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
    site.bed.clock.advance(1)
    expect(await site.call()).to.equal(PASSES)
    const filter = { tenant: 'default', fromMs: 0, toMs: Date.UTC(2030, 0) }
    const { rows } = await site.bed.ledger.sum({ filter, by: ['month'] })
    expect(rows.map(({ group, calls }) => [group.month, calls])).to.deep.equal([
      ['2026-11', 1],
      ['2026-12', 1],
    ])
  })

  it('tokens that cross a limit are delivered, and the next call is refused', async () => {
    const [input, output] = ['input-tokens', 'output-tokens'] as const
    const site = await SystemBed.of([
      tokens(100, MONTH, { name: 'input', unit: input }),
      tokens(50, MONTH, { name: 'output', unit: output }),
    ])
    expect(await site.call({ tokens: [10, 60] })).to.equal(PASSES)
    expect(await site.call()).to.equal(REFUSED)
    const { statuses } = await site.bed.quota.limitsOf(site.subject())
    expect(statuses.map(({ bound, tripped }) => [bound.limit.name, tripped])).to.deep.equal([
      ['input', false],
      ['output', true],
    ])
  })

  it('the most specific of several budgets counts: user, then role, then everybody', async () => {
    const plans: readonly Plan[] = [{ name: 'site', limits: [requests(3, MONTH)] }]
    const [forUser, forRole] = [
      { for: { user: 'ann' }, limit: 'site/requests', quota: 1 },
      { for: { group: 'editor' }, limit: 'site/requests', quota: 2 },
    ]
    const site = await SystemBed.open({ plans, defaultPlans: ['site'], overrides: [forUser, forRole] })
    const ann = { user: 'ann', groups: ['editor'] }
    expect(await site.calls(2, ann)).to.deep.equal([PASSES, REFUSED])
    expect(await site.calls(3, { user: 'bob', groups: ['editor'] })).to.deep.equal([PASSES, PASSES, REFUSED])
    expect(await site.calls(4, { user: 'cid' })).to.deep.equal([PASSES, PASSES, PASSES, REFUSED])
    site.bed.quota.swap({ plans, defaultPlans: ['site'], overrides: [forRole] })
    expect(await site.calls(2, ann)).to.deep.equal([PASSES, REFUSED])
  })

  it('an administrator resets a counter, and the ledger keeps what was used', async () => {
    const site = await SystemBed.of([requests(1, MONTH)])
    expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
    await site.bed.quota.reset(site.subject(), 'requests', { by: 'root' })
    expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
    expect(await site.bed.entries()).to.have.length(2)
  })

  it('counts a call when it is made, and its tokens once, at the end of a stream', async () => {
    const site = await SystemBed.of([requests(9, MONTH), tokens(100, MONTH)])
    await site.call({ stream: true, tokens: [10, 7] })
    expect(await site.used()).to.deep.equal({ 'plan/requests': 1, 'plan/tokens': 17 })
  })

  it('a changed limit is in force now, and one of null never trips', async () => {
    const site = await SystemBed.of([requests(1, MONTH)])
    expect(await site.calls(2)).to.deep.equal([PASSES, REFUSED])
    for (const quota of [2, null]) {
      site.bed.quota.swap({ plans: [{ name: 'plan', limits: [requests(quota, MONTH)] }], defaultPlans: ['plan'] })
      expect(await site.call()).to.equal(PASSES)
    }
    expect(await site.used()).to.deep.equal({ 'plan/requests': 3 })
  })
})
