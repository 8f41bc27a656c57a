import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'

const FLOW = import.meta.resolve('@tallygate/flow')

/** Asks a process of its own for its default quota, as there is one in each. */
async function askedIn(folder: string, environment: Record<string, string>): Promise<string> {
  const program = `
    const { defaultQuota } = await import(${JSON.stringify(FLOW)})
    const asked = await Promise.allSettled([defaultQuota(), defaultQuota()])
    const [{ value, reason }, again] = asked
    if (reason) console.log(reason.code, reason.message)
    else console.log(value === again.value, value === (await defaultQuota()), value.isMine ?? 'default')
    await value?.close()
  `
  const args = ['--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, TALLYGATE_PEPPER: 'a pepper for tests, long enough to be one', ...environment },
  })
  return stdout.trim()
}

describe('defaultQuota', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tallygate-default-quota-'))
  })
  after(() => rm(folder, { recursive: true }))

  it('is one for the whole process, in memory, where nothing is configured', async () => {
    expect(await askedIn(folder, {})).to.equal('true true default')
  })

  for (const [file, source] of [
    ['named.mjs', `export const quota = Object.assign(createQuota(), { isMine: 'mine' })`],
    ['default.mjs', `export default Object.assign(createQuota(), { isMine: 'mine' })`],
    [
      'awaiting.mjs',
      `await new Promise(setImmediate); export const quota = Object.assign(createQuota(), { isMine: 'mine' })`,
    ],
  ] as const) {
    it(`is what TALLYGATE_CONFIG exports: ${file}`, async () => {
      await writeFile(join(folder, file), `import { createQuota } from ${JSON.stringify(FLOW)}\n${source}\n`)
      expect(await askedIn(folder, { TALLYGATE_CONFIG: file })).to.equal('true true mine')
    })
  }

  it('says what is wrong with TALLYGATE_CONFIG', async () => {
    await writeFile(join(folder, 'none.mjs'), 'export const other = 1\n')
    expect(await askedIn(folder, { TALLYGATE_CONFIG: 'none.mjs' })).to.equal(
      'ERR_QUOTA_CONFIG TALLYGATE_CONFIG names none.mjs, which exports no quota: export const quota = createQuota({ … })',
    )
    expect(await askedIn(folder, { TALLYGATE_CONFIG: 'gone.mjs' })).to.match(
      /^ERR_QUOTA_CONFIG TALLYGATE_CONFIG names gone\.mjs, which can't be loaded: /,
    )
  })
})
