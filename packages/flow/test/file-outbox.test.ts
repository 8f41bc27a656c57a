import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryOutbox, type Entry, type Outbox } from '@tallygate/core'
import { FileOutbox, type FileOutboxOptions } from '@tallygate/flow'
import { runs, testEntry } from '@tallygate/testkit'
import { expect } from 'chai'
import fc from 'fast-check'

const PUT_AND_PRINT = new URL('put-and-print.ts', import.meta.url).pathname

describe('FileOutbox', () => {
  let folder: string
  const opened: FileOutbox[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-outbox-'))
  })
  afterEach(async () => {
    for (const outbox of opened.splice(0)) await outbox.close()
    rmSync(folder, { recursive: true, force: true })
  })

  async function open(options: Partial<FileOutboxOptions> = {}): Promise<FileOutbox> {
    const outbox = await FileOutbox.open({ folder, ...options })
    opened.push(outbox)
    return outbox
  }

  const files = (number = 1): string[] =>
    readdirSync(join(folder, String(number))).filter((name) => name.endsWith('.jsonl'))

  it('keeps what the ledger will never take apart, where nobody brings it in again', async () => {
    const outbox = await open()
    await outbox.put([testEntry('e1'), testEntry('e2')])
    await outbox.setAside(testEntry('e1'))
    await outbox.remove([testEntry('e1')])
    await opened.pop()!.close()
    const next = await open()
    expect((await next.peek(9)).map(({ id }) => id)).to.include('e2')
    expect(readFileSync(join(folder, '1', 'refused.jsonl'), 'utf8')).to.match(/^[0-9a-f]{8} \{.*"id":"e1".*\}\n$/)
  })

  it('does what an outbox in memory does, and is the same after it was opened anew', async () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant('put' as const), count: fc.nat(5) }),
      fc.record({ kind: fc.constant('remove' as const), most: fc.nat(8) }),
      fc.constant({ kind: 'reopen' as const }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 20 }), async (commands) => {
        const own = join(folder, `run-${Math.random()}`)
        let file = await FileOutbox.open({ folder: own })
        const memory = new MemoryOutbox()
        let ids = 0
        for (const each of commands) {
          if (each.kind === 'put') {
            const entries = Array.from({ length: each.count }, () => testEntry(`e${(ids += 1)}`))
            for (const outbox of [file, memory] as Outbox[]) await outbox.put(entries)
          } else if (each.kind === 'remove') {
            for (const outbox of [file, memory] as Outbox[]) await outbox.remove(await memory.peek(each.most))
            // A file gives out what it has of the oldest: all of it has to be removed through what was peeked.
            while (file.size > memory.size) await file.remove(await file.peek(file.size - memory.size))
          } else {
            await file.close()
            file = await FileOutbox.open({ folder: own })
            // What was removed from a file that is still there is there again: for a ledger, that is nothing new.
            while (file.size > memory.size) await file.remove(await file.peek(file.size - memory.size))
          }
          expect(file.size).to.equal(memory.size)
        }
        expect(await all(file)).to.deep.equal(await all(memory))
        await file.close()
      }),
      { numRuns: runs(30) },
    )
  })

  it('leaves no file behind when it is empty', async () => {
    const outbox = await open()
    await outbox.put([testEntry('a'), testEntry('b')])
    await outbox.remove(await outbox.peek(9))
    expect([outbox.size, files()]).to.deep.equal([0, []])
    await outbox.put([testEntry('c')])
    expect((await outbox.peek(9)).map(({ id }) => id)).to.deep.equal(['c'])
  })

  it('begins a new file when one has become long, and reads them in order', async () => {
    const outbox = await open()
    for (let index = 0; index < 30; index += 1)
      await outbox.put([{ ...testEntry(`e${index}`), model: 'm'.repeat(100_000) }])
    expect(files().length).to.be.greaterThan(2)
    expect((await all(outbox)).map(({ id }) => id)).to.deep.equal(Array.from({ length: 30 }, (_, index) => `e${index}`))
    expect(files()).to.deep.equal([])
  })

  for (const options of [{ most: 3 }, { mostBytes: 1_000 }]) {
    it(`takes all of a batch or nothing when it is full: ${JSON.stringify(options)}`, async () => {
      const outbox = await open(options)
      await outbox.put([testEntry('a'), testEntry('b')])
      const batch = ['c', 'd', 'e', 'f'].map((id) => testEntry(id))
      expect(await failure(outbox.put(batch))).to.match(/^ERR_QUOTA_OUTBOX_FULL: .* bring the ledger back/)
      expect(outbox.size).to.equal(2)
      await outbox.remove(await outbox.peek(9))
      await outbox.put([testEntry('c')])
      expect((await outbox.peek(9)).map(({ id }) => id)).to.deep.equal(['c'])
    })
  }

  it('has all that was put when the process is killed in the middle of it', async () => {
    for (let round = 0; round < runs(5); round += 1) {
      const own = join(folder, `killed-${round}`)
      const printed = await untilKilled(own, 5 + ((round * 13) % 60))
      const outbox = await FileOutbox.open({ folder: own })
      const ids = new Set((await all(outbox)).map(({ id }) => id))
      expect(printed.filter((id) => !ids.has(id))).to.deep.equal([])
      await outbox.close()
    }
  })

  it('keeps what it has when the disk takes no more', async () => {
    // A limit on the size of files: the write that crosses it comes back with a part written.
    const child = spawn('sh', [
      '-c',
      'trap "" XFSZ; ulimit -f 300; exec "$0" "$@"',
      process.execPath,
      PUT_AND_PRINT,
      folder,
    ])
    const lines = await linesOf(child)
    expect(lines.pop()).to.equal('ERR_QUOTA_OUTBOX_FULL')
    expect(lines.length).to.be.greaterThan(50)
    const outbox = await open({ onDamage: () => expect.fail('a line is damaged') })
    expect((await all(outbox)).map(({ id }) => id)).to.deep.equal(lines)
  })

  it('cuts off a line that was not finished, and goes on behind it', async () => {
    const first = await FileOutbox.open({ folder })
    await first.put([testEntry('a'), testEntry('b')])
    await first.close()
    const [name] = files()
    const path = join(folder, '1', name!)
    truncateSync(path, readFileSync(path).length - 20)
    const outbox = await open()
    await outbox.put([testEntry('c')])
    expect((await all(outbox)).map(({ id }) => id)).to.deep.equal(['a', 'c'])
  })

  it('passes over a line that is damaged, says so, and keeps its file', async () => {
    const first = await FileOutbox.open({ folder })
    await first.put(['a', 'b', 'c'].map((id) => testEntry(id)))
    await first.close()
    const path = join(folder, '1', files()[0]!)
    writeFileSync(path, readFileSync(path, 'utf8').replace('"id":"b"', '"id":"x"'))
    appendFileSync(path, 'not one of ours\n')
    const told: number[] = []
    const outbox = await open({ onDamage: (_, lines) => told.push(lines) })
    expect((await all(outbox)).map(({ id }) => id)).to.deep.equal(['a', 'c'])
    expect(told).to.deep.equal([2])
    expect(readdirSync(join(folder, '1')).filter((name) => name.endsWith('.damaged'))).to.have.length(1)
  })

  it('gives each process a folder of its own, and takes over those of processes that are gone', async () => {
    const [one, other] = [await open(), await open()]
    await one.put([testEntry('a')])
    await other.put([testEntry('b')])
    expect([files(1).length, files(2).length]).to.deep.equal([1, 1])
    await Promise.all([one.close(), other.close()])
    opened.splice(0)
    const next = await open()
    expect(next.size).to.equal(2)
    expect((await all(next)).map(({ id }) => id).toSorted()).to.deep.equal(['a', 'b'])
  })

  it('survives a loss of power, if it is told to: what is put is written through', async () => {
    const outbox = await open({ durability: 'power' })
    await outbox.put([testEntry('a')])
    expect(outbox.size).to.equal(1)
  })

  for (const [options, says] of [
    [{ folder: '' }, /FileOutbox.folder is ""/],
    [{ most: 0 }, /FileOutbox.most is 0: use a whole number from 1/],
    [{ folder: process.execPath }, /can't be opened: .*(EEXIST|ENOTDIR)/],
  ] as const) {
    it(`refuses ${JSON.stringify(options)}`, async () => {
      expect(await failure(FileOutbox.open({ folder, ...options }))).to.match(says)
    })
  }

  it('fails where a folder takes none, and does not try without end', () => {
    const text = `import { FileOutbox } from '@tallygate/flow'
      await FileOutbox.open({ folder: '/proc/nothing/outbox' }).catch(({ code }) => console.log(code))`
    const options = { cwd: import.meta.dirname, timeout: 10_000 }
    const tried = spawnSync(process.execPath, ['--input-type=module', '--eval', text], options)
    expect([tried.signal, tried.stdout.toString()]).to.deep.equal([null, 'ERR_QUOTA_CONFIG\n'])
  })
})

/** All that is in an outbox, which is empty then. */
async function all(outbox: Outbox): Promise<Entry[]> {
  const found: Entry[] = []
  for (;;) {
    const some = await outbox.peek(7)
    if (some.length === 0) return found
    found.push(...some)
    await outbox.remove(some)
  }
}

async function failure(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'nothing failed',
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  )
}

/** Ids that a process has printed before it was killed, so many milliseconds after the first. */
async function untilKilled(folder: string, afterMs: number): Promise<string[]> {
  const child = spawn(process.execPath, [PUT_AND_PRINT, folder])
  child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), afterMs))
  return linesOf(child)
}

async function linesOf(child: ReturnType<typeof spawn>): Promise<string[]> {
  let text = ''
  child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  await once(child, 'close')
  // The last line may not be whole.
  return text.split('\n').slice(0, -1)
}
