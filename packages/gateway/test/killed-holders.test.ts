import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createQuota } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import { SqliteLedger } from '@tallygate/store-sql'
import { runs, startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import { HOLDER_PLANS, holderOf } from './holder-plans.ts'
import { closeAll, onClose } from './running-gateway.ts'

const HOLD_AND_WAIT = new URL('hold-and-wait.ts', import.meta.url).pathname

/** Ids of the calls that a process held when it was killed. */
async function killedWhileHolding(url: string, file: string, round: number): Promise<string[]> {
  const child = spawn(process.execPath, [HOLD_AND_WAIT, url, file, String(round)])
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  while (!output.includes('holds\n')) {
    if (child.exitCode !== null) throw new Error(output)
    await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  }
  child.kill('SIGKILL')
  await once(child, 'exit')
  return output.split('\n').slice(0, 5)
}

describe('processes that are killed while they hold reservations in Redis', () => {
  afterEach(closeAll)

  it('hold nothing after their lifetime, and the ledger has one entry for each', async function () {
    this.timeout(runs(60_000))
    const folder = mkdtempSync(join(tmpdir(), 'tallygate-holders-'))
    onClose(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'usage.db')
    const redis = await startRedis({ isOwn: true })
    onClose(() => redis.stop())
    const held: string[] = []
    for (let round = 0; round < runs(10); round += 1) held.push(...(await killedWhileHolding(redis.url, file, round)))

    const ledger = await SqliteLedger.open({ file })
    onClose(() => ledger.close())
    const client = new Redis(redis.url)
    onClose(() => client.disconnect())
    // Ten minutes later: owners that nobody decides on are visited every two.
    const clock = (): number => Date.now() + 600_000
    const store = new RedisCounterStore({ client, clock })
    onClose(() => store.close())
    const quota = createQuota({
      store,
      ledger,
      plans: HOLDER_PLANS,
      defaultPlans: ['p'],
      pepper: 'a pepper for tests, long enough to be one',
      logger: { warn: () => {}, error: () => {} },
    })
    onClose(() => quota.close(1_000))
    const range = { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER }
    const recorded = async (): Promise<number> => (await ledger.sum({ filter: range, by: [] })).total.calls
    while ((await recorded()) < held.length) await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await recorded()).to.equal(held.length)
    expect(await ledger.find('default', held.slice(0, 1_000))).to.have.length(Math.min(held.length, 1_000))
    expect(await store.sweep(10_000)).to.deep.equal([])
    for (const id of ['0-0', '0-2', `${runs(10) - 1}-1`]) {
      const [tokens, atOnce] = (await quota.limitsOf(holderOf(id))).statuses
      expect(atOnce!.used).to.equal(0)
      expect(tokens!.used).to.be.greaterThan(0)
      expect((await quota.driftOf(holderOf(id))).map(({ drift }) => drift)).to.deep.equal([0])
    }
  })
})
