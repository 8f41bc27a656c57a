import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SAMPLES_KEPT } from '@tallygate/core'
import { SqliteCalibrationStore, SqliteLedger } from '@tallygate/store-sql'
import { describeCalibrationStore } from '@tallygate/testkit'
import { expect } from 'chai'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-calibration-'))
let files = 0
const newFile = (): string => join(folder, `learned-${(files += 1)}.db`)
after(() => rmSync(folder, { recursive: true, force: true }))

const sample = (atMs: number) => ({ counted: 10, reported: 12, atMs })
const PAGE = { offset: 0, limit: 10 }

describeCalibrationStore('SqliteCalibrationStore', (most) => SqliteCalibrationStore.open({ file: newFile(), most }))

describe('SqliteCalibrationStore', () => {
  it('finds again what was learned, in the file of a ledger', async () => {
    const file = newFile()
    const ledger = await SqliteLedger.open({ file })
    for (const atMs of [1, 2]) {
      const store = await SqliteCalibrationStore.open({ file })
      await store.add([{ name: 'a', samples: [sample(atMs)] }])
      await store.close()
      await store.close()
    }
    const store = await SqliteCalibrationStore.open({ file })
    expect(await store.load(PAGE)).to.deep.equal([{ name: 'a', samples: [sample(1), sample(2)] }])
    await store.close()
    await ledger.close()
  })

  it('loses nothing where processes add to the same series at once', async () => {
    const file = newFile()
    const script = new URL('learn-at-once.ts', import.meta.url).pathname
    const perProcess = SAMPLES_KEPT / 4
    const processes = [0, 1, 2].map((index) =>
      spawn(process.execPath, [script, file, String(index * perProcess), String(perProcess)], { stdio: 'inherit' }),
    )
    const codes = await Promise.all(processes.map(async (each) => (await once(each, 'exit'))[0] as number))
    expect(codes).to.deep.equal([0, 0, 0])
    const store = await SqliteCalibrationStore.open({ file })
    const [series] = await store.load(PAGE)
    expect(series!.samples.map(({ atMs }) => atMs)).to.deep.equal(Array.from({ length: 3 * perProcess }, (_, at) => at))
    await store.close()
  })

  it('waits for another process that has the file locked, and says so when that takes too long', async () => {
    const file = newFile()
    const store = await SqliteCalibrationStore.open({ file })
    const other = new DatabaseSync(file)
    other.exec('begin immediate')
    const added = store.add([{ name: 'a', samples: [sample(1)] }])
    await new Promise((resolve) => setTimeout(resolve, 50))
    other.exec('commit')
    await added
    other.exec('begin immediate')
    const failure = await store.add([{ name: 'a', samples: [sample(2)] }]).catch((error: unknown) => error)
    expect(failure).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
    other.close()
    expect((await store.load(PAGE))[0]!.samples).to.deep.equal([sample(1)])
    await store.close()
  })

  it('takes a row that was damaged for one that was not learned', async () => {
    const file = newFile()
    const store = await SqliteCalibrationStore.open({ file })
    await store.add([{ name: 'a', samples: [sample(1)] }])
    const other = new DatabaseSync(file)
    for (const damaged of ['', '{', '5', '[[1]]', '[5, null, ["a", "b", "c"]]']) {
      other.prepare('update calibration set samples = ?').run(damaged)
      expect(await store.load(PAGE)).to.deep.equal([{ name: 'a', samples: [] }])
    }
    other.close()
    await store.add([{ name: 'a', samples: [sample(2)] }])
    expect((await store.load(PAGE))[0]!.samples).to.deep.equal([sample(2)])
    await store.close()
  })

  it('says which file it can not open, and refuses to keep nothing', async () => {
    const failure = (options: Parameters<typeof SqliteCalibrationStore.open>[0]): Promise<unknown> =>
      SqliteCalibrationStore.open(options).catch((error: unknown) => error)
    const file = newFile()
    await (await SqliteCalibrationStore.open({ file })).close()
    const unreadable = await failure({ file: join(file, 'below-a-file.db') })
    expect(unreadable).to.have.property('code', 'ERR_QUOTA_STORE_UNAVAILABLE')
    expect(unreadable).to.have.property('message').that.includes('below-a-file.db')
    expect(await failure({ file, most: 0 })).to.have.property('code', 'ERR_QUOTA_CONFIG')
  })
})
