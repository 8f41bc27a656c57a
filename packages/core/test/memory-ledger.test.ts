import { MemoryLedger, type UsageEntry } from '@tallygate/core'
import { describeLedger } from '@tallygate/testkit'
import { expect } from 'chai'
import { usageEntry } from './usage-entry.ts'

describeLedger('MemoryLedger', async () => new MemoryLedger())

describe('MemoryLedger', () => {
  const call = { user: 'ann', group: 'staff', model: 'gpt-4o', provider: 'openai', operation: 'chat' } as const
  for (const name of ['key', 'user', 'group', 'model', 'provider', 'operation', 'plan'] as const) {
    it(`tells apart by ${name}, as a filter and as a group, also calls without one`, async () => {
      const { user, group, ...rest } = call
      const plans = [{ name: 'pro', version: '1' }]
      const full = usageEntry({ ...rest, id: 'full', subject: 'bob', plans, dimensions: { user, group } })
      const ledger = new MemoryLedger()
      await ledger.append([full, usageEntry({ id: 'bare', subject: '' })])
      const value = { ...call, key: 'bob', plan: 'pro' }[name]
      const filter = { tenant: 'default', fromMs: 0, toMs: 1 }
      const found = await ledger.entries({ ...filter, [name]: value })
      expect(found.map(({ id }) => id)).to.deep.equal(['full'])
      expect(await ledger.entries({ ...filter, [name]: 'other' })).to.deep.equal([])
      const { rows } = await ledger.sum({ filter, by: [name] })
      const bare = name === 'key' ? '' : null
      expect(rows.map((row) => [row.group[name], row.calls])).to.deep.equal([
        [bare, 1],
        [value, 1],
      ])
    })
  }

  it('drops the oldest entries when it is full', async () => {
    const ledger = new MemoryLedger({ most: 2 })
    const entry = (id: string): UsageEntry => usageEntry({ id, tenant: 't' })
    await ledger.append([entry('a'), entry('b')])
    await ledger.append([entry('c')])
    const kept = await ledger.entries({ tenant: 't', fromMs: 0, toMs: 1 })
    expect(kept.map(({ id }) => id)).to.deep.equal(['c', 'b'])
  })
})
