import {
  allOf,
  estimateUsage,
  fixedWindow,
  identifyKey,
  meterUsage,
  quotaMiddleware,
  slidingWindow,
  type LimiterHandler,
} from '@tallygate/express'
import { dollars, PriceBook, QuotaError, type CounterStore } from '@tallygate/core'
import { expect } from 'chai'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import { ask, closeTestBeds, EXPRESSES, HELLO, openTestBed, type TestBed } from './test-bed.ts'

const MINUTE = 60_000

/** Options as somebody writes them who has no types. */
function untyped(options: Record<string, unknown>): { limit: number } {
  return options as { limit: number }
}

/** A server that answers by itself, behind middlewares. */
function served(bed: TestBed, ...middlewares: RequestHandler[]): Promise<string> {
  const app = express()
  for (const middleware of middlewares) app.use(middleware)
  return bed.serve(app.use((_req, res) => void res.send('ok')))
}

async function statuses(url: string, times: number, key?: string): Promise<number[]> {
  const found: number[] = []
  for (let time = 0; time < times; time += 1)
    found.push((await ask(`${url}/any`, key === undefined ? {} : { key })).status)
  return found
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

describe('the options of limiters', () => {
  afterEach(closeTestBeds)

  it('limit and keyGenerator may be functions of the request', async () => {
    const bed = await openTestBed()
    const url = await served(
      bed,
      fixedWindow({
        quota: bed.quota,
        limit: (req) => (req.query['tier'] === 'gold' ? 2 : 1),
        keyGenerator: async (req) => req.query['who'] as string,
      }),
    )
    const status = async (query: string): Promise<number> => (await ask(`${url}/any?${query}`)).status
    expect(await status('who=a')).to.equal(200)
    expect(await status('who=a')).to.equal(429)
    expect(await status('who=a&tier=gold')).to.equal(200)
    expect(await status('who=b')).to.equal(200)
  })

  it('keyGenerator of a number counts by it, and of a list fails the request, before anything is counted', async () => {
    const bed = await openTestBed()
    const app = express()
    const who = ({ query }: { query: Record<string, unknown> }): string =>
      (query['id'] === undefined ? query['who'] : Number(query['id'])) as string
    app.use(fixedWindow({ quota: bed.quota, limit: 1, keyGenerator: who }), (_req, res) => void res.send('ok'))
    app.use(((_error, _req, res, _next) => void res.sendStatus(500)) as ErrorRequestHandler)
    const url = await bed.serve(app)
    const found: number[] = []
    for (const query of ['id=7', 'who=a&who=b', 'who=7', 'id=8']) found.push((await ask(`${url}/?${query}`)).status)
    expect(found).to.deep.equal([200, 500, 429, 200])
  })

  it('skip lets requests pass untouched', async () => {
    const bed = await openTestBed()
    const url = await served(bed, fixedWindow({ quota: bed.quota, limit: 0, skip: (req) => req.path === '/any' }))
    expect(await statuses(url, 2)).to.deep.equal([200, 200])
    expect((await ask(`${url}/other`)).status).to.equal(429)
  })

  it('handler answers in place of the dialect, and is told all', async () => {
    const bed = await openTestBed()
    const url = await served(
      bed,
      fixedWindow({
        quota: bed.quota,
        limit: 0,
        statusCode: 402,
        message: 'no more',
        handler: (_req, res, _next, { denial, statusCode, message }) => {
          res.status(statusCode).json({ kind: denial.kind, message })
        },
      }),
    )
    expect(await ask(`${url}/any`)).to.deep.include({
      status: 402,
      json: { kind: 'quota-exhausted', message: 'no more' },
    })
  })

  it('message may be text, an object, or a function', async () => {
    const bed = await openTestBed()
    for (const [message, text] of [
      ['too much', 'too much'],
      [{ error: 'too much' }, '{"error":"too much"}'],
      [async () => 'made for you', 'made for you'],
    ] as const) {
      const url = await served(bed, fixedWindow({ quota: bed.quota, limit: 0, statusCode: 418, message }))
      expect(await ask(`${url}/any`)).to.deep.include({ status: 418, text })
    }
  })

  it('skipFailedRequests and skipSuccessfulRequests give back what they spare', async () => {
    const bed = await openTestBed()
    for (const [spared, path] of [
      ['skipFailedRequests', '/fails'],
      ['skipSuccessfulRequests', '/works'],
    ] as const) {
      const app = express()
      app.use(fixedWindow({ quota: bed.quota, limit: 1, [spared]: true }))
      app.use('/fails', (_req, res) => void res.sendStatus(500))
      app.use((_req, res) => void res.sendStatus(200))
      const url = await bed.serve(app)
      for (let time = 0; time < 3; time += 1) {
        expect((await ask(url + path)).status).not.to.equal(429)
        await bed.quota.drain()
      }
      const counted = path === '/fails' ? '/works' : '/fails'
      expect((await ask(url + counted)).status).not.to.equal(429)
      await bed.quota.drain()
      expect((await ask(url + counted)).status).to.equal(429)
    }
  })

  for (const { named, standardHeaders, legacyHeaders, expected } of [
    {
      named: 'draft-8',
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      expected: { ratelimit: '"calls";r=1;t=60', 'ratelimit-policy': '"calls";q=2;w=60' },
    },
    { named: 'true', standardHeaders: true, legacyHeaders: false, expected: { ratelimit: '"calls";r=1;t=60' } },
    {
      named: 'draft-7',
      standardHeaders: 'draft-7',
      legacyHeaders: false,
      expected: { ratelimit: 'limit=2, remaining=1, reset=60' },
    },
    {
      named: 'draft-6',
      standardHeaders: 'draft-6',
      legacyHeaders: false,
      expected: { 'ratelimit-limit': '2', 'ratelimit-remaining': '1', 'ratelimit-reset': '60' },
    },
    {
      named: 'false',
      standardHeaders: false,
      legacyHeaders: true,
      expected: { ratelimit: null, 'x-ratelimit-limit': '2', 'x-ratelimit-remaining': '1' },
    },
  ] as const) {
    it(`standardHeaders ${named}${legacyHeaders ? ' with legacyHeaders' : ''} says where the limit stands`, async () => {
      const bed = await openTestBed()
      const url = await served(
        bed,
        fixedWindow({ quota: bed.quota, limit: 2, identifier: 'calls', standardHeaders, legacyHeaders }),
      )
      const { headers } = await ask(`${url}/any`)
      for (const [name, value] of Object.entries(expected)) expect(headers.get(name), name).to.equal(value)
    })
  }

  it('passOnStoreError lets requests pass while the counters are away; otherwise they get a 503', async () => {
    const away: Pick<CounterStore, 'reserve'> = {
      reserve: async () => {
        throw new QuotaError('ERR_QUOTA_STORE_UNAVAILABLE', 'connection refused')
      },
    }
    const bed = await openTestBed()
    Object.assign(bed.store, away)
    const refusing = await served(bed, fixedWindow({ quota: bed.quota, limit: 9 }))
    const { status, headers, json } = await ask(refusing)
    expect(status).to.equal(503)
    expect(Number(headers.get('retry-after'))).to.be.within(1, 5)
    expect(json.error.type).to.be.a('string')
    const passing = await served(bed, fixedWindow({ quota: bed.quota, limit: 9, passOnStoreError: true }))
    expect(await statuses(passing, 1)).to.deep.equal([200])
  })

  it('warns once of X-Forwarded-For that nobody trusts, unless validate is off', async () => {
    const bed = await openTestBed()
    const forwarded = { headers: { 'x-forwarded-for': '203.0.113.9' } }
    const silent = await served(bed, fixedWindow({ quota: bed.quota, limit: 9, validate: false }))
    await ask(`${silent}/any`, forwarded)
    expect(bed.logged.filter((line) => line.includes('trust proxy'))).to.have.length(0)
    const url = await served(bed, fixedWindow({ quota: bed.quota, limit: 9 }))
    for (let time = 0; time < 3; time += 1) await ask(`${url}/any`, forwarded)
    expect(bed.logged.filter((line) => line.includes('trust proxy'))).to.have.length(1)
  })

  it('requestPropertyName keeps the context elsewhere', async () => {
    const bed = await openTestBed()
    const app = express()
    app.use(fixedWindow({ quota: bed.quota, limit: 9, requestPropertyName: 'tally' }), (req, res) => {
      const { tally, quota } = req as unknown as Record<string, { statuses?: readonly unknown[] } | undefined>
      res.json({ statuses: tally?.statuses?.length, quota: quota === undefined })
    })
    expect((await ask(await bed.serve(app), { body: HELLO })).json).to.deep.equal({ statuses: 1, quota: true })
  })

  it('limiters of one name that count in different windows are refused: each would begin the other anew', async () => {
    const bed = await openTestBed()
    const { quota } = bed
    const hour = fixedWindow({ quota, limit: 3, windowMs: 60 * MINUTE, identifier: 'calls' })
    const minute = fixedWindow({ quota, limit: 9, windowMs: MINUTE, identifier: 'calls' })
    const app = express().use('/hour', hour).use('/minute', minute)
    const caught: string[] = []
    app.use(((error, _req, res, _next) => {
      caught.push(String(error))
      res.sendStatus(500)
    }) as express.ErrorRequestHandler)
    const url = await bed.serve(app.use((_req, res) => void res.send('ok')))
    expect((await ask(`${url}/hour`)).status).to.equal(200)
    expect((await ask(`${url}/minute`)).status).to.equal(500)
    expect(caught[0]).to.include('two limiters named calls')
  })

  it('quotaMiddleware mounted twice with other windows counts apart', async () => {
    const bed = await openTestBed()
    const { quota } = bed
    const app = express()
    app.use('/hour', quotaMiddleware({ quota, limit: 3, windowMs: 60 * MINUTE }))
    app.use('/minute', quotaMiddleware({ quota, limit: 100, windowMs: MINUTE }))
    const url = await bed.serve(app.use((_req, res) => void res.send('ok')))
    const hourly: number[] = []
    for (let time = 0; time < 5; time += 1) {
      hourly.push((await ask(`${url}/hour`)).status)
      await ask(`${url}/minute`)
    }
    expect(hourly).to.deep.equal([200, 200, 200, 429, 429])
  })

  it('limiters of one name count together, others apart', async () => {
    const bed = await openTestBed()
    const quota = bed.quota
    const shared = [1, 2].map(() => fixedWindow({ quota, limit: 1, identifier: 'shared' }))
    const apart = [1, 2].map(() => fixedWindow({ quota, limit: 1 }))
    const app = express()
    for (const [index, limiter] of [...shared, ...apart].entries()) app.use(`/${index}`, limiter)
    const url = await bed.serve(app.use((_req, res) => void res.send('ok')))
    const found: number[] = []
    for (const index of [0, 1, 2, 3]) found.push((await ask(`${url}/${index}`)).status)
    expect(found).to.deep.equal([200, 429, 200, 200])
  })
})
