import { dollars, PriceBook, type Limit, type ModelPrice, type Plan } from '@tallygate/core'
import { createQuota, type QuotaOptions } from '@tallygate/flow'
import { expect } from 'chai'
import { QuotaBed, subject } from './quota-bed.ts'

const GPT: ModelPrice = { model: 'gpt-4o', input: 2.5, output: 10 }
const LIFETIME = { kind: 'lifetime' } as const
const COST: Limit = { name: 'budget', unit: 'cost', quota: dollars(5), window: LIFETIME }

function bed({
  limits = [COST],
  prices = [GPT],
  unpriced,
  ...more
}: { limits?: Limit[]; prices?: ModelPrice[]; unpriced?: Plan['unpriced'] } & Omit<
  QuotaOptions,
  'prices'
> = {}): QuotaBed {
  const plan = { name: 'p', limits, ...(unpriced === undefined ? {} : { unpriced }) }
  const book = new PriceBook({ version: 'v1', creditsPerUnit: 100, prices })
  return new QuotaBed({ plans: [plan], defaultPlans: ['p'], prices: book, ...more })
}

const ANSWERED = {
  status: 200,
  framing: 'json',
  reading: { reported: undefined, coversOutput: false, model: undefined, isPending: false },
  kept: undefined as never,
  isStream: false,
  providerRequestId: undefined,
} as const

/** A request that was read, and whether it was admitted. */
async function ask(on: QuotaBed, body: object, url = '/v1/chat/completions') {
  const call = on.quota.begin({ method: 'POST', url, headers: {} })
  call.identifyAs(subject())
  await call.resolvePlans()
  const denial = call.read(Buffer.from(JSON.stringify(body))) ?? (await call.admit())
  call.recordAtEnd()
  return { call, denial }
}

describe('CallPricing', () => {
  it('charges what a call costs, and its entry says by which price', async () => {
    const on = bed()
    const entry = await on.call({ status: 200, outcome: 'complete', tokens: 1_000 })
    expect(entry.usage).to.include({ costNanos: 2_500_000, credits: 1, pricedBy: 'v1 gpt-4o' })
    expect(entry.charges).to.have.length(1)
    expect(entry.charges[0]).to.include({ unit: 'cost', actual: 2_500_000 })
    expect(await on.used()).to.deep.equal({ 'p/budget': 2_500_000 })
  })

  it('holds the price of all bytes and of the whole ceiling while the call runs', async () => {
    const on = bed()
    const body = { model: 'gpt-4o', max_tokens: 100, messages: [] }
    const { call } = await ask(on, body)
    const bytes = JSON.stringify(body).length
    expect(await on.used()).to.deep.equal({ 'p/budget': bytes * 2_500 + 100 * 10_000 })
    call.release()
    expect(await on.used()).to.deep.equal({ 'p/budget': 0 })
  })

  it('counts the input where its bytes have no room, but its tokens do', async () => {
    const on = bed({ limits: [{ ...COST, quota: 10_000 * 10 + 2_500 * 60 }] })
    const { denial } = await ask(on, {
      model: 'gpt-4o',
      max_tokens: 10,
      messages: [{ role: 'user', content: 'hello '.repeat(30) }],
    })
    expect(denial).to.equal(undefined)
  })

  it('charges an error of the provider nothing', async () => {
    const on = bed({ limits: [COST, { name: 'images', unit: 'images', quota: 5, window: LIFETIME }] })
    await on.call({ status: 500, outcome: 'failed' })
    expect(await on.used()).to.deep.equal({ 'p/budget': 0, 'p/images': 0 })
  })

  it('counts seconds, images, searches and credits', async () => {
    const limits = (['seconds', 'images', 'searches', 'credits'] as const).map((unit) => ({
      name: unit,
      unit,
      quota: 1_000,
      window: LIFETIME,
    }))
    const on = bed({ limits })
    const { call } = await ask(on, { model: 'gpt-4o', messages: [] })
    call.record({ seconds: 3, images: 2, searches: 1, inputTokens: 100_000 })
    await call.finish('complete', ANSWERED)
    await on.quota.drain()
    expect(await on.used()).to.deep.equal({ 'p/seconds': 3, 'p/images': 2, 'p/searches': 1, 'p/credits': 25 })
  })

  it('refuses in dollars what the budget has no room for, and says where it stands', async () => {
    const on = bed({ limits: [{ ...COST, quota: dollars('0.02'), window: { kind: 'fixed', every: 'month' } }] })
    await on.call({ status: 200, outcome: 'complete', tokens: 7_000 })
    const { denial } = await ask(on, { model: 'gpt-4o', max_tokens: 900, messages: [] })
    expect(denial?.status).to.equal(429)
    expect(denial?.message).to.match(/^The quota "budget" of \$0\.02 has \$0\.0025 left, and this call may use more\./)
    expect(denial?.headers['RateLimit']).to.match(/^"budget";r=2500;t=/)
    expect(denial?.headers['RateLimit-Policy']).to.match(/^"budget";q=20000;w=/)
    const never = await ask(on, { model: 'gpt-4o', max_tokens: 9_000, messages: [] })
    expect(never.denial?.message).to.match(/^The quota "budget" of \$0\.02 is smaller than this call alone may use/)
  })

  describe('a model without a price', () => {
    const unknown = { model: 'gpt-9', max_tokens: 1, messages: [] }

    it('is refused in the dialect of its route, and nothing is held or written', async () => {
      const on = bed()
      const { call, denial } = await ask(on, unknown)
      expect(denial).to.include({ status: 403, kind: 'unpriced-model' })
      expect(JSON.parse(denial!.body)).to.deep.equal({
        error: {
          message:
            'The model "gpt-9" has no price here, and your quota counts what calls cost. Use a model that has one, or ask for a price to be set.',
          type: 'invalid_request_error',
          param: null,
          code: 'model_not_priced',
        },
      })
      expect(await on.used()).to.deep.equal({ 'p/budget': 0 })
      await call.finishUnmetered('complete', 403)
      expect(await on.entries()).to.deep.equal([])
      const anthropic = await ask(on, unknown, '/v1/messages')
      expect(JSON.parse(anthropic.denial!.body)).to.nested.include({ 'error.type': 'permission_error' })
    })

    it('is refused also where nobody names a model', async () => {
      const { denial } = await ask(bed(), { messages: [] })
      expect(denial?.message).to.match(/^A call without a model has no price here/)
    })

    it('is refused, too, where its price tells only what the quota does not count', async () => {
      const prices = [
        { model: 'taken', credits: { call: 1 } },
        { model: 'paid', call: 1 },
      ]
      const credits: Limit = { name: 'credits', unit: 'credits', quota: 5, window: LIFETIME }
      const book = new PriceBook({ prices })
      for (const [limit, refused, passes] of [
        [COST, 'taken', 'paid'],
        [credits, 'paid', 'taken'],
      ] as const) {
        const on = new QuotaBed({ plans: [{ name: 'p', limits: [limit] }], defaultPlans: ['p'], prices: book })
        expect((await ask(on, { model: refused, messages: [] })).denial?.kind).to.equal('unpriced-model')
        const { call, denial } = await ask(on, { model: passes, messages: [] })
        expect(denial).to.equal(undefined)
        call.release()
      }
    })

    it('passes with flag, costs nothing, and its entry says so', async () => {
      const on = bed({ unpriced: 'flag' })
      const { call, denial } = await ask(on, unknown)
      expect(denial).to.equal(undefined)
      call.record({ inputTokens: 10, outputTokens: 1 })
      await call.finish('complete', ANSWERED)
      await on.quota.drain()
      const [entry] = await on.entries()
      expect(entry!.usage).to.deep.include({ flags: ['unpriced'] })
      expect(entry!.usage).not.to.have.property('costNanos')
      expect(await on.used()).to.deep.equal({ 'p/budget': 0 })
    })

    it('costs as much as the dearest of its family with family-max', async () => {
      const on = bed({
        unpriced: 'family-max',
        prices: [GPT, { model: 'gpt-3', input: 9 }, { model: 'claude', input: 99 }],
      })
      const { call } = await ask(on, unknown)
      call.record({ inputTokens: 10, outputTokens: 1 })
      await call.finish('complete', ANSWERED)
      await on.quota.drain()
      const [entry] = await on.entries()
      expect(entry!.usage).to.deep.include({
        costNanos: 100_000,
        flags: ['unpriced'],
        pricedBy: 'v1 family of gpt-4o, gpt-3 (2)',
      })
      expect(await on.used()).to.deep.equal({ 'p/budget': 100_000 })
    })

    it('passes where cost is only watched, or not counted', async () => {
      for (const limits of [
        [{ ...COST, mode: 'shadow' }],
        [{ ...COST, onTrip: 'flag' }],
        [{ ...COST, unit: 'tokens' }],
      ] as Limit[][]) {
        const { call, denial } = await ask(bed({ limits }), unknown)
        expect(denial).to.equal(undefined)
        call.release()
      }
    })

    it('is refused by the strictest of several plans', async () => {
      const plans = [
        { name: 'lax', unpriced: 'flag' as const, limits: [COST] },
        { name: 'strict', limits: [COST] },
      ]
      const on = new QuotaBed({ plans, defaultPlans: ['lax', 'strict'], prices: new PriceBook({ prices: [] }) })
      expect((await ask(on, unknown)).denial?.status).to.equal(403)
    })
  })

  it('holds more for what may write into caches or be audio, and only then', async () => {
    const on = bed({ prices: [{ model: 'm', input: 3, cacheWrite: 6, output: 1, audioInput: 30 }] })
    const held = async (body: object): Promise<number> => {
      const { call } = await ask(on, { model: 'm', max_tokens: 1, ...body })
      const used = await on.used()
      call.release()
      return (used['p/budget']! - 1_000) / JSON.stringify({ model: 'm', max_tokens: 1, ...body }).length
    }
    expect(await held({ messages: [] })).to.equal(3_000)
    expect(await held({ messages: [], cache_control: { type: 'ephemeral' } })).to.equal(6_000)
    expect(await held({ messages: [{ type: 'input_audio' }] })).to.equal(30_000)
  })

  it('holds the searches that a request lets its provider do', async () => {
    const on = bed({ prices: [{ model: 'm', input: 0, output: 0, search: 0.01 }] })
    const tools = [{ type: 'web_search_20250305', name: 'web_search', max_uses: 4 }]
    const { call } = await ask(on, { model: 'm', max_tokens: 1, messages: [], tools }, '/v1/messages')
    expect(await on.used()).to.deep.equal({ 'p/budget': dollars('0.04') })
    call.release()
    const without = await ask(on, { model: 'm', max_tokens: 1, messages: [] }, '/v1/messages')
    expect(await on.used()).to.deep.equal({ 'p/budget': 0 })
    without.call.release()
  })

  it('is not misled by escapes as to what may write into caches', async () => {
    const on = bed({ prices: [{ model: 'm', input: 3, cacheWrite: 6, output: 1 }] })
    const held = async (body: string): Promise<number> => {
      const call = on.quota.begin({ method: 'POST', url: '/v1/messages', headers: {} })
      call.identifyAs(subject())
      await call.resolvePlans()
      expect(call.read(Buffer.from(body)) ?? (await call.admit())).to.equal(undefined)
      const used = await on.used()
      call.release()
      return (used['p/budget']! - 1_000) / body.length
    }
    const escaped = String.raw`{"model":"m","max_tokens":1,"messages":[],"cache\u005fcontro\u006c":{"type":"ephemeral"}}`
    expect(await held(escaped)).to.equal(6_000)
    // What clients escape that write nothing but ASCII.
    expect(await held(String.raw`{"model":"m","max_tokens":1,"messages":[],"x":"caf\u00e9 \u4e2d"}`)).to.equal(3_000)
  })

  it('holds what images can be that the request only refers to', async () => {
    const on = bed()
    const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } }
    const body = { model: 'gpt-4o', max_tokens: 1, messages: [{ role: 'user', content: [image, image] }] }
    const { call } = await ask(on, body)
    const tokens = JSON.stringify(body).length + 2 * (85 + 8 * 170)
    expect(await on.used()).to.deep.equal({ 'p/budget': tokens * 2_500 + 10_000 })
    call.release()
  })

  it('holds an estimate of units that the request does not state', async () => {
    const prices = [{ model: 'm', minute: 0.6, image: 1, search: 2 }]
    for (const [estimates, expected] of [
      [{}, 1.6],
      [{ seconds: 30, images: 2, searches: 1 }, 4.3],
    ] as const) {
      const on = bed({ limits: [{ ...COST, quota: dollars(50) }], prices, estimates })
      const { call } = await ask(on, { model: 'm', messages: [] })
      expect(await on.used()).to.deep.equal({ 'p/budget': dollars(expected) })
      call.release()
    }
  })

  it('holds units that the operation is billed by, stated or estimated, and charges what was used', async () => {
    const limits = (['seconds', 'images', 'searches'] as const).map((unit) => ({
      name: unit,
      unit,
      quota: 1_000,
      window: LIFETIME,
    }))
    const on = bed({ limits })
    const held = async (url: string, body: object): Promise<object> => {
      const { call } = await ask(on, body, url)
      const used = await on.used()
      call.release()
      return used
    }
    expect(await held('/v1/images/generations', { model: 'x', n: 3 })).to.deep.equal({
      'p/seconds': 0,
      'p/images': 3,
      'p/searches': 0,
    })
    expect(await held('/v2/rerank', { model: 'x', documents: [] })).to.deep.equal({
      'p/seconds': 0,
      'p/images': 0,
      'p/searches': 1,
    })
    expect(await held('/v1/chat/completions', { model: 'x' })).to.deep.equal({
      'p/seconds': 0,
      'p/images': 0,
      'p/searches': 0,
    })
  })

  it('holds at the tier of service that the request asks for', async () => {
    const on = bed({ prices: [{ model: 'm', output: 1, tiers: { priority: { multiplier: 2 } } }] })
    const { call } = await ask(on, { model: 'm', max_tokens: 100, service_tier: 'priority', messages: [] })
    expect(await on.used()).to.deep.equal({ 'p/budget': 200_000 })
    call.release()
  })

  it('goes on by the book that a call began under, where another one replaces it', async () => {
    const on = bed()
    const { call } = await ask(on, { model: 'gpt-4o', max_tokens: 1, messages: [] })
    const plans = [{ name: 'p', limits: [COST] }]
    on.quota.swap({
      plans,
      defaultPlans: ['p'],
      prices: new PriceBook({ version: 'v2', prices: [{ ...GPT, input: 99 }] }),
    })
    call.record({ inputTokens: 1_000, outputTokens: 0 })
    await call.finish('complete', ANSWERED)
    const entry = await on.call({ status: 200, outcome: 'complete', tokens: 1_000 })
    const [first] = (await on.entries()).filter(({ id }) => id === call.attemptId)
    expect(first!.usage).to.include({ costNanos: 2_500_000, pricedBy: 'v1 gpt-4o' })
    expect(entry.usage).to.include({ costNanos: 99_000_000, pricedBy: 'v2 gpt-4o' })
  })

  describe('mistakes', () => {
    const plans = (unit: Limit['unit']): Plan[] => [{ name: 'p', limits: [{ ...COST, unit }] }]
    const mistakes: [string, QuotaOptions, RegExp][] = [
      [
        'a budget without prices',
        { plans: plans('cost') },
        /^plan p counts cost, and nobody knows prices: set prices$/,
      ],
      [
        'credits of which no price says anything',
        { plans: plans('credits'), prices: new PriceBook({ prices: [GPT] }) },
        /^plan p counts credits, of which the price book says nothing/,
      ],
      ['prices that are none', { prices: [] as never }, /prices is \[\]: use a price book/],
      ['an estimate that is none', { estimates: { seconds: -1 } }, /estimates\.seconds is -1/],
      [
        'another word for unpriced',
        { plans: [{ name: 'p', limits: [], unpriced: 'free' as never }] },
        /plans\.p\.unpriced is "free"/,
      ],
    ]
    for (const [what, options, message] of mistakes)
      it(what, () => {
        expect(() => createQuota({ pepper: 'a pepper for tests, long enough to be one', ...options })).to.throw(message)
      })
  })
})
