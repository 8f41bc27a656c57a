import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig, type Config } from '@tallygate/gateway'
import { expect } from 'chai'
import { LEAST, SECRET } from './config-mistakes.ts'

const folder = mkdtempSync(join(tmpdir(), 'tallygate-environment-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function mistakeOf(text: string, environment: Record<string, string>): string {
  try {
    parseConfig(text, 'quota.yaml', environment)
    return 'none'
  } catch (error) {
    return (error as Error).message
  }
}

describe('variables in quota.yaml', () => {
  const READ: readonly [what: string, text: string, environment: Record<string, string>, members: object][] = [
    ['a variable', 'log: ${LEVEL}', { LEVEL: 'warn' }, { log: 'warn' }],
    ['a default', 'log: ${LEVEL:-warn}', {}, { log: 'warn' }],
    ['a default for a variable that is empty', 'log: ${LEVEL:-warn}', { LEVEL: '' }, { log: 'warn' }],
    ['a default with dashes and colons', 'counters: ${R:-redis://a:1/0-}', {}, { counters: 'redis://a:1/0-' }],
    ['several in one text', 'counters: redis://${HOST}:${PORT:-6379}', { HOST: 'h' }, { counters: 'redis://h:6379' }],
    ['a whole number as a number', 'bodyLimitBytes: ${SIZE}', { SIZE: '4096' }, { bodyLimitBytes: 4_096 }],
    [
      'a text of digits as a text, in quotes',
      'defaultPlans: ["${P}"]\nplans: { "1": { limits: [] } }',
      { P: '1' },
      { defaultPlans: ['1'] },
    ],
    [
      'what only looks like a variable',
      'pepper: "$${NOT}-0123456789-0123456789-0123456789"',
      {},
      { pepper: '${NOT}-0123456789-0123456789-0123456789' },
    ],
    ['no delay', 'shutdown: { delay: 0s, timeout: 1m }', {}, { shutdown: { delay: 0, timeout: 60_000 } }],
  ]
  for (const [what, text, environment, members] of READ) {
    it(`reads ${what}`, () => {
      const config: Config = parseConfig(LEAST + text, 'quota.yaml', environment)
      expect(config).to.deep.include(members)
    })
  }

  it('takes a number in quotes for a text', () => {
    expect(mistakeOf(`${LEAST}bodyLimitBytes: "\${SIZE}"`, { SIZE: '4096' })).to.include('use a number, without quotes')
  })

  it('reads a secret from the file that NAME_FILE names, and trusts no default where that can not be read', () => {
    const file = join(folder, 'secret')
    writeFileSync(file, `${SECRET}\n`)
    const text = `${LEAST}keys: [{ id: one, secret: '\${KEY:-the-key-of-every-demo}' }]\n`
    expect(parseConfig(text, 'quota.yaml', { KEY_FILE: file }).keys?.[0]?.secret).to.equal(SECRET)
    const mistake = mistakeOf(text, { KEY_FILE: `${file}-of-nobody` })
    expect(mistake).to.match(/^quota\.yaml:2:27: KEY: KEY_FILE names a file that can't be read: ENOENT/)
  })
})
