import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { SqliteLedger } from '@tallygate/store-sql'
import { testEntry } from '@tallygate/testkit'
import { expect } from 'chai'

describe('the journal of a SqliteLedger', () => {
  let folder: string
  let file: string
  /** What was told of damage. */
  let told: [file: string, lines: number][]
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-journal-'))
    file = join(folder, 'usage.db')
    told = []
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const journals = (): string[] => readdirSync(folder).filter((name) => /-entries-[0-9a-f]+$/.test(name))
  const calls = async (): Promise<number> => {
    const ledger = await SqliteLedger.open({ file, onDamage: (...damage) => told.push(damage) })
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
    await ledger.append([testEntry('a'), testEntry('b')])
    const [journal] = journals()
    expect(readFileSync(join(folder, journal!), 'utf8').split('\n')).to.have.length(3)
    expect(await ledger.entries({ tenant: 't', fromMs: 0, toMs: 10 })).to.have.length(2)
    expect(readFileSync(join(folder, journal!), 'utf8')).to.equal('')
    await ledger.close()
    expect(journals()).to.deep.equal([])
    expect(await calls()).to.equal(2)
  })

  it('tells whoever opens the ledger how many others write to it just now', async () => {
    const shared: number[] = []
    const open = (): Promise<SqliteLedger> => SqliteLedger.open({ file, onShared: (others) => shared.push(others) })
    appendAndDie()
    const one = await open()
    const two = await open()
    const three = await open()
    expect(shared).to.deep.equal([1, 2])
    await Promise.all([one, two].map((ledger) => ledger.close()))
    await (await open()).close()
    await three.close()
    await (await open()).close()
    expect(shared).to.deep.equal([1, 2, 1])
  })

  it('reaches the database by itself', async () => {
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([testEntry('a')])
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

  it('leaves nothing behind, whoever was killed', async () => {
    appendAndDie()
    await calls()
    expect(readdirSync(folder).filter((name) => name !== 'usage.db')).to.deep.equal([])
  })

  it('replaces a call that another process has found expired, and is not replaced by that', async () => {
    const journal = appendAndDie()
    const text = readFileSync(journal)
    rmSync(journal)
    const expired = { ...testEntry('one'), outcome: 'expired' } as const
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([expired])
    await ledger.close()
    writeFileSync(journal, text)
    expect(await calls()).to.equal(101)
    const again = await SqliteLedger.open({ file })
    await again.append([expired])
    expect((await again.find('t', ['one']))[0]).to.include({ outcome: 'complete' })
    await again.close()
  })

  for (const [what, damage] of Object.entries({
    'breaks off in a line': (lines: Buffer[]) => [...lines, lines[1]!.subarray(0, 40)],
    'has a line that breaks off in another': (lines: Buffer[]) => [lines[0]!.subarray(0, 40), ...lines],
    'has a figure that was another': (lines: Buffer[]) => [
      Buffer.from(lines[5]!.toString().replace('usage', 'usagf')),
      ...lines.slice(0, 5),
      ...lines.slice(6),
      lines[5]!,
    ],
    'ends in zeros': (lines: Buffer[]) => [...lines, Buffer.alloc(512)],
    'has bytes that are no text': (lines: Buffer[]) => [...lines, Buffer.from([0xff, 0x80, 0x20, 0xc3, 0x0a])],
    'has a row of another version': (lines: Buffer[]) => [...lines, lineOf(['t', 'x', 'usage', 1])],
    'has a row that the database refuses': (lines: Buffer[]) => [...lines, lineOf(rowWith(lines[0]!, 6, ['a', 'b']))],
    'has a row without a tenant': (lines: Buffer[]) => [...lines, lineOf(rowWith(lines[0]!, 0, null))],
  })) {
    it(`that ${what} gives back all other rows; what is none is set aside, and told`, async () => {
      const journal = appendAndDie()
      const lines = linesOf(readFileSync(journal))
      const damaged = damage(lines)
      writeFileSync(journal, Buffer.concat(damaged))
      const rows = what.includes('breaks off in another') ? 100 : 101
      expect(await calls()).to.equal(rows)
      expect(journals()).to.deep.equal([])
      expect(told).to.deep.equal([[`${journal}.damaged`, 1]])
      const aside = readFileSync(`${journal}.damaged`)
      expect(Buffer.concat(damaged).includes(aside)).to.equal(true)
      expect(await calls()).to.equal(rows)
      expect(told).to.have.length(1)
      expect(readFileSync(`${journal}.damaged`).equals(aside)).to.equal(true)
    })
  }

  it('of a process that runs is left to it, and taken up when it is gone', async () => {
    const other = spawn(process.execPath, [new URL('append-and-stay.ts', import.meta.url).pathname, file])
    try {
      await once(other.stdout, 'data')
      expect(await calls()).to.equal(0)
      expect(journals()).to.have.length(1)
      other.stdin.write('go')
      await once(other.stdout, 'data')
      expect(await calls()).to.equal(0)
    } finally {
      other.kill('SIGKILL')
      await once(other, 'exit')
    }
    expect(await calls()).to.equal(1)
    expect(journals()).to.deep.equal([])
  })

  it('has what was acknowledged, of processes that share a file and are killed at any time while others start', async function () {
    this.timeout(120_000)
    const acknowledged: string[] = []
    const live = async (name: string): Promise<void> => {
      const script = new URL('append-until-killed.ts', import.meta.url).pathname
      const child = spawn(process.execPath, [script, file, name], { stdio: ['ignore', 'pipe', 'inherit'] })
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
      const closed = once(child, 'close')
      // One that can't open the file for all the others ends by itself, and has acknowledged nothing.
      await Promise.race([once(child.stdout, 'data'), closed])
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 300))
      child.kill('SIGKILL')
      await closed
      // The last line may have been cut off.
      acknowledged.push(
        ...output
          .split('\n')
          .slice(0, -1)
          .flatMap((line) => line.split(' ')),
      )
    }
    const lives = async (slot: number): Promise<void> => {
      for (let life = 0; life < 4; life += 1) await live(`${slot}-${life}`)
    }
    await Promise.all([lives(1), lives(2), lives(3)])
    const ledger = await SqliteLedger.open({ file, onDamage: (...damage) => told.push(damage) })
    const found: string[] = []
    for (let from = 0; from < acknowledged.length; from += 1_000) {
      const entries = await ledger.find('t', acknowledged.slice(from, from + 1_000))
      found.push(...entries.map(({ id }) => id))
    }
    await ledger.close()
    expect(found.sort()).to.deep.equal(acknowledged.sort())
    expect(told).to.deep.equal([])
    expect(acknowledged).to.have.length.above(100)
    expect(readdirSync(folder)).to.deep.equal(['usage.db'])
  })

  it('of a ledger in this process is left to it, however old it looks', async () => {
    const ledger = await SqliteLedger.open({ file })
    utimesSync(join(folder, journals()[0]!), 1, 1)
    expect(await calls()).to.equal(0)
    expect(journals()).to.have.length(1)
    await ledger.append([testEntry('a')])
    await ledger.close()
    expect(await calls()).to.equal(1)
  })

  it('of a process that is gone is taken up, though its id belongs to another', async () => {
    renameSync(appendAndDie(), `${file}-entries-${process.ppid}`)
    expect(await calls()).to.equal(101)
    expect(journals()).to.deep.equal([])
  })

  it('of a ledger that was closed while the database was locked is taken up by the same process', async () => {
    const ledger = await SqliteLedger.open({ file })
    await ledger.append([testEntry('a')])
    const other = new DatabaseSync(file)
    other.exec('begin immediate')
    const failure = await ledger.close().catch((error: unknown) => error)
    other.close()
    expect(failure).to.have.property('code', 'ERR_QUOTA_LEDGER_UNAVAILABLE')
    expect(await calls()).to.equal(1)
    expect(journals()).to.deep.equal([])
  })
})

/** Lines with their ends. */
function linesOf(bytes: Buffer): Buffer[] {
  const lines = bytes.toString().split('\n').slice(0, -1)
  return lines.map((line) => Buffer.from(`${line}\n`))
}

/** A line as the journal writes it. */
function lineOf(row: unknown): Buffer {
  const json = JSON.stringify(row)
  return Buffer.from(`${crc32(json)} ${json}\n`)
}

/** The row of a line, with another id, and another value in one place. */
function rowWith(line: Buffer, at: number, value: unknown): unknown[] {
  const text = line.toString()
  const row = JSON.parse(text.slice(text.indexOf(' '))) as unknown[]
  return row.with(1, 'x').with(at, value)
}
