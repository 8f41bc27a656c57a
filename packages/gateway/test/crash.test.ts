import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { UsageEntry } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'
import { runs } from '@tallygate/testkit'
import { expect } from 'chai'
import { chat, closeAll, COMMAND, get, onClose, SECRETS, writeConfig, type Setting } from './running-gateway.ts'

const CLIENTS = 6

const CONFIG = (target: string): string => `listen: { port: 0 }
administration: { port: 0 }
providers:
  openai: { target: '${target}', credential: { swap: ${SECRETS.provider} } }
keys:
  - { id: caller, secret: ${SECRETS.caller}, plans: [pro] }
plans:
  pro:
    limits:
      - { name: requests-per-day, unit: requests, quota: 1000000, window: { fixed: day, zone: ${zoneAtNoon()} } }
      - { name: tokens-per-month, unit: tokens, quota: 1000000000, window: { fixed: month, zone: ${zoneAtNoon()} } }
      - { name: tokens-for-ever, unit: tokens, quota: 1000000000, window: lifetime }
      - { name: output-of-a-day, unit: output-tokens, quota: 1000000000, window: { sliding: 24h } }
      - { name: trial, unit: requests, quota: 1000000, window: { first-use: 24h, then: restart } }
pepper: ${SECRETS.pepper}
durableWithin: 60s
onLateEntry: break
log: silent
`

/** A zone in which it is about noon, so that no window ends while the test runs. */
function zoneAtNoon(): string {
  const behind = 12 - new Date().getUTCHours()
  return behind === 0 ? 'UTC' : `Etc/GMT${behind > 0 ? `-${behind}` : `+${-behind}`}`
}

/** A gateway in a process of its own, which can be killed. */
class KillableGateway {
  readonly #setting: Setting
  #child: ChildProcess | undefined
  url = ''

  constructor(setting: Setting) {
    this.#setting = setting
    onClose(() => this.kill())
  }

  async start(): Promise<void> {
    const args = [COMMAND, 'serve', '--config', this.#setting.file]
    const child = spawn(process.execPath, args, { cwd: this.#setting.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
    while (!output.includes('administration at')) {
      if (child.exitCode !== null) throw new Error(output)
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    }
    this.url = /callers at (\S+),/.exec(output)![1]!
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}

/** Ids of the answers that had ended, as the provider has named them. */
async function callUntilItIsGone(url: string, ended: string[]): Promise<void> {
  for (let call = 0; ; call += 1) {
    try {
      const stream = call % 2 === 1
      const { status, headers, text } = await chat(url, { stream, max_tokens: 50 })
      expect(status, text).to.equal(200)
      if (!stream || text.trimEnd().endsWith('[DONE]')) ended.push(headers.get('x-request-id')!)
    } catch (error) {
      if (error instanceof TypeError) return
      throw error
    }
  }
}

/** Where the limits of the caller stand, by name. */
async function counters(url: string): Promise<Record<string, number>> {
  const { text } = await get(`${url}/usage/limits`, { authorization: `Bearer ${SECRETS.caller}` })
  const { rows } = JSON.parse(text) as { rows: { limit: string; used: number }[] }
  return Object.fromEntries(rows.map(({ limit, used }) => [limit, used]))
}

async function entriesOf({ folder }: Setting): Promise<UsageEntry[]> {
  const ledger = await SqliteLedger.open({ file: join(folder, '.tallygate/usage.db') })
  const found: UsageEntry[] = []
  for (;;) {
    const before = found.at(-1)
    const range = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
    const page = await ledger.entries(range, { limit: 1_000, ...(before === undefined ? {} : { before }) })
    found.push(...page)
    if (page.length < 1_000) break
  }
  await ledger.close()
  return found
}

/** What the entries say that the counters must be. */
function sumsOf(entries: readonly UsageEntry[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const { charges } of entries) {
    for (const { counter, actual } of charges) {
      const limit = counter.slice(counter.indexOf('/') + 1)
      sums[limit] = (sums[limit] ?? 0) + actual
    }
  }
  return sums
}

describe('a gateway that is killed under load', () => {
  afterEach(closeAll)

  it('has every call in the ledger whose answer had ended, none twice, and counters that agree with it', async function () {
    this.timeout(runs(60_000))
    const setting = await writeConfig(({ url }) => CONFIG(url))
    const gateway = new KillableGateway(setting)
    const ended: string[] = []
    for (let round = 0; round < runs(10); round += 1) {
      await gateway.start()
      const calls = Array.from({ length: CLIENTS }, () => callUntilItIsGone(gateway.url, ended))
      const before = ended.length
      while (ended.length < before + 5) await new Promise((resolve) => setTimeout(resolve, 5))
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 200))
      await gateway.kill()
      await Promise.all(calls)
    }
    await gateway.start()
    const entries = await entriesOf(setting)
    const recorded = new Set(entries.map(({ providerRequestId }) => providerRequestId))
    expect(ended.filter((id) => !recorded.has(id))).to.deep.equal([])
    expect(recorded.size).to.equal(entries.length)
    expect(await counters(gateway.url)).to.deep.equal(sumsOf(entries))
    expect((await chat(gateway.url)).status).to.equal(200)
  })
})
