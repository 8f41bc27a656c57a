import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileOutbox } from '@tallygate/flow'
import { SqliteLedger } from '@tallygate/store-sql'
import { Telemetry } from '@tallygate/telemetry'
import { testEntry } from '@tallygate/testkit'
import { expect } from 'chai'
import { EntryWriter } from '../src/entry-writer.ts'

const RANGE = { tenant: 't', fromMs: 0, toMs: 9 }
/** Entries that the ledger itself takes before it takes none, as its file is locked. */
const IN_JOURNAL = 50
const logger = { warn: (): void => {}, error: (): void => {} }

describe('a ledger that takes nothing for a while', () => {
  let folder: string
  let ledger: SqliteLedger
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-outage-'))
    ledger = await SqliteLedger.open({ file: join(folder, 'usage.db'), mostWaiting: IN_JOURNAL })
  })
  afterEach(async () => {
    await ledger.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Another process holds the file, as a backup does. Returns how to end that. */
  function lock(): () => void {
    const other = new DatabaseSync(join(folder, 'usage.db'))
    other.exec('begin immediate')
    return () => other.close()
  }

  const open = (most: number): Promise<FileOutbox> => FileOutbox.open({ folder: join(folder, 'outbox'), most })

  async function calls(): Promise<number> {
    return (await ledger.sum({ filter: RANGE, by: [] })).total.calls
  }

  const writerOf = (outbox: FileOutbox): EntryWriter =>
    new EntryWriter({ ledger, outbox, telemetry: new Telemetry(), logger })

  /** Fills the journal of the ledger: from here on it takes nothing, as long as its file is locked. */
  async function fillJournal(): Promise<void> {
    for (let index = 0; index < IN_JOURNAL; index += 1) await ledger.append([testEntry(`j${index}`)])
    const failure = await ledger.append([testEntry('refused')]).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_LEDGER_UNAVAILABLE')
  }

  const writeAll = (writer: EntryWriter, entries: number): Promise<unknown> =>
    Promise.all(Array.from({ length: entries }, (_, index) => writer.write(testEntry(`e${index}`))))

  it('loses nothing up to the bound of the outbox, and says when that is reached', async () => {
    const outbox = await open(1_000)
    const writer = writerOf(outbox)
    const unlock = lock()
    await fillJournal()
    await writeAll(writer, 1_000)
    expect([outbox.size, writer.isBlocked]).to.deep.equal([1_000, false])
    await writer.write(testEntry('one too many'))
    expect([outbox.size, writer.isBlocked, writer.pending]).to.deep.equal([1_000, true, 1_001])
    await writer.flush()
    expect([outbox.size, writer.isBlocked, writer.pending]).to.deep.equal([1_000, true, 1_001])
    unlock()
    await writer.flush()
    expect([await calls(), writer.pending, writer.isBlocked]).to.deep.equal([IN_JOURNAL + 1_001, 0, false])
    await outbox.close()
  })

  it('has, when it is back, also what waited when the process was gone', async () => {
    const outbox = await open(1_000)
    const unlock = lock()
    await fillJournal()
    await writeAll(writerOf(outbox), 250)
    // As when it is killed: what it wrote stays, and its lock is gone.
    await outbox.close()
    const next = await open(1_000)
    expect(next.size).to.equal(250)
    unlock()
    const successor = writerOf(next)
    await successor.bringIn()
    expect([await calls(), successor.pending]).to.deep.equal([IN_JOURNAL + 250, 0])
    await next.close()
  })

  it('is brought in by itself when it is back, in the order of the calls', async () => {
    const outbox = await open(1_000)
    const writer = writerOf(outbox)
    const unlock = lock()
    await fillJournal()
    await writeAll(writer, 300)
    unlock()
    while (writer.pending > 0) await new Promise((resolve) => setTimeout(resolve, 20))
    expect(await calls()).to.equal(IN_JOURNAL + 300)
    const rows = new DatabaseSync(join(folder, 'usage.db'))
    const ids = rows.prepare(`select id from entries where id like 'e%' order by rowid`).all()
    rows.close()
    expect(ids.map(({ id }) => id)).to.deep.equal(Array.from({ length: 300 }, (_, index) => `e${index}`))
    await outbox.close()
  })
})
