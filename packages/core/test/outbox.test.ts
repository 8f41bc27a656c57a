import { MemoryOutbox, type Entry } from '@tallygate/core'
import { expect } from 'chai'
import { rejection } from './complaint.ts'
import { usageEntry } from './usage-entry.ts'

const [a, b, c] = ['a', 'b', 'c'].map((id) => usageEntry({ id })) as [Entry, Entry, Entry]

describe('MemoryOutbox', () => {
  it('gives entries in the order in which they came, and keeps them until they are removed', async () => {
    const outbox = new MemoryOutbox()
    await outbox.put([a, b])
    await outbox.put([c])
    expect(await outbox.peek(2)).to.deep.equal([a, b])
    expect(await outbox.peek(9)).to.deep.equal([a, b, c])
    await outbox.remove([a, c])
    await outbox.remove([a])
    expect([await outbox.peek(9), outbox.size]).to.deep.equal([[b], 1])
    await outbox.close()
  })

  it('takes an entry once, however often it is put, in one go or in several', async () => {
    const outbox = new MemoryOutbox({ most: 1 })
    await outbox.put([a, a])
    await outbox.put([a])
    expect(await outbox.peek(9)).to.deep.equal([a])
  })

  it('takes entries of two tenants with one id for two', async () => {
    const outbox = new MemoryOutbox()
    await outbox.put([a, usageEntry({ id: 'a', tenant: 'other' })])
    expect(outbox.size).to.equal(2)
    await outbox.remove([a])
    expect((await outbox.peek(9)).map(({ tenant }) => tenant)).to.deep.equal(['other'])
  })

  it('takes all of what is put or, where that is too much, nothing', async () => {
    const outbox = new MemoryOutbox({ most: 2 })
    await outbox.put([a])
    expect(await rejection(outbox.put([b, c]))).to.match(/^ERR_QUOTA_OUTBOX_FULL: the outbox holds 2 entries: bring/)
    expect(outbox.size).to.equal(1)
    await outbox.put([a, b])
    await outbox.remove([a])
    await outbox.put([c])
    expect(await outbox.peek(9)).to.deep.equal([b, c])
  })
})
