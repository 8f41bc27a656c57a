import { MemoryLedger, type UsageEntry } from '@tallygate/core'
import { describeLedger } from '@tallygate/testkit'
import { expect } from 'chai'

describeLedger('MemoryLedger', async () => new MemoryLedger())

describe('MemoryLedger', () => {
  it('drops the oldest entries when it is full', async () => {
    const ledger = new MemoryLedger({ most: 2 })
    const entry = (id: string): UsageEntry => ({ ...EMPTY, id })
    await ledger.append([entry('a'), entry('b')])
    await ledger.append([entry('c')])
    const kept = await ledger.entries({ tenant: 't', fromMs: 0, toMs: 1 })
    expect(kept.map(({ id }) => id)).to.deep.equal(['c', 'b'])
  })
})

const EMPTY = {
  kind: 'usage',
  tenant: 't',
  atMs: 0,
  callId: '',
  subject: 'k',
  dimensions: {},
  plans: [],
  outcome: 'complete',
  streamed: false,
  admittedAtMs: 0,
  durationMs: 0,
  charges: [],
  overage: false,
} as const
