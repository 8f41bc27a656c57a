import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get as httpGet, request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { SqliteLedger } from '@tallygate/store-sql'
import { startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { LEAST } from './config-mistakes.ts'
import {
  chat,
  closeAll,
  COMMAND,
  get,
  onClose,
  PROMPT,
  SECRETS,
  usageOf,
  writeSetting,
  type Setting,
} from './running-gateway.ts'

describe('tallygate check-config', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-cli-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  const check = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [COMMAND, 'check-config', ...args], { encoding: 'utf8', cwd: folder })

  it('exits 0 for a configuration that can work', () => {
    writeFileSync(join(folder, 'quota.yaml'), LEAST)
    expect(check()).to.deep.include({ status: 0, stdout: 'quota.yaml: ok\n', stderr: '' })
  })

  it('exits 1 with file, line, column and key of every mistake, and nothing else', () => {
    const text = `providers:\n  a: { target: http://a }\nlog: loud\nlisten: { prot: 1 }\n`
    writeFileSync(join(folder, 'bad.yaml'), text)
    const { status, stdout, stderr } = check('bad.yaml')
    expect([status, stdout]).to.deep.equal([1, ''])
    expect(stderr).to.equal(
      'bad.yaml:3:1: log: use debug, info, warn, error, silent\nbad.yaml:4:11: listen.prot: there is no such key\n',
    )
  })

  it('exits 1 for a secret that neither the environment nor a file has', () => {
    writeFileSync(join(folder, 'secret.yaml'), `${LEAST}pepper: \${TEST_PEPPER}\n`)
    const { status, stderr } = check('secret.yaml')
    expect(status).to.equal(1)
    expect(stderr).to.equal(
      'secret.yaml:2:9: TEST_PEPPER: the environment has neither TEST_PEPPER nor TEST_PEPPER_FILE\n',
    )
  })

  it('exits 1 for a file that is not there', () => {
    const { status, stderr } = check('none.yaml')
    expect(status).to.equal(1)
    expect(stderr).to.match(/^none\.yaml:1:1: can't be read: ENOENT[^\n]*\n$/)
  })
})

describe('tallygate schema', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tallygate-schema-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('prints a schema that editors can read, or writes it', () => {
    const printed = spawnSync(process.execPath, [COMMAND, 'schema'], { encoding: 'utf8' })
    expect(printed.status).to.equal(0)
    expect(JSON.parse(printed.stdout)).to.include({ $schema: 'https://json-schema.org/draft/2020-12/schema' })
    const out = join(folder, 'quota.schema.json')
    expect(spawnSync(process.execPath, [COMMAND, 'schema', '--out', out], { encoding: 'utf8' }).stdout).to.equal('')
    expect(readFileSync(out, 'utf8')).to.equal(printed.stdout)
  })

  it('exits 1 with one line for a file that can not be written', () => {
    const { status, stderr } = spawnSync(process.execPath, [COMMAND, 'schema', '--out', folder], { encoding: 'utf8' })
    expect(status).to.equal(1)
    expect(stderr).to.match(/^error: --out can't be written: EISDIR[^\n]*\n$/)
  })
})

describe('tallygate on an old Node', () => {
  const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    engines: { node: string }
  }
  for (const { version, is } of [
    { version: '20.20.2', is: 'old' },
    { version: '22.14.9', is: 'old' },
    { version: `${engines.node.slice(2)}.0`, is: 'new' },
    { version: '26.0.0', is: 'new' },
  ]) {
    it(`takes ${version} for ${is}`, () => {
      const versions = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } })`
      const args = ['--import', `data:text/javascript,${encodeURIComponent(versions)}`, COMMAND, '--version']
      const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
      const says = `tallygate takes Node.js 22.15 or later, and this is ${version}: install that, and run it again\n`
      if (is === 'old') expect([status, stdout, stderr]).to.deep.equal([1, '', says])
      else expect([status, stderr]).to.deep.equal([0, ''])
    })
  }
})

describe('tallygate serve', () => {
  let setting: Setting
  let child: ChildProcess
  let output: string
  let url: string
  let administrationUrl: string
  const start = async (...options: Parameters<typeof writeSetting>): Promise<void> => {
    setting = await writeSetting(...options)
    await serve()
  }
  const serve = async (): Promise<void> => {
    const started = spawn(process.execPath, [COMMAND, 'serve', '--config', setting.file], { cwd: setting.folder })
    child = started
    onClose(async () => {
      if (started.exitCode !== null || started.signalCode !== null) return
      started.kill('SIGKILL')
      await once(started, 'exit')
    })
    output = ''
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
    }
    while (!output.includes('administration at')) {
      if (child.exitCode !== null) throw new Error(output)
      await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')])
    }
    const addresses = /callers at (\S+), administration at (\S+)/.exec(output)
    url = addresses![1]!
    administrationUrl = addresses![2]!
  }
  const exitCode = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return child.exitCode
  }
  afterEach(closeAll)

  it('warns of another one on its ledger, where each counts in its own memory, in one line', async () => {
    await start('', { log: 'warn' })
    expect(output).to.not.include('another process writes')
    await serve()
    const lines = output.split('\n').filter((line) => line.includes('another process writes to this ledger'))
    expect(lines).to.have.length(1)
    expect(JSON.parse(lines[0]!)).to.include({ ledger: join(setting.folder, '.tallygate/usage.db'), others: 1 })
    const redis = await startRedis()
    onClose(() => redis.stop())
    writeFileSync(setting.file, `${readFileSync(setting.file, 'utf8')}counters: ${redis.url}\n`)
    await serve()
    expect(output).to.not.include('another process writes')
  })

  it('says when the database of its ledger takes no entries, goes on, and says when it has taken them', async () => {
    await start('', { log: 'warn' })
    const other = new DatabaseSync(join(setting.folder, '.tallygate/usage.db'))
    onClose(() => other.close())
    const waiting = async (): Promise<number> => {
      const { text } = await get(`${administrationUrl}/metrics`)
      return Number(/^tallygate_ledger_waiting(?:\{[^}]*\})? (\d+)$/m.exec(text)?.[1])
    }
    const line = async (text: string): Promise<unknown> => {
      while (!output.includes(text)) await once(child.stdout!, 'data')
      return JSON.parse(output.split('\n').find((each) => each.includes(text))!)
    }
    expect(await waiting()).to.equal(0)
    other.exec('begin immediate')
    expect((await chat(url)).status).to.equal(200)
    const begun = await line('the database of the ledger takes no entries')
    expect(begun).to.include({ level: 50, cause: 'database is locked', waiting: 1 })
    expect(await waiting()).to.equal(1)
    expect((await get(`${administrationUrl}/readyz`)).status).to.equal(200)
    other.exec('rollback')
    expect(await line('the database of the ledger has taken all')).to.include({ level: 40, waiting: 0 })
    expect(await waiting()).to.equal(0)
  })

  it('on SIGTERM is not ready at once, serves on, lets a stream finish, records it, and exits 0', async () => {
    await start('shutdown: { delay: 1500ms, timeout: 10s }')
    setting.provider.script = { paceMs: 100, pieces: 30, text: 'word '.repeat(30) }
    expect((await get(`${administrationUrl}/readyz`)).status).to.equal(200)
    const streamed = chat(url, { stream: true })
    while (setting.provider.requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    child.kill('SIGTERM')
    while ((await get(`${administrationUrl}/readyz`)).status !== 503)
      await new Promise((resolve) => setImmediate(resolve))
    expect((await get(`${administrationUrl}/readyz`)).text).to.equal('not ready: it is stopping\n')
    expect((await get(`${administrationUrl}/livez`)).status).to.equal(200)
    setting.provider.script = {}
    expect((await chat(url, { key: SECRETS.other })).status).to.equal(200)
    const { text } = await streamed
    expect(text.trimEnd().endsWith('data: [DONE]')).to.equal(true)
    expect(text.split('word')).to.have.length(31)
    expect(await exitCode()).to.equal(0)
    const ledger = await SqliteLedger.open({ file: join(setting.folder, '.tallygate/usage.db') })
    const range = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
    const [entry, ...others] = await ledger.entries(range)
    await ledger.close()
    expect(others).to.deep.equal([])
    expect(entry).to.deep.include({ outcome: 'complete', streamed: true, subject: 'caller' })
    expect(entry?.usage?.outputTokens).to.be.above(0)
  })

  it('cuts a stream off that takes longer than it may, records it as broken, and exits 0', async () => {
    await start('shutdown: { delay: 0s, timeout: 300ms }')
    setting.provider.script = { paceMs: 200, text: 'word '.repeat(200) }
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${SECRETS.caller}`, 'content-type': 'application/json' }
      const req = request(`${url}/openai/v1/chat/completions`, { method: 'POST', headers }, resolve)
      req.once('error', reject).end(JSON.stringify({ model: 'gpt-4o', stream: true, messages: [] }))
    })
    await once(answer, 'data')
    answer.on('error', () => {}).resume()
    child.kill('SIGTERM')
    expect(await exitCode()).to.equal(0)
    const ledger = await SqliteLedger.open({ file: join(setting.folder, '.tallygate/usage.db') })
    const [entry] = await ledger.entries({ tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER })
    await ledger.close()
    expect(entry).to.deep.include({ outcome: 'aborted', streamed: true })
  })

  it('starts beside a damaged journal of the ledger, sets it aside, and says so', async () => {
    await start('shutdown: { delay: 0s }')
    child.kill('SIGKILL')
    await exitCode()
    const journal = join(setting.folder, '.tallygate/usage.db-entries-0123456789abcdef')
    writeFileSync(journal, 'no line of a journal\n')
    writeFileSync(setting.file, readFileSync(setting.file, 'utf8').replace('log: silent', 'log: error'))
    await serve()
    expect(output).to.include('lines of a journal of the ledger can not be read').and.include(`${journal}.damaged`)
    expect(readFileSync(`${journal}.damaged`, 'utf8')).to.equal('no line of a journal\n')
    child.kill('SIGTERM')
    expect(await exitCode()).to.equal(0)
  })

  it('exits 0 on an interrupt without waiting for load balancers, also with connections left open', async () => {
    await start('shutdown: { delay: 1h }')
    const idle = httpGet(`${url}/usage`, { headers: { connection: 'keep-alive' } })
    const [answer] = (await once(idle, 'response')) as [IncomingMessage]
    answer.resume()
    await once(answer, 'end')
    const silent = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => {})
    await once(silent, 'connect')
    child.kill('SIGINT')
    expect(await exitCode()).to.equal(0)
  })

  it('prints no secret and no prompt, whatever happens', async () => {
    await start('rateLimitHeaders: [draft-8, x, openai, anthropic]', { log: 'debug' })
    await chat(url)
    await chat(url, { stream: true })
    await chat(url, { key: 'unknown-key-0000001' })
    await chat(url, { path: `/gemini/v1beta/models/m:generateContent?key=${SECRETS.caller}` })
    await chat(url, { path: '/openai/v1/nothing' })
    await chat(url, { headers: { 'content-type': 'text/plain' } })
    await chat(url, { headers: { 'x-forwarded-for': '1.2.3.4' } })
    await usageOf(url)
    await get(`${administrationUrl}/usage`, { authorization: `Bearer ${SECRETS.administrator}` })
    await setting.provider.close()
    expect((await chat(url, { key: SECRETS.other })).status).to.equal(502)
    child.kill('SIGTERM')
    child.kill('SIGINT')
    expect(await exitCode()).to.equal(0)
    // It has printed something, so that there is something to search.
    expect(output).to.include('X-Forwarded-For')
    for (const secret of [...Object.values(SECRETS), 'unknown-key-0000001', PROMPT])
      expect(output).to.not.include(secret)
  })

  it('reads the configuration again on SIGHUP, and says what only a start reads', async () => {
    await start('', { log: 'info' })
    for (let call = 0; call < 3; call += 1) expect((await chat(url)).status).to.equal(200)
    expect((await chat(url)).status).to.equal(429)
    const changed = readFileSync(setting.file, 'utf8').replace('quota: 3', 'quota: 4')
    writeFileSync(setting.file, `${changed}ledger: elsewhere.db\n`)
    child.kill('SIGHUP')
    while (!output.includes('was read again')) await once(child.stdout!, 'data')
    expect(output).to.match(/"members":\["ledger"\],"msg":"[^"]*only a start reads: restart"/)
    expect((await chat(url)).status).to.equal(200)
    writeFileSync(setting.file, `${changed}plnas: {}\n`)
    child.kill('SIGHUP')
    while (!output.includes('can not be put into force')) await once(child.stdout!, 'data')
    expect(output).to.match(/quota\.yaml:\d+:1: plnas: there is no such key/)
    expect((await chat(url)).status).to.equal(429)
  })

  it('says of all that the docs name that only a start reads it, and of nothing else', async () => {
    const docs = readFileSync(new URL('../../../docs/quota-yaml.md', import.meta.url), 'utf8')
    const [, named = ''] = /Only a start reads ([^;]*);/.exec(docs) ?? []
    await start('', { log: 'info' })
    const changed = readFileSync(setting.file, 'utf8')
      .replace('listen: { port: 0 }', 'listen: { port: 1 }')
      .replace('administration: { port: 0', 'administration: { host: localhost, port: 1')
      .replace(/pepper: .*/, `pepper: another-${SECRETS.pepper}`)
    const further = `counters: redis://127.0.0.1:1
ledger: elsewhere.db
durability: power
durableWithin: 1s
onLateEntry: break
decideWithin: 1s
rateLimitHeaders: [x]
exhaustedStatus: 402
nodes: 2
spareRetries: 1m
estimates: { seconds: 1 }
sampleCounts: never
outputEstimate: learned
bodyLimitBytes: 2048
guards: { guesses: off }
reportPath: /mine
unregistered: pass
trustProxy: loopback
combine: any
severalGroups: any
defaultPlans: []
shutdown: { delay: 0s }
prices: starter
overrides: []
assignments: []`
    writeFileSync(setting.file, `${changed.replaceAll(/, credential: \{[^}]*\}/g, '')}${further}\n`)
    child.kill('SIGHUP')
    while (!output.includes('was read again')) await once(child.stdout!, 'data')
    const [, members = ''] = /"members":\[([^\]]*)\]/.exec(output) ?? []
    const inDocs = [...named.matchAll(/`([^`]+)`/g)].map(([, member]) => member)
    expect(members.split(',').map((member) => member.slice(1, -1))).to.have.members(inDocs)
  })

  it('exits 1 with one line that says why it can not start', async () => {
    await start()
    const broken = readFileSync(setting.file, 'utf8').replace(
      'listen: { port: 0 }',
      `listen: { port: ${new URL(url).port} }`,
    )
    writeFileSync(join(setting.folder, 'second.yaml'), broken)
    const args = [COMMAND, 'serve', '--config', 'second.yaml']
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', cwd: setting.folder })
    expect(status).to.equal(1)
    expect(stderr).to.match(/^can't listen on 127\.0\.0\.1, port \d+: listen EADDRINUSE[^\n]*\n$/)
  })
})
