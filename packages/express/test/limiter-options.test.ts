import { fixedWindow, quotaMiddleware } from '@tallygate/express'
import { QuotaError, type CounterStore } from '@tallygate/core'
import { expect } from 'chai'
import express, { type ErrorRequestHandler } from 'express'
import { MINUTE, served, statuses } from './limiter-bed.ts'
import { ask, closeTestBeds, HELLO, openTestBed } from './test-bed.ts'

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
