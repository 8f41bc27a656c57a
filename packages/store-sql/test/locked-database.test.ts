import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { mock } from 'node:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SqliteLedger, type LedgerOutage } from '@tallygate/store-sql'
import { testEntry } from '@tallygate/testkit'
import { expect } from 'chai'

const ALWAYS = { tenant: 't', fromMs: 0, toMs: 10 }

describe('a SqliteLedger whose database another process has locked', () => {
  let folder: string
  let file: string
  let other: DatabaseSync
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-locked-'))
    file = join(folder, 'usage.db')
    await (await SqliteLedger.open({ file })).close()
    other = new DatabaseSync(file)
  })
  afterEach(() => {
    other.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const lock = (): void => other.exec('begin immediate')
  const unlock = (): void => other.exec('rollback')
  const calls = async (ledger: SqliteLedger): Promise<number> =>
    (await ledger.sum({ filter: ALWAYS, by: [] })).total.calls
  /** Appends, one by one, entries with numbers up to one. */
  const append = async (ledger: SqliteLedger, from: number, to: number): Promise<void> => {
    for (let number = from; number < to; number += 1) await ledger.append([testEntry(`e${number}`)])
  }
  const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'none',
      (error: unknown) => (error as { code?: unknown }).code,
    )

  it('takes thousands of entries all the same, and no append waits for the lock', async () => {
    const ledger = await SqliteLedger.open({ file })
    lock()
    // Should each wait but 20 ms, this would take two minutes.
    await append(ledger, 0, 6_000)
    unlock()
    expect(await calls(ledger)).to.equal(6_000)
    await ledger.close()
  })

  it('refuses, from its bound on, whole batches, and takes more when it is free', async () => {
    const ledger = await SqliteLedger.open({ file, mostWaiting: 700 })
    lock()
    await append(ledger, 0, 700)
    const batch = [testEntry('x'), testEntry('y')]
    // Nor do these wait for the lock: with 20 ms each, this would take a minute.
    for (let tries = 0; tries < 3_000; tries += 1)
      expect(await codeOf(ledger.append(batch))).to.equal('ERR_QUOTA_LEDGER_UNAVAILABLE')
    unlock()
    await ledger.append(batch)
    expect(await calls(ledger)).to.equal(702)
    await ledger.close()
  })

  it('brings in by itself what waited, when it is free', async () => {
    const ledger = await SqliteLedger.open({ file })
    lock()
    await append(ledger, 0, 1_200)
    await new Promise((resolve) => setTimeout(resolve, 150))
    unlock()
    const stored = (): unknown => other.prepare('select count(*) as entries from entries').get()!['entries']
    while (stored() !== 1_200) await new Promise((resolve) => setTimeout(resolve, 10))
    await ledger.close()
  })

  it('answers a question when it is free, and closes then, with all that was appended', async () => {
    const ledger = await SqliteLedger.open({ file })
    for (const [expected, question] of [
      [1, () => calls(ledger)],
      [2, () => ledger.find('t', ['e0', 'e1']).then((found) => found.length)],
      [undefined, () => ledger.close()],
    ] as const) {
      lock()
      await ledger.append([testEntry(`e${(expected ?? 3) - 1}`)])
      setTimeout(unlock, 100)
      expect(await question()).to.equal(expected)
    }
    const again = await SqliteLedger.open({ file })
    expect(await calls(again)).to.equal(3)
    await again.close()
  })

  it('rejects a question that waits too long, rather than leave out what it does not see', async () => {
    const ledger = await SqliteLedger.open({ file })
    lock()
    await append(ledger, 0, 1)
    expect(await codeOf(ledger.find('t', ['e0']))).to.equal('ERR_QUOTA_LEDGER_UNAVAILABLE')
    unlock()
    expect(await ledger.find('t', ['e0'])).to.have.length(1)
    await ledger.close()
  })

  describe('says so', () => {
    let outages: LedgerOutage[]
    let ledger: SqliteLedger
    let nowMs: number
    beforeEach(async () => {
      outages = []
      nowMs = Math.ceil(performance.now())
      ledger = await SqliteLedger.open({ file, onOutage: (outage) => void outages.push(outage) })
      mock.method(performance, 'now', () => nowMs)
    })
    afterEach(async () => {
      mock.restoreAll()
      await ledger.close()
    })

    /** Time for some tries: they come after 50, 100 and 200 ms. */
    const meanwhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 400))
    const told = async (): Promise<readonly LedgerOutage[]> => {
      while (outages.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      return outages.splice(0)
    }
    /** What is told as time goes by. */
    const laterTold = async (): Promise<readonly LedgerOutage[]> => {
      for (; outages.length === 0; nowMs += 10) await new Promise((resolve) => setTimeout(resolve, 5))
      return outages.splice(0)
    }
    const allTaken = async (): Promise<void> => {
      while (ledger.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }

    it('at once where it is no lock, then once a minute, and when it has taken all', async () => {
      other.exec("create trigger full before insert on entries begin select raise(abort, 'disk is full'); end")
      await append(ledger, 0, 3)
      expect(await told()).to.deep.equal([{ isOver: false, cause: 'disk is full', waiting: 3, forMs: 0 }])
      nowMs += 59_999
      await append(ledger, 3, 4)
      await meanwhile()
      expect(outages).to.deep.equal([])
      nowMs += 1
      expect(await told()).to.deep.equal([{ isOver: false, cause: 'disk is full', waiting: 4, forMs: 60_000 }])
      other.exec('drop trigger full')
      expect(await told()).to.deep.equal([{ isOver: true, cause: 'disk is full', waiting: 0, forMs: 60_000 }])
      expect(await calls(ledger)).to.equal(4)
    })

    it('of a lock when it has lasted for a second, and not of one that is soon over', async () => {
      lock()
      await append(ledger, 0, 1)
      await meanwhile()
      unlock()
      await allTaken()
      nowMs += 5_000
      lock()
      await append(ledger, 1, 2)
      await meanwhile()
      expect(outages).to.deep.equal([])
      const [begun] = await laterTold()
      expect(begun).to.include({ isOver: false, cause: 'database is locked', waiting: 1 })
      expect(begun!.forMs).to.be.at.least(1_000)
      unlock()
      expect((await told())[0]).to.include({ isOver: true, cause: 'database is locked', waiting: 0 })
    })

    it('no more than once a minute, however often it comes and goes', async () => {
      lock()
      await append(ledger, 0, 1)
      await laterTold()
      unlock()
      expect((await told())[0]).to.include({ isOver: true })
      for (const times of [1, 2, 3]) {
        lock()
        await append(ledger, times, times + 1)
        // The first try begins an outage that a later one would tell.
        await meanwhile()
        nowMs += 2_000
        await meanwhile()
        unlock()
        await allTaken()
      }
      expect(outages).to.deep.equal([])
    })
  })

  it('takes nothing when it is closed', async () => {
    const ledger = await SqliteLedger.open({ file })
    await ledger.close()
    expect(await codeOf(ledger.append([testEntry('a')]))).to.equal('ERR_QUOTA_LEDGER_UNAVAILABLE')
  })
})
