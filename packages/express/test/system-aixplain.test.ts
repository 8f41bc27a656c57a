import { expect } from 'chai'
import { DAY, PASSES, REFUSED, requests, SystemBed, tokens } from './system-bed.ts'
import { closeTestBeds } from './test-bed.ts'

describe('What operators of aiXplain find again', () => {
  afterEach(closeTestBeds)

  const [minute, day] = [
    { kind: 'fixed', every: 'minute' },
    { kind: 'fixed', every: 'day' },
  ] as const
  const next = { onChange: { quota: 'next-window' } } as const

  it('trips when requests a minute are reached; the next minute of the clock passes', async () => {
    const team = await SystemBed.of([requests(2, minute, next)])
    team.bed.clock.advance(45_000)
    expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
    team.bed.clock.advance(15_000)
    expect(await team.call()).to.equal(PASSES)
  })

  it('a day ends at midnight, UTC', async () => {
    const team = await SystemBed.of([requests(1, day, next)])
    expect(await team.calls(2)).to.deep.equal([PASSES, REFUSED])
    team.bed.clock.set(Date.UTC(2026, 10, 22) - 1)
    expect(await team.call()).to.equal(REFUSED)
    team.bed.clock.advance(1)
    expect(await team.call()).to.equal(PASSES)
  })

  it('limits of an asset and of all are enforced together, and one that refuses charges neither', async () => {
    const asset = { name: 'asset', per: ['key', 'model'], when: { model: ['gpt-4o'] } }
    const team = await SystemBed.of([requests(3, day, { name: 'global' }), requests(2, day, asset)])
    expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
    expect(await team.used()).to.deep.include({ 'plan/global': 2 })
    const other = { model: 'gpt-4o-mini' }
    expect(await team.calls(2, other)).to.deep.equal([PASSES, REFUSED])
  })

  it('counts tokens in and out, known after the call: the crossing one is delivered', async () => {
    const team = await SystemBed.of([tokens(10, minute, next)])
    expect(await team.calls(2, { tokens: [6, 6] })).to.deep.equal([PASSES, REFUSED])
    expect(await team.used()).to.deep.equal({ 'plan/tokens': 12 })
  })

  it('a changed limit applies from the next day on', async () => {
    const team = await SystemBed.of([requests(5, day, next)])
    await team.calls(3)
    team.bed.quota.swap({ plans: [{ name: 'plan', limits: [requests(2, day, next)] }], defaultPlans: ['plan'] })
    expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
    team.bed.clock.advance(DAY)
    expect(await team.calls(3)).to.deep.equal([PASSES, PASSES, REFUSED])
  })

  it('a budget never comes back, and credits can be added at once', async () => {
    const team = await SystemBed.of([tokens(10, { kind: 'lifetime' }, { name: 'budget' })])
    expect(await team.calls(2, { tokens: [6, 4] })).to.deep.equal([PASSES, REFUSED])
    team.bed.clock.advance(400 * DAY)
    expect(await team.call()).to.equal(REFUSED)
    await team.bed.quota.topUp(team.subject(), 'budget', 5)
    expect(await team.calls(2, { tokens: [4, 1] })).to.deep.equal([PASSES, REFUSED])
  })
})
