import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Admission, bindLimits, CompiledPlan, type Charge } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { runs, startRedis, type TestRedis, testCharge } from '@tallygate/testkit'
import { expect } from 'chai'
import { Redis } from 'ioredis'
import type { Witnessed } from './reserve-many.ts'

const PROCESSES = 8
/** Of `reserve-many.ts`, which begins to reserve where it is imported. */
const WINDOW_MS = 200

describe('RedisCounterStore, counted by others', () => {
  let server: TestRedis
  let operator: Redis
  let folder: string
  before(async () => {
    server = await startRedis()
    operator = new Redis(server.url)
    folder = await mkdtemp(join(tmpdir(), 'tallygate-witness-'))
  })
  after(async () => {
    operator.disconnect()
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  })

  for (const { name, each, disturb } of [
    { name: 'undisturbed', each: 500, disturb: async () => {} },
    {
      each: 1_000,
      name: 'while scripts are flushed and connections killed',
      disturb: async (): Promise<void> => {
        await operator.script('FLUSH')
        await operator.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
      },
    },
  ]) {
    it(`eight processes never exceed a quota in any window, ${name}`, async function () {
      this.timeout(120_000 * runs(1))
      const times = Math.min(runs(each), 20 * each)
      const seen = await witness(name, times, disturb)
      const of = (kind: string): readonly Witnessed[] => seen.filter((row) => row.kind === kind)
      const isUndisturbed = name === 'undisturbed'
      for (const [kind, quota, least] of [
        ['fixed', 100, times],
        ['sliding', 100, times],
        ['fixed-unit', 20, times / 4],
      ] as const) {
        const rows = of(kind)
        expect(rows.length, kind).to.be.at.least(isUndisturbed ? PROCESSES * least : 1)
        const windows = byWindow(rows)
        const granting = [...windows.values()].filter((window) => sum(window) > 0)
        expect(granting, `windows of ${kind} in which something was granted`).to.have.length.above(5)
        expect(kind === 'sliding' ? mostInSpan(rows) : Math.max(...granting.map(sum)), kind).to.be.within(1, quota)
        // What was granted to a connection that was killed, nobody has seen.
        if (isUndisturbed) expect(needless(rows, kind === 'sliding', quota), `needless refusals of ${kind}`).to.equal(0)
      }
      const [reached, exceeded] = [sum(of('reached')), sum(of('exceeded'))]
      if (isUndisturbed) expect([reached, exceeded]).to.deep.equal([40, 41])
      else expect([reached <= 40, exceeded <= 41]).to.deep.equal([true, true])
    })
  }

  it('a refusal leaves every counter as it was', async () => {
    const store = new RedisCounterStore({ client: operator, prefix: 'refusal:' })
    const roomy = charge('roomy', { quota: 100 })
    const full = charge('full', { quota: 0 })
    await store.reserve({
      id: 'r1',
      owner: 'o',
      charges: [roomy, charge('full', { quota: null })],
      lifetimeMs: 1e6,
      context: '',
    })
    const before = await operator.getBuffer('refusal:{o}:c:')
    const reply = await store.reserve({ id: 'r2', owner: 'o', charges: [roomy, full], lifetimeMs: 1e6, context: '' })
    expect(reply.outcome).to.equal('refused')
    expect(await operator.getBuffer('refusal:{o}:c:')).to.deep.equal(before)
  })

  it('holds of processes that are killed are swept, each listed once, and nothing stays held', async function () {
    this.timeout(60_000 * runs(1))
    const killed = runs(10)
    for (let from = 0; from < killed; from += 10) await killHolders(from)
    const later = (): number => Date.now() + 600_000
    const store = new RedisCounterStore({ client: operator, prefix: 'killed:', clock: later })
    const listed: string[] = []
    for (;;) {
      const expired = await store.sweep(killed * 4)
      if (expired.length === 0) break
      listed.push(...expired.map(({ id }) => id))
      await store.acknowledge(expired)
    }
    const all = Array.from({ length: killed }, (_, number) => [`${number}-running`, `${number}-spent`]).flat()
    expect(listed.sort()).to.deep.equal(all.sort())
    for (let number = 0; number < killed; number += 1) {
      const charges = [
        charge('running', { owner: `o${number}`, window: { kind: 'concurrent' } }),
        charge('spent', { owner: `o${number}` }),
      ]
      expect((await store.read(charges)).statuses.map(({ used }) => used)).to.deep.equal([0, 0])
    }
  })

  it('nodes whose clocks are ten minutes off, or step back, decide as all others do', async () => {
    const [hour, minute] = [3_600_000, 60_000]
    const plan = new CompiledPlan({
      name: 'p',
      limits: [
        { name: 'hour', unit: 'requests', quota: 30, window: { kind: 'fixed', durationMs: hour }, per: ['key'] },
        {
          name: 'slide',
          unit: 'requests',
          quota: 1_000,
          window: { kind: 'sliding', durationMs: minute },
          per: ['key'],
        },
      ],
    })
    const bound = bindLimits({ plans: [plan], combine: 'all' }, { tenant: 't', key: 'k' }, 'any', ['tenant', 'key'])
    let steps = 0
    const clocks = [
      Date.now,
      () => Date.now() + 10 * minute,
      () => Date.now() - 10 * minute,
      () => Date.now() - 7 * minute * (steps += 1),
    ]
    const store = new RedisCounterStore({ client: operator, prefix: 'skewed:' })
    const nodes = clocks.map((clock) => new Admission({ store, clock }))
    const granted = new Map<number, number>()
    for (let call = 0; call < 80; call += 1) {
      const decision = await nodes[call % nodes.length]!.admit({ id: `c${call}`, bound, amounts: {}, context: '' })
      expect(decision.atMs).to.be.closeTo(Date.now(), 5_000)
      const bucket = Math.floor(decision.atMs / hour)
      if (decision.admitted) granted.set(bucket, (granted.get(bucket) ?? 0) + 1)
    }
    // Twice as many where an hour ended meanwhile.
    expect([...granted.values()].every((count) => count <= 30)).to.equal(true)
    expect(granted.size === 1 ? [...granted.values()] : [30]).to.deep.equal([30])
  })

  async function witness(name: string, times: number, disturb: () => Promise<void>): Promise<readonly Witnessed[]> {
    const file = join(folder, `${name.replaceAll(' ', '-')}.jsonl`)
    const script = new URL('reserve-many.ts', import.meta.url).pathname
    const children = Array.from({ length: PROCESSES }, () =>
      spawn(process.execPath, [script, server.url, `witness:${name.length}:`, file, String(times)], {
        stdio: 'inherit',
      }),
    )
    const disturbed = setInterval(() => void disturb().catch(() => {}), 150)
    const codes = await Promise.all(children.map((child) => once(child, 'exit')))
    clearInterval(disturbed)
    expect(codes.map(([code]) => code)).to.deep.equal(Array.from({ length: PROCESSES }, () => 0))
    return (await readFile(file, 'utf8'))
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Witnessed)
  }

  async function killHolders(from: number): Promise<void> {
    const script = new URL('hold-and-die.ts', import.meta.url).pathname
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const args = [script, server.url, 'killed:', String(from + index)]
        const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
        await once(child.stdout, 'data')
        child.kill('SIGKILL')
        await once(child, 'exit')
      }),
    )
  }
})

function charge(counter: string, { owner = 'o', ...rest }: Partial<Charge> & { owner?: string }): Charge {
  return { ...testCharge({ owner, partition: owner, counter }), ...rest }
}

function sum(seen: readonly Witnessed[]): number {
  return seen.reduce((total, { granted }) => total + granted, 0)
}

function byWindow(seen: readonly Witnessed[]): Map<number, Witnessed[]> {
  return Map.groupBy(seen, ({ nowMs }) => Math.floor(nowMs / WINDOW_MS))
}

/** The most that was granted in any span of a window's length. */
function mostInSpan(seen: readonly Witnessed[]): number {
  const sorted = seen.toSorted((one, other) => one.nowMs - other.nowMs)
  let [from, inSpan, most] = [0, 0, 0]
  for (const { nowMs, granted } of sorted) {
    inSpan += granted
    while (sorted[from]!.nowMs <= nowMs - WINDOW_MS) inSpan -= sorted[from++]!.granted
    most = Math.max(most, inSpan)
  }
  return most
}

/**
 * How many refusals there were although what was asked for had room: in the window; where it slides, in the last one and a
 * tenth, as the oldest bucket counts whole. With demand for more, windows are so used up: for units, exactly.
 */
function needless(seen: readonly Witnessed[], slides: boolean, quota: number): number {
  const sums = new Map([...byWindow(seen)].map(([window, rows]) => [window, sum(rows)]))
  const granted = seen.filter((each) => each.granted > 0).toSorted((one, other) => one.nowMs - other.nowMs)
  const refused = seen.filter((each) => each.granted === 0).toSorted((one, other) => one.nowMs - other.nowMs)
  if (refused.length === 0) throw new Error('nothing was refused: there was no demand for more than the quota')
  let [from, to, inSpan, found] = [0, 0, 0, 0]
  for (const { nowMs, asked } of refused) {
    for (; to < granted.length && granted[to]!.nowMs <= nowMs; to += 1) inSpan += granted[to]!.granted
    for (; from < to && granted[from]!.nowMs < nowMs - 1.1 * WINDOW_MS; from += 1) inSpan -= granted[from]!.granted
    const used = slides ? inSpan : sums.get(Math.floor(nowMs / WINDOW_MS))!
    if (used + asked <= quota) found += 1
  }
  return found
}
