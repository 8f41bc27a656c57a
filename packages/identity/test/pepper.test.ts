import { isQuotaError } from '@tallygate/core'
import { fingerprint, pepperFromFile, pepperOf } from '@tallygate/identity'
import { expect } from 'chai'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { inspect } from 'node:util'

const SECRET = 'the secret of a deployment, at random'

describe('pepperOf', () => {
  it('makes the same pepper of the same text, whatever blanks are around it', () => {
    const prints = [SECRET, `${SECRET}\n`, `  ${SECRET}`].map((text) => fingerprint(pepperOf(text), 'key'))
    expect(new Set(prints)).to.have.property('size', 1)
  })

  for (const { text, characters } of [
    { text: '', characters: 0 },
    { text: 'x'.repeat(31), characters: 31 },
    { text: `${'x'.repeat(31)}${' '.repeat(40)}`, characters: 31 },
  ]) {
    it(`refuses ${characters} characters and ${text.length - characters} blanks`, () => {
      expect(said(() => pepperOf(text))).to.equal(`the pepper has ${characters} characters: use at least 32, at random`)
    })
  }

  it('takes 32 characters, and shows none of them', () => {
    expect(inspect(pepperOf('x'.repeat(32)), { depth: 9, showHidden: true })).to.not.include('xx')
    expect(JSON.stringify(pepperOf('x'.repeat(32)))).to.not.include('xx')
  })
})

describe('pepperFromFile', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tallygate-pepper-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('creates the file and its folders, for its owner alone, and leaves nothing else behind', () => {
    const file = join(folder, 'a', 'b', 'pepper')
    const print = fingerprint(pepperFromFile(file), 'key')
    expect(statSync(file).mode & 0o777).to.equal(0o600)
    expect(statSync(join(folder, 'a', 'b')).mode & 0o077).to.equal(0)
    expect(readdirSync(join(folder, 'a', 'b'))).to.deep.equal(['pepper'])
    expect(readFileSync(file, 'utf8')).to.match(/^[\w-]{43}\n$/)
    expect(fingerprint(pepperFromFile(file), 'key')).to.equal(print)
    expect(fingerprint(pepperFromFile(join(folder, 'other')), 'key')).to.not.equal(print)
  })

  it('takes the secret that stands in a file, and leaves it as it is', () => {
    const file = join(folder, 'pepper')
    writeFileSync(file, `${SECRET}\n`)
    expect(fingerprint(pepperFromFile(file), 'key')).to.equal(fingerprint(pepperOf(SECRET), 'key'))
    expect(readFileSync(file, 'utf8')).to.equal(`${SECRET}\n`)
  })

  it('is one pepper for processes that ask at the same moment', async () => {
    for (let round = 0; round < 3; round += 1) {
      const file = join(folder, `round-${round}`, 'pepper')
      const prints = await printsOf(file, 4)
      expect(prints).to.deep.equal(prints.map(() => fingerprint(pepperFromFile(file), 'text')))
      expect(readdirSync(join(folder, `round-${round}`))).to.deep.equal(['pepper'])
    }
  })

  it('fails where a folder takes none, and does not try without end', () => {
    const text = `import { pepperFromFile } from '@tallygate/identity'
      try { pepperFromFile('/proc/nothing/below/pepper') } catch ({ code }) { console.log(code) }`
    const options = { cwd: import.meta.dirname, timeout: 10_000 }
    const tried = spawnSync(process.execPath, ['--input-type=module', '--eval', text], options)
    expect([tried.signal, tried.stdout.toString()]).to.deep.equal([null, 'ERR_QUOTA_CONFIG\n'])
  })

  const unusable: readonly { what: string; make: (file: string) => void; says: RegExp }[] = [
    { what: 'a folder', make: (file) => mkdirSync(file), says: /EISDIR.*make its folder writable/ },
    { what: 'a file in a file', make: (file) => writeFileSync(join(file, '..'), SECRET), says: /ENOTDIR/ },
    { what: 'an empty file', make: (file) => writeFileSync(file, ''), says: /has 0 characters.*write a longer secret/ },
    { what: 'one with too little in it', make: (file) => writeFileSync(file, 'hunter2'), says: /has 7 characters/ },
  ]
  for (const { what, make, says } of unusable) {
    it(`refuses ${what}: names it, says what to do, and does not repeat what is in it`, () => {
      const file = join(folder, 'within', 'pepper')
      if (what !== 'a file in a file') mkdirSync(join(folder, 'within'))
      make(file)
      const message = said(() => pepperFromFile(file))
      expect(message).to.match(says).and.include(`the pepper file ${file} can't be used`)
      expect(message).to.not.include(SECRET).and.not.include('hunter2')
    })
  }
})

/** What an error with `ERR_QUOTA_CONFIG` says. */
function said(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (isQuotaError(error, 'ERR_QUOTA_CONFIG')) return error.message
    throw error
  }
  return 'nothing'
}

/** Lets processes ask for the pepper of a file, all at one word. */
async function printsOf(file: string, count: number): Promise<string[]> {
  const program = join(import.meta.dirname, 'print-pepper.ts')
  const children = Array.from({ length: count }, () => {
    const child = spawn(process.execPath, [program, file], { stdio: ['pipe', 'pipe', 'inherit'] })
    return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator](), exited: once(child, 'exit') }
  })
  for (const { lines } of children) expect(await lines.next()).to.include({ value: 'ready' })
  for (const { child } of children) child.stdin.write('go\n')
  const prints = await Promise.all(children.map(async ({ lines }) => String((await lines.next()).value)))
  const ends = await Promise.all(children.map(({ exited }) => exited))
  expect(ends.map(([code]: unknown[]) => code)).to.deep.equal(ends.map(() => 0))
  return prints
}
