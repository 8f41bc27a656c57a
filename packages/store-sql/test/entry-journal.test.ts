import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { UsageEntry } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { expect } from 'chai'

/** Beyond what any system gives to a process. */
const NOBODY = 2 ** 30

describe('the journal of a SqliteLedger', () => {
  let folder: string
  let file: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-journal-'))
    file = join(folder, 'usage.db')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const journals = (): string[] => readdirSync(folder).filter((name) => name.includes('-entries-'))
  const calls = async (): Promise<number> => {
    const ledger = await SqliteLedger.open({ file })
    const { total } = await ledger.sum({ filter: { tenant: 't', fromMs: 0, toMs: Date.UTC(2100, 0) }, by: [] })
    await ledger.close()
    return total.calls
  }
  /** Kills a process that has appended 101 entries; returns its journal. */
  const appendAndDie = (): string => {
    const killed = spawnSync(process.execPath, [new URL('append-and-die.ts', import.meta.url).pathname, file])
    expect(killed.signal, killed.stderr.toString()).to.equal('SIGKILL')
    const [journal] = journals()
    return join(folder, journal!)
  }

  it('holds what was appended until the database has it, and is gone when the ledger is closed', async () => {
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([entry('a'), entry('b')])
    const [journal] = journals()
    expect(readFileSync(join(folder, journal!), 'utf8').split('\n')).to.have.length(3)
    expect(await ledger.entries({ tenant: 't', fromMs: 0, toMs: 10 })).to.have.length(2)
    expect(readFileSync(join(folder, journal!), 'utf8')).to.equal('')
    await ledger.close()
    expect(journals()).to.deep.equal([])
    expect(await calls()).to.equal(2)
  })

  it('reaches the database by itself', async () => {
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([entry('a')])
    const journal = join(folder, journals()[0]!)
    while (readFileSync(journal, 'utf8') !== '') await new Promise((resolve) => setTimeout(resolve, 5))
    await ledger.close()
    expect(await calls()).to.equal(1)
  })

  it('of a process that was killed is taken up, once', async () => {
    appendAndDie()
    expect(await calls()).to.equal(101)
    expect(journals()).to.deep.equal([])
    expect(await calls()).to.equal(101)
  })

  it('that was stored and not removed adds nothing', async () => {
    const journal = appendAndDie()
    const text = readFileSync(journal)
    expect(await calls()).to.equal(101)
    writeFileSync(journal, text)
    expect(await calls()).to.equal(101)
  })

  it('replaces a call that another process has found expired, and is not replaced by that', async () => {
    const journal = appendAndDie()
    const text = readFileSync(journal)
    rmSync(journal)
    const ledger = await SqliteLedger.open({ file })
    const [first] = text.toString().split('\n')
    const [tenant, id] = JSON.parse(first!) as [string, string]
    await ledger.append([{ ...entry(id), tenant, outcome: 'expired' }])
    await ledger.close()
    writeFileSync(journal, text)
    expect(await calls()).to.equal(101)
    const again = await SqliteLedger.open({ file })
    await again.append([{ ...entry(id), tenant, outcome: 'expired' }])
    expect((await again.find(tenant, [id]))[0]).to.include({ outcome: 'complete' })
    await again.close()
  })

  it('that breaks off in a line loses that line alone, which nobody was told of', async () => {
    const journal = appendAndDie()
    appendFileSync(journal, readFileSync(journal, 'utf8').slice(0, 40))
    expect(await calls()).to.equal(101)
  })

  it('that is damaged is left as it is, and named', async () => {
    const journal = appendAndDie()
    const lines = readFileSync(journal, 'utf8').split('\n')
    lines[1] = '["half'
    writeFileSync(journal, lines.join('\n'))
    const failure = await SqliteLedger.open({ file }).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_LEDGER_UNAVAILABLE')
    expect(failure).to.have.property('message').that.includes(`${journal}:2`)
    expect(readFileSync(journal, 'utf8').split('\n')).to.deep.equal(lines)
  })

  it('of a process that runs is left to it; one of an earlier life with our id is taken up', async () => {
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([entry('a')])
    const [row] = readFileSync(join(folder, journals()[0]!), 'utf8').split('\n')
    const journalOf = (pid: number): string => `${file}-entries-${pid}-00000000`
    writeFileSync(journalOf(process.ppid), `${row!.replace('"a"', '"b"')}\n`)
    writeFileSync(journalOf(process.pid), `${row!.replace('"a"', '"c"')}\n`)
    utimesSync(journalOf(process.pid), 1, 1)
    writeFileSync(journalOf(NOBODY), `${row!.replace('"a"', '"d"')}\n`)
    const other = await SqliteLedger.open({ file })
    expect(journals().filter((name) => name.endsWith('00000000'))).to.deep.equal([
      `usage.db-entries-${process.ppid}-00000000`,
    ])
    const found = await other.entries({ tenant: 't', fromMs: 0, toMs: 10 })
    expect(found.map(({ id }) => id))
      .to.include.members(['c', 'd'])
      .and.not.include('b')
    await other.close()
    await ledger.close()
    rmSync(journalOf(process.ppid))
    expect(await calls()).to.equal(3)
  })
})

function entry(id: string): UsageEntry {
  const nothing = { dimensions: {}, plans: [], charges: [] }
  const ended = { outcome: 'complete', streamed: false, overage: false, admittedAtMs: 1, durationMs: 0 } as const
  return { kind: 'usage', id, tenant: 't', atMs: 1, callId: id, subject: 'k', ...nothing, ...ended }
}
