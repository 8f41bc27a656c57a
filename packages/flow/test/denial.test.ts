import { MemoryCounterStore, MemoryPlanSource, Admission, bindLimits, type Limit, type Refused } from '@tallygate/core'
import { denialOf, guardDenial, problemDenial, type DenialContext } from '@tallygate/flow'
import { SettableClock } from '@tallygate/testkit'
import { expect } from 'chai'

const START_MS = Date.UTC(2026, 10, 21, 11, 30)
const CONTEXT: DenialContext = {
  requestId: 'r-1',
  dialect: 'openai',
  styles: ['draft-8'],
  options: {},
  jitter: () => 0,
}

/** The refusal of a call that asks for 5 tokens when a limit of 10 has 7 used, or as the limit says. */
async function refusal(limit: Partial<Limit>, { asked = 5, used = 7 } = {}): Promise<Refused> {
  const clock = new SettableClock(START_MS)
  const admission = new Admission({ store: new MemoryCounterStore({ clock: clock.now }), clock: clock.now })
  const definition = {
    name: 'tokens',
    unit: 'tokens',
    quota: 10,
    window: { kind: 'fixed', every: 'day' },
    ...limit,
  } as const
  const { plans } = new MemoryPlanSource({ plans: [{ name: 'pro', limits: [definition] }] })
  const bound = bindLimits({ plans, combine: 'all' }, { tenant: 'default', key: 'k' }, {}, ['tenant', 'key'])
  await admission.admit({ id: 'first', bound, amounts: { tokens: used }, context: '' })
  const decision = await admission.admit({ id: 'second', bound, amounts: { tokens: asked }, context: '' })
  if (decision.admitted) throw new Error('was admitted')
  return decision
}

const minute = { kind: 'sliding', durationMs: 60_000, buckets: 1 } as const

describe('denialOf', () => {
  const cases: readonly {
    when: string
    limit?: Partial<Limit>
    asked?: number
    status: number
    retryAfter?: string
    shouldRetry?: string
    code: string
    says: RegExp
  }[] = [
    {
      when: 'room returns within a minute',
      limit: { window: { kind: 'sliding', durationMs: 10_000, buckets: 1 } },
      status: 429,
      retryAfter: '20',
      code: 'rate_limit_exceeded',
      says: /"tokens" of 10 tokens is used up for now\. Try again in 20 s\./,
    },
    {
      when: 'room returns later',
      status: 429,
      shouldRetry: 'false',
      code: 'insufficient_quota',
      says: /"tokens" of 10 tokens has 3 left, and this call may use more\. .* It comes back at 2026-11-22T00:00:00\.000Z\./,
    },
    {
      when: 'the quota is used up for good',
      limit: { window: { kind: 'lifetime' } },
      status: 429,
      shouldRetry: 'false',
      code: 'insufficient_quota',
      says: /It does not come back by itself\./,
    },
    {
      when: 'the call can never fit',
      asked: 11,
      status: 413,
      shouldRetry: 'false',
      code: 'request_too_large',
      says: /is smaller than this call alone may use/,
    },
  ]

  for (const { when, limit = {}, asked = 5, status, retryAfter, shouldRetry, code, says } of cases) {
    it(`answers ${status} when ${when}`, async () => {
      const denial = denialOf(await refusal(limit, { asked }), CONTEXT)
      expect(denial.status).to.equal(status)
      expect(denial.headers['Retry-After']).to.equal(retryAfter)
      expect(denial.headers['x-should-retry']).to.equal(shouldRetry)
      const { error } = JSON.parse(denial.body) as { error: { code: string; message: string; param: null } }
      expect(error).to.include({ code, param: null })
      expect(error.message).to.match(says)
      expect(denial.headers['RateLimit']).to.match(/^"tokens";r=3/)
      expect(denial.headers).to.include({ 'x-request-id': 'r-1', 'Cache-Control': 'no-store' })
      expect(denial.headers['Content-Length']).to.equal(String(Buffer.byteLength(denial.body)))
    })
  }

  it('spreads retries upwards by up to a tenth, and never beyond what clients honour', async () => {
    const decision = await refusal({ window: minute })
    for (const [waitMs, jitter, expected] of [
      [20_000, 0, 20_000],
      [20_000, 0.5, 21_000],
      [59_000, 0.999, 60_000],
      [0, 0, 1],
    ] as const) {
      const { headers } = denialOf(
        { ...decision, retryAtMs: decision.atMs + waitMs },
        { ...CONTEXT, jitter: () => jitter },
      )
      expect(headers['retry-after-ms']).to.equal(String(expected))
      expect(headers['Retry-After']).to.equal(String(Math.ceil(expected / 1_000)))
    }
  })

  it('takes the statuses that its options allow', async () => {
    const options = { exhaustedStatus: 402, neverFitsStatus: 400 } as const
    expect(denialOf(await refusal({}), { ...CONTEXT, options }).status).to.equal(402)
    expect(denialOf(await refusal({}, { asked: 11 }), { ...CONTEXT, options }).status).to.equal(400)
    expect(
      denialOf(await refusal({ window: { kind: 'sliding', durationMs: 9_000 } }), { ...CONTEXT, options }).status,
    ).to.equal(429)
  })

  it('speaks each dialect', async () => {
    const decision = await refusal({ window: { kind: 'sliding', durationMs: 10_000, buckets: 1 } })
    const body = (dialect: DenialContext['dialect']): unknown =>
      JSON.parse(denialOf(decision, { ...CONTEXT, dialect }).body) as unknown
    const message = 'The quota "tokens" of 10 tokens is used up for now. Try again in 20 s.'
    expect(body('anthropic')).to.deep.equal({
      type: 'error',
      error: { type: 'rate_limit_error', message },
      request_id: 'r-1',
    })
    expect(body('gemini')).to.deep.equal({
      error: {
        code: 429,
        status: 'RESOURCE_EXHAUSTED',
        message,
        details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '20s' }],
      },
    })
    expect(body('problem')).to.deep.equal({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      title: 'Quota exceeded',
      status: 429,
      detail: message,
      instance: 'urn:request:r-1',
      'violated-policies': ['tokens'],
    })
  })

  describe('of a limit on what is under way', () => {
    const atOnce = { name: 'at-once', window: { kind: 'concurrent' } } as const
    const cases: readonly (readonly [limit: Partial<Limit>, says: string])[] = [
      [{ unit: 'requests', quota: 1 }, 'allows 1 request at once; that many are under way. Try again in 1 s.'],
      [{ unit: 'tokens', quota: 1 }, 'allows 1 request at once; that many are under way. Try again in 1 s.'],
      [{ unit: 'requests', quota: 0 }, 'of 0 requests at once is used up. It does not come back by itself.'],
    ]
    for (const [limit, says] of cases) {
      it(`says in every dialect that a quota of ${limit.quota} in ${limit.unit} ${says}`, async () => {
        const decision = await refusal({ ...atOnce, ...limit })
        for (const dialect of ['openai', 'anthropic', 'gemini', 'problem'] as const) {
          const { message, body } = denialOf(decision, { ...CONTEXT, dialect })
          expect(message).to.include(`The quota "at-once" ${says}`)
          expect(body).to.include(JSON.stringify(message))
        }
      })
    }
  })

  it('answers 503 and a short Retry-After while nobody can count', () => {
    const decision = {
      admitted: false,
      reason: 'unavailable',
      binding: undefined,
      statuses: [],
      retryAtMs: null,
      atMs: 0,
    } as const
    for (const [jitter, seconds] of [
      [0, '1'],
      [0.999, '5'],
    ] as const) {
      const denial = denialOf(decision, { ...CONTEXT, jitter: () => jitter })
      expect([denial.status, denial.headers['Retry-After']]).to.deep.equal([503, seconds])
    }
  })

  it('never answers a quota with 408, 409 or a status of a broken server', async () => {
    for (const limit of [{}, { window: minute }, { window: { kind: 'lifetime' } }] as const) {
      for (const asked of [5, 50]) {
        expect(denialOf(await refusal(limit, { asked }), CONTEXT).status).to.be.oneOf([413, 429])
      }
    }
  })
})

describe('problemDenial', () => {
  for (const [kind, status] of [
    ['unauthenticated', 401],
    ['invalid-request', 400],
    ['body-too-large', 413],
    ['unsupported-media-type', 415],
    ['not-found', 404],
    ['unavailable', 503],
    ['provider-unreachable', 502],
    ['provider-timeout', 504],
    ['provider-broke-off', 502],
    ['internal', 500],
  ] as const) {
    it(`answers ${kind} with ${status}`, () => {
      const denial = problemDenial(kind, 'What is wrong.', CONTEXT)
      expect(denial.status).to.equal(status)
      expect(JSON.parse(denial.body)).to.have.nested.property('error.message', 'What is wrong.')
    })
  }
})

describe('guardDenial', () => {
  const message = 'Too many.'
  const cases = [
    { waitMs: 10_000, retry: 'later', within: [10, 11], shouldRetry: undefined },
    { waitMs: 10_000, retry: 'never', within: [10, 11], shouldRetry: 'false' },
    { waitMs: 60_000, retry: 'later', within: [60, 60], shouldRetry: undefined },
    { waitMs: 60_001, retry: 'later', within: undefined, shouldRetry: 'false' },
    { waitMs: Infinity, retry: 'never', within: undefined, shouldRetry: 'false' },
  ] as const
  for (const { waitMs, retry, within, shouldRetry } of cases) {
    it(`says when to come back, room being there in ${waitMs} ms and a retry making sense ${retry}`, () => {
      const request = { url: '/v1/chat/completions', headers: {} }
      const denial = guardDenial(request, { message, waitMs, retry, requestId: 'r-1' })
      const { 'Retry-After': seconds, 'retry-after-ms': ms, 'x-should-retry': again } = denial.headers
      expect([denial.status, denial.kind, again]).to.deep.equal([429, 'rate-limited', shouldRetry])
      if (within === undefined) expect([seconds, ms, denial.message]).to.deep.equal([undefined, undefined, message])
      else {
        expect(Number(seconds)).to.be.within(within[0], within[1])
        expect(Math.ceil(Number(ms) / 1_000)).to.equal(Number(seconds))
        expect(denial.message).to.equal(`Too many. Try again in ${seconds} s.`)
      }
    })
  }

  it('speaks the dialect of the path, or the one that is asked for', () => {
    const refusal = { message, waitMs: 1, retry: 'later', requestId: 'r-1' } as const
    const typeOf = (url: string, accept?: string): string | undefined =>
      guardDenial({ url, headers: accept === undefined ? {} : { accept } }, refusal).headers['Content-Type']
    expect(typeOf('/v1/messages')).to.match(/^application\/json/)
    expect(typeOf('/v1/messages', 'application/problem+json')).to.equal('application/problem+json')
  })
})
