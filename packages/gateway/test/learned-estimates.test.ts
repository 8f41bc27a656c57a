import { join } from 'node:path'
import type { UsageEntry } from '@tallygate/core'
import type { Gateway } from '@tallygate/gateway'
import { SqliteCalibrationStore } from '@tallygate/store-sql'
import { expect } from 'chai'
import { chat, closeAll, PROMPT, run, SECRETS, writeConfig, type Setting } from './running-gateway.ts'

/** What was set aside for the latest call. */
async function reserved(gateway: Gateway): Promise<number> {
  await gateway.quota.drain()
  const filter = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
  const [entry] = (await gateway.quota.ledger.entries(filter)) as readonly UsageEntry[]
  return entry!.charges[0]!.reserved
}

describe('what a gateway learns of estimates', () => {
  let setting: Setting
  beforeEach(async () => {
    setting = await writeConfig(
      ({ url }) => `listen: { port: 0 }
administration: { port: 0 }
providers: { openai: { target: '${url}' } }
keys: [{ id: caller, secret: ${SECRETS.caller}, plans: [p] }]
plans: { p: { limits: [{ name: output, unit: output-tokens, quota: 100000, window: day }] } }
pepper: ${SECRETS.pepper}
log: silent
`,
    )
    setting.provider.script = { usage: { output: 200 } }
  })
  afterEach(closeAll)

  it('is in the file of its ledger, and there again when it starts anew', async () => {
    const first = await run(setting)
    for (let call = 0; call < 5; call += 1) expect((await chat(first.url)).status).to.equal(200)
    expect(await reserved(first)).to.equal(1_024)
    await first.stop({ delayMs: 0 })

    const store = await SqliteCalibrationStore.open({ file: join(setting.folder, '.tallygate/usage.db') })
    const kept = JSON.stringify(await store.load({ offset: 0, limit: 10 }))
    await store.close()
    expect(kept).to.include('caller')
    for (const secret of [PROMPT, ...Object.values(SECRETS)]) expect(kept).to.not.include(secret)

    const second = await run(setting)
    // Read in the background: the first calls can be too early, but there are fewer of them than would teach it anew.
    const found: number[] = []
    for (let call = 0; call < 4; call += 1) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect((await chat(second.url)).status).to.equal(200)
      found.push(await reserved(second))
    }
    // 5 answers of 200, and half as much again.
    expect(found.at(-1)).to.equal(300)
  })
})
