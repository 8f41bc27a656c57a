import {
  allOf,
  estimateUsage,
  fixedWindow,
  identifyKey,
  meterUsage,
  slidingWindow,
  type LimiterHandler,
} from '@tallygate/express'
import { dollars, PriceBook, QuotaError } from '@tallygate/core'
import { expect } from 'chai'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { MINUTE, served, statuses } from './limiter-bed.ts'
import { ask, closeTestBeds, EXPRESSES, openTestBed, type TestBed } from './test-bed.ts'

/** Options as somebody writes them who has no types. */
function untyped(options: Record<string, unknown>): { limit: number } {
  return options as { limit: number }
}

/** What is left under each limit of the last answer, by name. */
async function remaining(url: string): Promise<Record<string, number>> {
  const { headers } = await ask(`${url}/any`)
  return Object.fromEntries(
    [...(headers.get('ratelimit') ?? '').matchAll(/"([^"]+)";r=(\d+)/g)].map(([, name, left]) => [name!, Number(left)]),
  )
}

for (const { version, express: ofThisVersion } of EXPRESSES) {
  describe(`fixedWindow, on ${version}`, () => {
    afterEach(closeTestBeds)

    it('works alone: counts each caller by its key, window by window', async () => {
      const bed = await openTestBed()
      const app: Express = ofThisVersion()
      app.use(fixedWindow({ quota: bed.quota, limit: 2, windowMs: MINUTE })).use((_req, res) => void res.send('ok'))
      const url = await bed.serve(app)
      expect(await statuses(url, 3)).to.deep.equal([200, 200, 429])
      expect(await statuses(url, 1, 'sk-another-key')).to.deep.equal([200])
      bed.clock.advance(MINUTE)
      expect(await statuses(url, 1)).to.deep.equal([200])
    })
  })
}

describe('fixedWindow', () => {
  afterEach(closeTestBeds)

  it('follows the calendar of a zone', async () => {
    const bed = await openTestBed()
    const url = await served(bed, fixedWindow({ quota: bed.quota, limit: 5, every: 'day', zone: 'Asia/Tokyo' }))
    const { headers } = await ask(`${url}/any`)
    expect(headers.get('ratelimit')).to.equal(`"requests-per-day";r=4;t=${(3 * 60 + 30) * 60}`)
  })

  it('refuses options that can not work when it is made, not when it is used', () => {
    const mistakes: readonly (readonly [RegExp, () => LimiterHandler])[] = [
      [/fixedWindow\(\)\.limit is -1/, () => fixedWindow({ limit: -1 })],
      [/limit is 1\.5/, () => fixedWindow({ limit: 1.5 })],
      [/limit is "5": use a whole number/, () => fixedWindow(untyped({ limit: '5' }))],
      [/unit is "euros": use requests,/, () => fixedWindow(untyped({ limit: 1, unit: 'euros' }))],
      [/windowMs is 5/, () => fixedWindow({ limit: 1, every: 'day', windowMs: 5 })],
      [/zone is "UTC"/, () => fixedWindow({ limit: 1, zone: 'UTC' })],
      [/max is 1: there is no such member, use limit,/, () => fixedWindow(untyped({ max: 1 }))],
      [/every is "day": there is no such member/, () => slidingWindow(untyped({ limit: 1, every: 'day' }))],
      [/standardHeaders is "draft-9"/, () => fixedWindow(untyped({ limit: 1, standardHeaders: 'draft-9' }))],
      [/quota is \{\}: use what createQuota/, () => fixedWindow(untyped({ limit: 1, quota: {} }))],
      [/durationMs/, () => fixedWindow({ limit: 1, windowMs: 0 })],
      [/zone/, () => fixedWindow({ limit: 1, every: 'day', zone: 'Mars/Olympus' })],
      [/name/, () => fixedWindow({ limit: 1, identifier: 'a name, with "quotes"' })],
      [/buckets/, () => slidingWindow({ limit: 1, buckets: 0 })],
    ]
    for (const [member, make] of mistakes) {
      expect(make).to.throw(QuotaError, member).with.property('code', 'ERR_QUOTA_CONFIG')
    }
  })
})

describe('slidingWindow', () => {
  afterEach(closeTestBeds)

  it('works alone: gives room back as its window moves on', async () => {
    const bed = await openTestBed()
    const url = await served(bed, slidingWindow({ quota: bed.quota, limit: 4, windowMs: MINUTE, buckets: 6 }))
    expect(await statuses(url, 5)).to.deep.equal([200, 200, 200, 200, 429])
    bed.clock.advance(MINUTE - 1)
    expect(await statuses(url, 1)).to.deep.equal([429])
    // The oldest bucket counts until the last of it has left the window: never too little.
    bed.clock.advance(10_001)
    expect(await statuses(url, 5)).to.deep.equal([200, 200, 200, 200, 429])
  })

  it('says in Retry-After when there is room again', async () => {
    const bed = await openTestBed()
    const url = await served(bed, slidingWindow({ quota: bed.quota, limit: 1, windowMs: 30_000, buckets: 3 }))
    await ask(`${url}/any`)
    const { status, headers } = await ask(`${url}/any`)
    const waitMs = Number(headers.get('retry-after-ms'))
    expect(status).to.equal(429)
    expect(Number(headers.get('retry-after'))).to.equal(Math.ceil(waitMs / 1_000))
    bed.clock.advance(waitMs)
    expect(await statuses(url, 1)).to.deep.equal([200])
  })
})

describe('several limiters', () => {
  afterEach(closeTestBeds)
  const limiters = (bed: TestBed): [LimiterHandler, LimiterHandler] => [
    fixedWindow({ quota: bed.quota, limit: 10, windowMs: MINUTE, identifier: 'fixed' }),
    slidingWindow({ quota: bed.quota, limit: 3, windowMs: MINUTE, identifier: 'sliding' }),
  ]

  for (const [how, mount] of [
    ['in allOf', (bed: TestBed) => [allOf(...limiters(bed))]],
    ['chained', (bed: TestBed) => limiters(bed)],
    ['chained the other way round', (bed: TestBed) => limiters(bed).toReversed()],
  ] as const) {
    it(`${how}: all count a call that passes, and none counts one that any refuses`, async () => {
      const bed = await openTestBed()
      const url = await served(bed, ...mount(bed))
      expect(await statuses(url, 8)).to.deep.equal([200, 200, 200, 429, 429, 429, 429, 429])
      await bed.quota.drain()
      bed.clock.advance(6_000 * 11)
      expect(await remaining(url)).to.deep.equal({ fixed: 9, sliding: 2 })
    })
  }

  it('chained: the reservation of the first is given back when a later one refuses', async () => {
    const bed = await openTestBed()
    const url = await served(bed, ...limiters(bed))
    await statuses(url, 8)
    await bed.quota.drain()
    bed.clock.advance(1)
    // Still in the same minute: five refused calls have left nothing in the window of the first limiter.
    const refused = await remaining(url)
    expect(refused).to.deep.equal({ fixed: 6, sliding: 0 })
  })

  it('can be allOf with limits of the caller in other units', async () => {
    const bed = await openTestBed()
    bed.provider.script = { usage: { input: 40, output: 60 } }
    const app = express()
    app.use(
      allOf(
        fixedWindow({ quota: bed.quota, limit: 250, unit: 'tokens', trip: 'reached', identifier: 'tokens' }),
        fixedWindow({ quota: bed.quota, limit: 10, identifier: 'calls' }),
      ),
      meterUsage({ quota: bed.quota }),
      (_req, res) =>
        void res.json({ usage: { prompt_tokens: 40, completion_tokens: 60, total_tokens: 100 }, choices: [] }),
    )
    const url = await bed.serve(app)
    const answers: number[] = []
    for (let time = 0; time < 4; time += 1) {
      answers.push((await ask(url)).status)
      await bed.quota.drain()
    }
    expect(answers).to.deep.equal([200, 200, 200, 429])
  })

  it('counts what calls cost, and fails where nobody knows prices', async () => {
    const answer: RequestHandler = (_req, res) =>
      void res.json({ usage: { prompt_tokens: 40, completion_tokens: 60, total_tokens: 100 }, choices: [] })
    const behind = (bed: TestBed): Promise<string> => {
      const budget = fixedWindow({ quota: bed.quota, limit: dollars('0.0015'), unit: 'cost', trip: 'reached' })
      const failed: ErrorRequestHandler = (error: Error, _req, res, _next) => void res.status(500).send(error.message)
      const { quota } = bed
      return bed.serve(express().use(estimateUsage({ quota }), budget, meterUsage({ quota }), answer, failed))
    }
    const bed = await openTestBed({ prices: new PriceBook({ prices: [{ model: 'gpt-4o', input: 2.5, output: 10 }] }) })
    const url = await behind(bed)
    const answers: number[] = []
    for (let time = 0; time < 4; time += 1) {
      answers.push((await ask(url)).status)
      await bed.quota.drain()
    }
    expect(answers).to.deep.equal([200, 200, 200, 429])
    const { status, text } = await ask(await behind(await openTestBed()))
    expect([status, text]).to.deep.equal([500, 'plan limiter counts cost, and nobody knows prices: set prices'])
  })

  it('refuses what is no limiter, none at all, or two of one name', () => {
    const one = fixedWindow({ limit: 1, identifier: 'one' })
    expect(() => allOf()).to.throw(QuotaError, /takes limiters/)
    expect(() => allOf(one, one)).to.throw(QuotaError, /two limiters named one/)
    expect(() => allOf(identifyKey() as LimiterHandler)).to.throw(QuotaError, /takes limiters/)
  })
})
