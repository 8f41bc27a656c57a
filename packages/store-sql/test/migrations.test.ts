import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { SqliteLedger } from '@tallygate/store-sql'
import { expect } from 'chai'
import { testEntry } from '@tallygate/testkit'

const LATER = ['priced', 'cost_nanos', 'credits', 'seconds', 'images', 'searches']
const ALWAYS = { tenant: 't', fromMs: 0, toMs: Date.UTC(2100, 0) }

describe('a ledger of an older version', () => {
  let folder: string
  let file: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-migrations-'))
    file = join(folder, 'usage.db')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** A database as it was before prices, with one entry. Returns the values of its row. */
  async function older(): Promise<unknown[]> {
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([testEntry('a')])
    await ledger.close()
    const database = new DatabaseSync(file)
    const row = Object.values(database.prepare('select * from entries').get()!).slice(0, -LATER.length)
    for (const column of LATER) database.exec(`alter table entries drop column ${column}`)
    database.exec("delete from kysely_migration where name = '0003_prices'")
    database.close()
    return row
  }

  it('has its entries as they were, and takes costs', async () => {
    await older()
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([testEntry('b', { usage: { basis: 'reported', costNanos: 5 } })])
    expect(await ledger.find('t', ['a'])).to.deep.equal([testEntry('a')])
    expect((await ledger.sum({ filter: ALWAYS, by: [] })).total).to.include({ calls: 2, priced: 1, costNanos: 5 })
    await ledger.close()
  })

  it('is brought up to date also where that was broken off in the middle', async () => {
    await older()
    const database = new DatabaseSync(file)
    for (const column of LATER.slice(0, 3)) database.exec(`alter table entries add column ${column} integer`)
    database.close()
    const ledger = await SqliteLedger.open({ file })
    expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(1)
    await ledger.close()
  })

  it('is brought up to date by two who open it at the same time', async () => {
    await older()
    const both = await Promise.all([SqliteLedger.open({ file }), SqliteLedger.open({ file })])
    for (const ledger of both) {
      expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(1)
      await ledger.close()
    }
  })

  it('has left a journal, whose rows are taken up', async () => {
    const row = await older()
    row[1] = 'left'
    const json = JSON.stringify(row)
    writeFileSync(`${file}-entries-0123456789abcdef`, `${crc32(json)} ${json}\n`)
    const damage: unknown[] = []
    const ledger = await SqliteLedger.open({ file, onDamage: (...told) => damage.push(told) })
    expect((await ledger.sum({ filter: ALWAYS, by: [] })).total.calls).to.equal(2)
    expect(await ledger.find('t', ['left'])).to.have.length(1)
    expect(damage).to.deep.equal([])
    await ledger.close()
  })
})
