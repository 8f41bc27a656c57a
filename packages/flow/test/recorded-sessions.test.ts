import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createQuota } from '@tallygate/flow'
import { MemoryLedger } from '@tallygate/core'
import { frameOf } from '@tallygate/testkit'
import { expect } from 'chai'
import { subject } from './quota-bed.ts'

const FOLDER = process.env['TALLYGATE_RECORDINGS']
const PATHS: Readonly<Record<string, string>> = {
  google: '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent',
}

interface Row {
  readonly id: string
  readonly provider: string
  readonly responsePath: string
  readonly expected: Readonly<Record<string, number>>
}

function messagesOf(folder: string, { responsePath }: Row): { direction: string; data: unknown }[] {
  const lines = readFileSync(join(folder, responsePath), 'utf8').trim().split('\n')
  return lines.map((line) => JSON.parse(line) as { direction: string; data: unknown })
}

// Recordings of others, which are not part of this project.
if (FOLDER !== undefined) {
  const rows = readFileSync(join(FOLDER, 'core-open.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row)
    .filter(({ responsePath }) => responsePath.endsWith('.ws.jsonl'))

  describe('Session, on sessions of others that were recorded', () => {
    it('finds some', () => expect(rows).not.to.deep.equal([]))

    for (const row of rows) {
      it(`records what ${row.provider} stated in ${row.id}`, async () => {
        const ledger = new MemoryLedger()
        const quota = createQuota({ ledger, pepper: 'a pepper for tests, long enough to be one' })
        const url = PATHS[row.provider] ?? '/v1/realtime?model=gpt-realtime'
        const call = quota.begin({ method: 'GET', url, headers: { upgrade: 'websocket' } })
        call.identifyAs(subject())
        await call.resolvePlans()
        await call.admit()
        call.meter()
        call.recordAtEnd()
        const passed: Buffer[] = []
        const session = call.session({ toCaller: (bytes) => passed.push(bytes), toProvider: () => {}, close: () => {} })
        const sent: Buffer[] = []
        for (const { direction, data } of messagesOf(FOLDER, row)) {
          const frame = frameOf(0x1, Buffer.from(JSON.stringify(data)))
          if (direction === 'sent') continue
          sent.push(frame)
          for (let at = 0; at < frame.length; at += 97) session.fromProvider(frame.subarray(at, at + 97))
          await new Promise((resolve) => setImmediate(resolve))
        }
        session.providerEnded()
        await quota.close(1_000)
        const all = await ledger.entries(
          { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER },
          { limit: 100 },
        )
        const sum = (name: 'inputTokens' | 'outputTokens' | 'totalTokens' | 'cacheReadTokens'): number =>
          all.reduce((total, { usage }) => total + (usage?.basis === 'reported' ? (usage[name] ?? 0) : 0), 0)
        const { input, output, total, cacheRead = 0 } = row.expected
        expect([sum('inputTokens'), sum('outputTokens'), sum('totalTokens'), sum('cacheReadTokens')]).to.deep.equal([
          input,
          output,
          total,
          cacheRead,
        ])
        expect(Buffer.concat(passed).subarray(0, Buffer.concat(sent).length).equals(Buffer.concat(sent))).to.equal(true)
      })
    }
  })
}
