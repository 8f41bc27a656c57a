import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { dollars, PriceBook, type Limit, type Plan } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import { startRedis, startScriptedProvider } from '@tallygate/testkit'
import { expect } from 'chai'
import { ask, closeTestBeds, openTestBed, proxied } from './test-bed.ts'

const N = 137
const limit = (name: string, quota: number, window: Limit['window']): Limit => ({
  name,
  unit: 'requests',
  quota,
  window,
})
const PLAN: Plan = {
  name: 'p',
  limits: [
    limit('per-day', N, { kind: 'fixed', every: 'day' }),
    limit('within-an-hour', 10 * N, { kind: 'sliding', durationMs: 3_600_000 }),
  ],
}

interface Asking {
  readonly max_tokens: number
  readonly n: number
  readonly messages: readonly [{ readonly content: string }]
}

function tally(statuses: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

describe('many calls at once, counted by the provider', () => {
  afterEach(closeTestBeds)

  it('500 in one process: exactly as many as the limit allows reach it, and a refused one changes no counter', async () => {
    const bed = await openTestBed({ plans: [PLAN], defaultPlans: ['p'] })
    bed.provider.script = { delayMs: 5 }
    const url = await proxied(bed)
    const answers = await Promise.all(Array.from({ length: 500 }, () => ask(url)))
    expect(tally(answers.map(({ status }) => status))).to.deep.equal({ 200: N, 429: 500 - N })
    expect(bed.provider.requests).to.have.length(N)
    expect(await bed.entries()).to.have.length(N)
    for (const { name } of PLAN.limits) expect(await bed.used(name), name).to.equal(N)
  })

  it('500 that cost money: the provider is never asked for more than the budget, whatever they ask for', async () => {
    const price = { input: 2.5, cacheRead: 1.25, output: 10, tiers: { flex: { multiplier: 0.5 } } }
    const quota = dollars('0.5')
    const bed = await openTestBed({
      plans: [
        { name: 'p', limits: [{ name: 'budget', unit: 'cost', quota, window: { kind: 'fixed', every: 'day' } }] },
      ],
      defaultPlans: ['p'],
      prices: new PriceBook({ prices: [{ model: 'gpt-4o', ...price }] }),
    })
    const used = (bytes: Buffer): { input: number; output: number } => {
      const { max_tokens: ceiling, n, messages } = JSON.parse(bytes.toString()) as Asking
      return { input: 9 + messages[0].content.split(' ').length, output: ceiling * n }
    }
    // A provider that writes all that it may for each answer, and has no room in its cheaper class.
    bed.provider.script = ({ body }) => ({ delayMs: Math.random() * 20, usage: used(body) })
    const url = await proxied(bed)
    const statuses = await Promise.all(
      Array.from({ length: 500 }, async (_, at) => {
        const body = {
          model: 'gpt-4o',
          max_tokens: 1 + ((at * 37) % 400),
          n: 1 + (at % 3),
          stream: at % 2 === 0,
          ...(at % 5 === 0 ? { service_tier: 'flex' } : {}),
          messages: [{ role: 'user', content: 'word '.repeat(at % 50) }],
        }
        return (await ask(url, { body })).status
      }),
    )
    const entries = await bed.entries()
    const cost = entries.reduce((sum, { usage }) => sum + usage!.costNanos!, 0)
    const atProvider = bed.provider.requests.reduce((sum, { body }) => {
      const { input, output } = used(body)
      return sum + input * 2_500 + output * 10_000
    }, 0)
    expect(cost).to.equal(atProvider)
    expect(atProvider).to.be.within(quota * 0.8, quota)
    expect(await bed.used('budget')).to.equal(atProvider)
    expect(tally(statuses)[200]).to.equal(bed.provider.requests.length)
    expect(tally(statuses)[429]).to.equal(500 - bed.provider.requests.length)
  })

  it('500 in each of 8 processes on one Redis: exactly as many as the limit allows reach it', async function () {
    this.timeout(120_000)
    const redis = await startRedis()
    const provider = await startScriptedProvider()
    try {
      const module = fileURLToPath(new URL('many-calls.ts', import.meta.url))
      const processes = Array.from({ length: 8 }, () =>
        fork(module, [redis.url, provider.url, JSON.stringify(PLAN), '500'], {
          stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        }),
      )
      await Promise.all(processes.map((each) => once(each, 'message')))
      const answers = processes.map(async (each) => (await once(each, 'message'))[0] as number[])
      for (const each of processes) each.send('go')
      expect(tally((await Promise.all(answers)).flat())).to.deep.equal({ 200: N, 429: 8 * 500 - N })
      expect(provider.requests).to.have.length(N)
      expect(await countersOf(redis.url)).to.deep.equal([N, N])
      for (const each of processes) if (each.exitCode === null) await once(each, 'exit')
    } finally {
      await provider.close()
      await redis.stop()
    }
  })
})

/** What Redis has counted of the one key that called. */
async function countersOf(url: string): Promise<readonly number[]> {
  const store = await RedisCounterStore.connect({ url })
  const bed = await openTestBed({ plans: [PLAN], defaultPlans: ['p'], store })
  const { subject } = (await bed.quota.identify({ headers: { authorization: 'Bearer sk-a-key' }, url: '/' })) as {
    subject: Parameters<typeof bed.quota.limitsOf>[0]
  }
  const { statuses } = await bed.quota.limitsOf(subject)
  await store.close()
  return statuses.map(({ used }) => used)
}
