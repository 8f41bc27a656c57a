import { MemoryKeyRegistry, type KeyRecord } from '@tallygate/core'
import { expect } from 'chai'
import { complaint } from './complaint.ts'

const ALICE: KeyRecord = { id: 'alice', fingerprint: 'key_0a' }

describe('MemoryKeyRegistry', () => {
  it('finds the record of a fingerprint, and of no other', async () => {
    const registry = new MemoryKeyRegistry([ALICE, { id: 'bob', fingerprint: 'key_0b', disabled: true }])
    expect(await registry.find('key_0a')).to.equal(ALICE)
    expect(await registry.find('key_0b')).to.include({ id: 'bob', disabled: true })
    for (const fingerprint of ['', 'alice', 'key_0', 'constructor'])
      expect(await registry.find(fingerprint)).to.equal(undefined)
  })

  for (const id of ['a', 'team/alice', 'a.b_c:d-e', 'A'.repeat(128)]) {
    it(`takes the id ${id}`, () =>
      expect(complaint(() => new MemoryKeyRegistry([{ ...ALICE, id }]))).to.equal('nothing'))
  }

  const bad: readonly { second: object; says: string }[] = [
    { second: { fingerprint: 'key_0b' }, says: 'two keys have the id alice: rename one' },
    { second: { id: 'bob' }, says: 'keys alice and bob have the same secret: give each its own' },
    { second: { id: '' }, says: 'keys[1].id is "": use 1 to 128' },
    { second: { id: 'a b' }, says: 'keys[1].id is "a b": use 1 to 128' },
    { second: { id: 'A'.repeat(129) }, says: 'keys[1].id is "AAA' },
    { second: { id: undefined }, says: 'keys[1].id is undefined: use 1 to 128' },
    { second: { id: 7 }, says: 'keys[1].id is 7: use 1 to 128' },
    { second: { id: 'bob', fingerprint: 'key_0b', expiresAtMs: Number.NaN }, says: 'keys[1].expiresAtMs is NaN: use' },
  ]
  for (const { second, says } of bad) {
    it(`says: ${says} …`, () => {
      const said = complaint(() => new MemoryKeyRegistry([ALICE, { ...ALICE, ...second } as KeyRecord]))
      expect(said.slice(0, 18 + says.length)).to.equal(`ERR_QUOTA_CONFIG: ${says}`)
      expect(said).to.not.include(ALICE.fingerprint)
    })
  }
})
