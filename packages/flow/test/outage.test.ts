import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FileOutbox } from '@tallygate/flow'
import { SqliteLedger } from '@tallygate/store-sql'
import { Telemetry } from '@tallygate/telemetry'
import { expect } from 'chai'
import { EntryWriter } from '../src/entry-writer.ts'
import { usageEntry } from './usage-entry.ts'

const RANGE = { tenant: 'default', fromMs: 0, toMs: 9 }
const logger = { warn: (): void => {}, error: (): void => {} }

describe('a ledger that takes nothing for a while', () => {
  let folder: string
  let ledger: SqliteLedger
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-outage-'))
    ledger = await SqliteLedger.open({ file: join(folder, 'usage.db') })
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

  it('loses nothing up to the bound of the outbox, and says when that is reached', async () => {
    const outbox = await open(1_000)
    const writer = new EntryWriter({ ledger, outbox, telemetry: new Telemetry(), logger })
    const unlock = lock()
    await Promise.all(Array.from({ length: 1_000 }, (_, index) => writer.write(usageEntry(`e${index}`))))
    expect([outbox.size, writer.isBlocked]).to.deep.equal([1_000, false])
    await writer.write(usageEntry('one too many'))
    expect([outbox.size, writer.isBlocked, writer.pending]).to.deep.equal([1_000, true, 1_001])
    unlock()
    await writer.flush()
    expect([await calls(), writer.pending, writer.isBlocked]).to.deep.equal([1_001, 0, false])
    await outbox.close()
  })

  it('has, when it is back, also what waited when the process was gone', async () => {
    const outbox = await open(1_000)
    const writer = new EntryWriter({ ledger, outbox, telemetry: new Telemetry(), logger })
    const unlock = lock()
    await Promise.all(Array.from({ length: 250 }, (_, index) => writer.write(usageEntry(`e${index}`))))
    // As when it is killed: what it wrote stays, and its lock is gone.
    await outbox.close()
    const next = await open(1_000)
    expect(next.size).to.equal(250)
    unlock()
    const successor = new EntryWriter({ ledger, outbox: next, telemetry: new Telemetry(), logger })
    await successor.bringIn()
    expect([await calls(), successor.pending]).to.deep.equal([250, 0])
    await next.close()
  })
})
