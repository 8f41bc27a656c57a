// How long it takes to rebuild the counters of one key from a ledger: node packages/store-sql/bench/rebuild.ts [entries]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Admission, bindLimits, CompiledPlan, MemoryCounterStore, type UsageEntry } from '@tallygate/core'
import { SqliteLedger } from '@tallygate/store-sql'

const most = Number(process.argv[2] ?? 100_000)
const folder = mkdtempSync(join(tmpdir(), 'tallygate-bench-'))
const ledger = await SqliteLedger.open({ file: join(folder, 'usage.db') })
const nowMs = Date.UTC(2026, 10, 30, 23)
const startMs = Date.UTC(2026, 10, 1)
const plan = new CompiledPlan({
  name: 'team',
  limits: [
    { name: 'requests-per-day', unit: 'requests', quota: 1e9, window: { kind: 'fixed', every: 'day' } },
    { name: 'requests-per-month', unit: 'requests', quota: 1e9, window: { kind: 'fixed', every: 'month' } },
    { name: 'tokens-per-day', unit: 'tokens', quota: 1e9, window: { kind: 'fixed', every: 'day' } },
    { name: 'tokens-per-month', unit: 'tokens', quota: 1e9, window: { kind: 'fixed', every: 'month' } },
  ],
})
const dimensions = { tenant: 'default', key: 'key-1' }
const bound = bindLimits({ plans: [plan], combine: 'all' }, dimensions, {}, ['tenant', 'key'])

function entry(index: number): UsageEntry {
  const atMs = startMs + Math.floor((index * (nowMs - startMs)) / (most * 2))
  const id = `018c${String(index).padStart(28, '0')}`
  return {
    kind: 'usage',
    id,
    tenant: 'default',
    atMs,
    callId: id,
    // One key, among others of the same size.
    subject: index % 2 === 0 ? 'key-1' : 'key-2',
    dimensions: { tenant: 'default', key: index % 2 === 0 ? 'key-1' : 'key-2' },
    plans: [{ name: 'team', version: plan.version }],
    provider: 'openai',
    operation: 'chat',
    model: 'gpt-4o',
    status: 200,
    outcome: 'complete',
    streamed: false,
    admittedAtMs: atMs - 800,
    durationMs: 800,
    usage: { basis: 'reported', inputTokens: 500, outputTokens: 80, totalTokens: 580 },
    charges: bound.map(({ counter: { owner, name }, limit }) => {
      const { unit } = limit.definition
      const of = index % 2 === 0 ? owner : owner.replace('key-1', 'key-2')
      return {
        owner: of,
        partition: of,
        counter: name,
        unit,
        reserved: unit === 'tokens' ? 900 : 1,
        actual: unit === 'tokens' ? 580 : 1,
      }
    }),
    overage: false,
  }
}

for (let index = 0; index < most * 2; index += 1_000)
  await ledger.append(Array.from({ length: Math.min(1_000, most * 2 - index) }, (_, each) => entry(index + each)))

for (const subject of ['key-1', 'key-1', undefined]) {
  const store = new MemoryCounterStore({ clock: () => nowMs })
  const admission = new Admission({ store, clock: () => nowMs, rebuild: { ledger, withinMs: 60_000 } })
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const begun = performance.now()
  const before = process.cpuUsage()
  const { statuses } = await admission.read(bound, { subject })
  const ms = performance.now() - begun
  delay.disable()
  const { user, system } = process.cpuUsage(before)
  const [, , , tokens] = statuses
  console.log(
    `${most} entries of the key, ${subject === undefined ? 'asked of the whole tenant' : 'by the index of its subject'}: ` +
      `${ms.toFixed(0)} ms, ${((user + system) / 1e3).toFixed(0)} ms of CPU; loop delay p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms, ` +
      `most ${(delay.max / 1e6).toFixed(1)} ms; ${tokens!.used} tokens`,
  )
}
await ledger.close()
rmSync(folder, { recursive: true, force: true })
