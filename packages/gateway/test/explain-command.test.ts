import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Gateway } from '@tallygate/gateway'
import { expect } from 'chai'
import {
  chat,
  closeAll,
  COMMAND,
  onClose,
  run,
  SECRETS,
  writeConfig,
  writeSetting,
  type Setting,
} from './running-gateway.ts'

describe('tallygate explain', () => {
  let setting: Setting
  let gateway: Gateway
  const start = async (...options: Parameters<typeof writeSetting>): Promise<void> => {
    setting = await writeSetting(...options)
    gateway = await run(setting)
  }
  const explain = async (...args: string[]): Promise<{ code: number | null; out: string }> => {
    const url = ['--url', gateway.administrationUrl]
    const asking = spawn(process.execPath, [COMMAND, 'explain', '--config', setting.file, ...url, ...args])
    let out = ''
    for (const stream of [asking.stdout, asking.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => (out += chunk))
    const [code] = (await once(asking, 'close')) as [number | null]
    return { code, out }
  }
  afterEach(closeAll)

  it('tells what would become of a call, as the counters of the running gateway stand', async () => {
    await start('overrides: [{ for: { key: caller }, limit: trial/requests, quota: 2 }]')
    await chat(gateway.url)
    const admitted = await explain('--key', 'caller', '--model', 'gpt-4o')
    expect(admitted.out).to.equal(
      'It would be admitted.\n' +
        '* trial/requests (from registry, quota of key caller)\n' +
        '    1 of 2 requests, fixed 1 day UTC, fits, refuse\n' +
        '    can be exceeded by 0\n',
    )
    expect(admitted.code).to.equal(0)
    await chat(gateway.url)
    const [refused, document, wrong, away] = await Promise.all([
      explain('--key', 'caller'),
      explain('--key', 'caller', '--json'),
      explain('--key', 'caller', '--amount', 'bananas=5'),
      explain('--key', 'caller', '--url', 'http://127.0.0.1:1'),
    ])
    expect(refused.out).to.match(
      /^It would be refused: no-room, room at \d{4}-.*\n\* trial\/requests .*\n.*no room for this call/,
    )
    expect(JSON.parse(document.out)).to.include({ admitted: false })
    expect(wrong).to.deep.equal({
      code: 1,
      out: '--amount is bananas=5: use a unit and a number, such as tokens=1200\n',
    })
    expect(away.out).to.match(
      /^no gateway answers at http:\/\/127\.0\.0\.1:1 \(.*\): start it, or name it with --url\n$/,
    )
  })

  it('finds the tenant of a key by itself, and takes none that is not its own', async () => {
    await start('defaultPlans: [trial]')
    await chat(gateway.url, { key: SECRETS.other })
    const [own, same, another] = await Promise.all([
      explain('--key', 'other'),
      explain('--key', 'other', '--tenant', 'acme'),
      explain('--key', 'other', '--tenant', 'default'),
    ])
    expect(own).to.deep.equal(same)
    expect(own.out).to.include('1 of 3 requests')
    expect(another).to.deep.equal({
      code: 1,
      out: '--tenant is default, and the key other is of acme: leave --tenant out\n',
    })
  })

  it('tells of no call by a key that nobody has, where such are refused', async () => {
    await start()
    expect(await explain('--key', 'nobody')).to.deep.equal({
      code: 1,
      out: `${setting.file} has no key nobody, and others are refused: name one of caller, other\n`,
    })
  })

  /** A gateway of one provider and no keys. */
  const startWith = async (further: string): Promise<void> => {
    setting = await writeConfig(
      ({ url }) => `listen: { port: 0 }
administration: { port: 0, keys: [${SECRETS.administrator}] }
providers: { openai: { target: '${url}' } }
log: silent
${further}`,
    )
    gateway = await run(setting)
  }

  it('tells of calls by keys that pass unregistered', async () => {
    await startWith('')
    expect(await explain('--key', 'key_0123')).to.deep.equal({
      code: 0,
      out: 'It would be admitted.\nNo limit is for it.\n',
    })
  })

  for (const [currency, quota, said] of [
    ['USD', '$5', '$0.00 of $5.00'],
    ['EUR', '5 EUR', '0.00 EUR of 5.00 EUR'],
    ['USD', 'null', '$0.00 of any amount'],
  ] as const) {
    it(`tells a quota of ${quota} as money`, async () => {
      const limit = `{ name: budget, unit: cost, quota: ${quota}, window: lifetime, trip: reached }`
      const folder = mkdtempSync(join(tmpdir(), 'tallygate-explain-'))
      onClose(() => rmSync(folder, { recursive: true, force: true }))
      writeFileSync(join(folder, 'prices.yaml'), `currency: ${currency}\nprices: [{ model: gpt-4o, input: 1 }]`)
      await startWith(`prices: ${join(folder, 'prices.yaml')}\nplans: { p: { limits: [${limit}] } }\ndefaultPlans: [p]`)
      expect((await explain('--key', 'key_0123')).out).to.include(`\n    ${said}, lifetime, reached, refuse\n`)
    })
  }
})
