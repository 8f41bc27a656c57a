import { bindLimits, MemoryPlanSource, type Limit, type LimitStatus } from '@tallygate/core'
import { rateLimitFields, type RateLimitStyle } from '@tallygate/flow'
import { expect } from 'chai'

const NOW_MS = Date.UTC(2026, 10, 21, 11, 30)

type Stand = Partial<LimitStatus> & { readonly limit: Limit }

function statusesOf(...stands: readonly Stand[]): LimitStatus[] {
  const { plans } = new MemoryPlanSource({ plans: [{ name: 'p', limits: stands.map(({ limit }) => limit) }] })
  const bound = bindLimits({ plans, combine: 'all' }, { tenant: 'default', key: 'k' }, 'any', ['tenant', 'key'])
  return stands.map(({ limit: _limit, ...stand }, index) => ({
    bound: bound[index]!,
    used: 0,
    quota: 100,
    remaining: 100,
    startMs: null,
    tripped: false,
    resetAtMs: null,
    roomAtMs: NOW_MS,
    ...stand,
  }))
}

const calls: Limit = {
  name: 'calls-per-minute',
  unit: 'requests',
  quota: 60,
  window: { kind: 'fixed', every: 'minute' },
}
const tokens: Limit = {
  name: 'tokens-per-day',
  unit: 'tokens',
  quota: 100_000,
  window: { kind: 'fixed', every: 'day' },
}
const TWO: readonly Stand[] = [
  { limit: calls, quota: 60, remaining: 59, resetAtMs: NOW_MS + 29_500 },
  { limit: tokens, quota: 100_000, remaining: 52_000, resetAtMs: NOW_MS + 45_000_000 },
]

describe('rateLimitFields', () => {
  const cases: readonly { style: RateLimitStyle; fields: Record<string, string> }[] = [
    {
      style: 'draft-8',
      fields: {
        'RateLimit-Policy': '"calls-per-minute";q=60;w=60, "tokens-per-day";q=100000;w=86400',
        RateLimit: '"calls-per-minute";r=59;t=30, "tokens-per-day";r=52000;t=45000',
      },
    },
    {
      style: 'draft-7',
      fields: { 'RateLimit-Policy': '100000;w=86400', RateLimit: 'limit=100000, remaining=52000, reset=45000' },
    },
    {
      style: 'draft-6',
      fields: {
        'RateLimit-Policy': '100000;w=86400',
        'RateLimit-Limit': '100000',
        'RateLimit-Remaining': '52000',
        'RateLimit-Reset': '45000',
      },
    },
    {
      style: 'x',
      fields: {
        'X-RateLimit-Limit': '100000',
        'X-RateLimit-Remaining': '52000',
        'X-RateLimit-Reset': String(NOW_MS / 1_000 + 45_000),
      },
    },
    {
      style: 'openai',
      fields: {
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': '59',
        'x-ratelimit-reset-requests': '30s',
        'x-ratelimit-limit-tokens': '100000',
        'x-ratelimit-remaining-tokens': '52000',
        'x-ratelimit-reset-tokens': '12h30m',
      },
    },
    {
      style: 'anthropic',
      fields: {
        'anthropic-ratelimit-requests-limit': '60',
        'anthropic-ratelimit-requests-remaining': '59',
        'anthropic-ratelimit-requests-reset': '2026-11-21T11:30:29Z',
        'anthropic-ratelimit-tokens-limit': '100000',
        'anthropic-ratelimit-tokens-remaining': '52000',
        'anthropic-ratelimit-tokens-reset': '2026-11-22T00:00:00Z',
      },
    },
  ]

  for (const { style, fields } of cases) {
    it(`says where two limits stand in the fields of ${style}`, () => {
      expect(rateLimitFields(statusesOf(...TWO), [style], NOW_MS)).to.deep.equal(fields)
    })
  }

  it('joins the fields of several styles', () => {
    const fields = rateLimitFields(statusesOf(...TWO), ['draft-8', 'x'], NOW_MS)
    expect(Object.keys(fields)).to.have.members([
      'RateLimit-Policy',
      'RateLimit',
      'X-RateLimit-Limit',
      'X-RateLimit-Remaining',
      'X-RateLimit-Reset',
    ])
  })

  it('says nothing of limits that only count, and no time of what does not come back', () => {
    const unlimited = { limit: { ...calls, name: 'counted', quota: null }, quota: null, remaining: null }
    expect(rateLimitFields(statusesOf(unlimited), ['draft-8'], NOW_MS)).to.deep.equal({})
    const lifetime = {
      limit: { ...calls, name: 'ever', window: { kind: 'lifetime' } } as const,
      quota: 5,
      remaining: 1,
    }
    expect(rateLimitFields(statusesOf(unlimited, lifetime), ['draft-8'], NOW_MS)).to.deep.equal({
      'RateLimit-Policy': '"ever";q=5',
      RateLimit: '"ever";r=1',
    })
  })

  it('names the unit of calls at a time, which is a registered one', () => {
    const concurrent = {
      limit: { ...calls, name: 'at-once', window: { kind: 'concurrent' } } as const,
      quota: 5,
      remaining: 4,
    }
    expect(rateLimitFields(statusesOf(concurrent), ['draft-8'], NOW_MS)['RateLimit-Policy']).to.equal(
      '"at-once";q=5;qu="concurrent-requests"',
    )
  })

  it('never says a time below zero, nor leaves out a limit of 0', () => {
    const past = { limit: calls, quota: 0, remaining: 0, resetAtMs: NOW_MS - 5_000 }
    expect(rateLimitFields(statusesOf(past), ['draft-8'], NOW_MS).RateLimit).to.equal('"calls-per-minute";r=0;t=0')
    expect(rateLimitFields(statusesOf(past, TWO[1]!), ['draft-7'], NOW_MS).RateLimit).to.match(/^limit=0, remaining=0/)
  })
})
