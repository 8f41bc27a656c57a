import { MemoryKeyRegistry, QuotaError } from '@tallygate/core'
import {
  fixedWindow,
  floodGuard,
  guessGuard,
  identifyKey,
  llmProxy,
  quotaMiddleware,
  type GuessGuardOptions,
} from '@tallygate/express'
import { fingerprint, pepperOf } from '@tallygate/identity'
import { startRedis } from '@tallygate/testkit'
import { expect } from 'chai'
import type { Express, RequestHandler, Response } from 'express'
import { Redis } from 'ioredis'
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible'
import { ask, closeTestBeds, EXPRESSES, openTestBed, PEPPER, type Answered, type TestBed } from './test-bed.ts'

const ALICE = 'sk-alice-was-given-this'
const GONE = 'sk-this-was-taken-away'
const PATHS = ['/v1/chat/completions', '/v1/messages', '/v1beta/models/gemini-2.5-flash:generateContent', '/any']
const NO_LOG = { warn: () => {}, error: () => {} }

/** A quota that knows Alice's key alone. */
function openStrictBed(): Promise<TestBed> {
  const keyOf = (id: string, secret: string): { id: string; fingerprint: string } => ({
    id,
    fingerprint: fingerprint(pepperOf(PEPPER), secret),
  })
  const registry = new MemoryKeyRegistry([keyOf('alice', ALICE), { ...keyOf('gone', GONE), disabled: true }])
  return openTestBed({ registry })
}

async function statuses(work: readonly Promise<Answered>[]): Promise<Record<number, number>> {
  const counts: Record<number, number> = {}
  for (const { status } of await Promise.all(work)) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

const from = (address: string): Record<string, string> => ({ 'x-forwarded-for': address })
const times = <T>(count: number, work: (index: number) => T): T[] => Array.from({ length: count }, (_, i) => work(i))

for (const { version, express } of EXPRESSES) {
  /** A server that answers by itself, behind middlewares and one proxy that it trusts. */
  const served = (bed: TestBed, ...middlewares: readonly RequestHandler[]): Promise<string> => {
    const app: Express = express().set('trust proxy', 1)
    for (const middleware of middlewares) app.use(middleware)
    return bed.serve(app.use((_req, res) => void res.send('ok')))
  }

  describe(`floodGuard, on ${version}`, () => {
    afterEach(closeTestBeds)

    it('refuses what one address sends above the limit, and nobody else', async () => {
      const bed = await openTestBed()
      const url = await served(bed, floodGuard({ limit: 5, windowMs: 60_000 }))
      const flood = times(20, () => ask(`${url}/any`, { headers: from('192.0.2.1') }))
      expect(await statuses(flood)).to.deep.equal({ 200: 5, 429: 15 })
      expect((await ask(`${url}/any`, { headers: from('192.0.2.2') })).status).to.equal(200)
    })

    it('takes the addresses of an IPv6 subnet for one', async () => {
      const bed = await openTestBed()
      const url = await served(bed, floodGuard({ limit: 1, windowMs: 60_000, ipv6Subnet: 64 }))
      const asked = ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1'].map((address) => from(address))
      const found: number[] = []
      for (const headers of asked) found.push((await ask(`${url}/any`, { headers })).status)
      expect(found).to.deep.equal([200, 429, 200])
    })

    it('answers in the dialect of the path, and says when to come back', async () => {
      const bed = await openTestBed()
      const url = await served(bed, floodGuard({ limit: 1, windowMs: 30_000 }), quotaMiddleware({ quota: bed.quota }))
      await ask(`${url}/any`)
      const bodies = await Promise.all(PATHS.map((path) => ask(url + path, { body: 'not read, so no fault' })))
      const [openai, anthropic, gemini, other] = bodies.map(({ json }) => json)
      const says = /^Too many requests come from your address\. Try again in \d+ s\.$/
      expect(openai.error).to.include({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
      expect(openai.error.message).to.match(says)
      expect(anthropic).to.include({ type: 'error' }).and.to.have.nested.property('error.type', 'rate_limit_error')
      expect(gemini.error).to.include({ code: 429, status: 'RESOURCE_EXHAUSTED' })
      expect(other).to.include({ status: 429, title: 'Quota exceeded' })
      for (const { headers } of bodies) {
        expect(Number(headers.get('retry-after'))).to.be.within(1, 33)
        expect([headers.get('x-should-retry'), headers.get('cache-control')]).to.deep.equal([null, 'no-store'])
      }
      expect(await bed.entries()).to.deep.equal([])
    })

    it('passes what is to be skipped, and lets a handler answer', async () => {
      const bed = await openTestBed()
      const guard = floodGuard({
        limit: 1,
        windowMs: 60_000,
        skip: (req) => req.path === '/healthz',
        handler: (_req, res, _next, { denial, statusCode }) => void res.status(statusCode + 1).send(denial.kind),
      })
      const url = await served(bed, guard)
      expect(await statuses(times(5, () => ask(`${url}/healthz`)))).to.deep.equal({ 200: 5 })
      await ask(`${url}/any`)
      expect(await ask(`${url}/any`)).to.include({ status: 430, text: 'rate-limited' })
    })

    it('lets requests pass while its limiter fails, and says so once', async () => {
      const bed = await openTestBed()
      const logged: string[] = []
      const limiter = new RateLimiterMemory({ points: 1, duration: 60 })
      limiter.consume = () => Promise.reject(new Error('the connection is gone'))
      const logger = { ...NO_LOG, warn: (message: string) => void logged.push(message) }
      const url = await served(bed, floodGuard({ limiter, logger }))
      expect(await statuses(times(3, () => ask(`${url}/any`)))).to.deep.equal({ 200: 3 })
      expect(logged).to.deep.equal([`floodGuard() can't count, as its limiter fails, and lets requests pass`])
    })

    it('warns of a proxy that Express does not trust', async () => {
      const bed = await openTestBed()
      const logged: string[] = []
      const logger = { ...NO_LOG, warn: (message: string) => void logged.push(message) }
      const app: Express = express().use(floodGuard({ limit: 1, windowMs: 60_000, logger }))
      const url = await bed.serve(app.use((_req, res) => void res.send('ok')))
      for (const address of ['192.0.2.1', '192.0.2.2']) await ask(`${url}/any`, { headers: from(address) })
      expect(logged).to.have.length(1)
      expect(logged[0]).to.include("set Express's 'trust proxy'")
    })
  })

  describe(`guessGuard, on ${version}`, () => {
    afterEach(closeTestBeds)

    it('refuses unknown keys after ten of them; a registered one from the same address passes', async () => {
      const bed = await openStrictBed()
      const url = await served(bed, guessGuard(), quotaMiddleware({ quota: bed.quota }))
      const guesses = times(30, (index) => ask(url, { key: `sk-guess-${index}`, headers: from('192.0.2.1') }))
      expect(await statuses(guesses)).to.deep.equal({ 401: 10, 429: 20 })
      expect((await ask(url, { key: ALICE, headers: from('192.0.2.1') })).status).to.equal(200)
      expect((await ask(url, { key: 'sk-guess', headers: from('192.0.2.1') })).status).to.equal(429)
      expect((await ask(url, { key: 'sk-guess', headers: from('192.0.2.2') })).status).to.equal(401)
      expect((await bed.entries()).map(({ subject }) => subject)).to.deep.equal(['alice'])
    })

    it('answers in the dialect of the path, with the id of the attempt, and tells clients not to try again', async () => {
      const bed = await openStrictBed()
      const url = await served(bed, guessGuard({ limit: 1 }), quotaMiddleware({ quota: bed.quota }))
      const headers = { 'x-api-key': 'sk-guess' }
      await ask(url, { key: '', headers })
      const answers = await Promise.all(PATHS.slice(0, 3).map((path) => ask(url + path, { key: '', headers })))
      const says = /^Too many unknown keys came from your address\. Check yours\. Try again in \d+ s\.$/
      for (const answer of answers) {
        expect(answer.status).to.equal(429)
        expect(answer.json.error.message).to.match(says)
        expect(Number(answer.headers.get('retry-after'))).to.be.within(1, 60)
        expect(answer.headers.get('x-should-retry')).to.equal('false')
      }
      expect(answers[0]!.json.error.code).to.equal('rate_limit_exceeded')
      expect(answers[1]!.json).to.include({ type: 'error', request_id: answers[1]!.headers.get('x-request-id') })
      expect(answers[2]!.json.error.status).to.equal('RESOURCE_EXHAUSTED')
    })

    const ways: readonly { way: string; after: (bed: TestBed) => readonly RequestHandler[] }[] = [
      { way: 'identifyKey', after: ({ quota }) => [identifyKey({ quota })] },
      { way: 'a limiter', after: ({ quota }) => [fixedWindow({ quota, limit: 100 })] },
    ]
    for (const { way, after } of ways) {
      it(`counts what ${way} finds to be unknown`, async () => {
        const bed = await openStrictBed()
        const url = await served(bed, guessGuard({ limit: 2 }), ...after(bed))
        const guesses = times(5, () => ask(`${url}/any`, { key: 'sk-guess' }))
        expect(await statuses(guesses)).to.deep.equal({ 401: 2, 429: 3 })
      })
    }

    it('counts strangers whom llmProxy does not pay for', async () => {
      const bed = await openTestBed()
      const proxy = llmProxy({ target: bed.provider.url, credential: { swap: 'sk-of-the-host' } })
      const url = await served(bed, guessGuard({ limit: 2 }), quotaMiddleware({ quota: bed.quota }), proxy)
      expect(await statuses(times(5, () => ask(url)))).to.deep.equal({ 401: 2, 429: 3 })
      expect(bed.provider.requests).to.have.length(0)
    })

    it('counts malformed and disabled keys, and no requests without a key', async () => {
      const bed = await openStrictBed()
      const url = await served(bed, guessGuard({ limit: 2 }), quotaMiddleware({ quota: bed.quota }))
      expect(await statuses(times(5, () => ask(url, { key: '' })))).to.deep.equal({ 401: 5 })
      const found: number[] = []
      for (const key of ['ä key', GONE, 'sk-guess'])
        found.push((await ask(url, { key: '', headers: { 'x-api-key': key } })).status)
      expect(found).to.deep.equal([401, 401, 429])
    })

    it('counts a guess once, however often it is mounted', async () => {
      const bed = await openStrictBed()
      const guard = guessGuard({ limit: 2 })
      const url = await served(bed, guard, guard, quotaMiddleware({ quota: bed.quota }))
      expect(await statuses(times(4, () => ask(url, { key: 'sk-guess' })))).to.deep.equal({ 401: 2, 429: 2 })
    })

    it('answers by its own handler, and leaves 401 to that of the middleware', async () => {
      const bed = await openStrictBed()
      const handlerOf = (name: string): NonNullable<GuessGuardOptions['handler']> => {
        return (_req, res, _next, { statusCode }) => void res.status(statusCode).send(name)
      }
      const guard = guessGuard({ limit: 1, handler: handlerOf('guard') })
      const url = await served(bed, guard, quotaMiddleware({ quota: bed.quota, handler: handlerOf('quota') }))
      const texts: string[] = []
      for (let guess = 0; guess < 2; guess += 1) texts.push((await ask(url, { key: 'sk-guess' })).text)
      expect(texts).to.deep.equal(['quota', 'guard'])
    })

    it('refuses everything from an address that guessed, where it is told to: also for routes of others', async () => {
      const bed = await openTestBed()
      const login: RequestHandler = (req, res) => {
        res.sendStatus(req.headers.authorization === `Bearer ${ALICE}` ? 200 : 401)
      }
      const url = await served(bed, guessGuard({ limit: 3, refuses: 'everything' }), login)
      const headers = from('192.0.2.1')
      const found: number[] = []
      for (const key of ['', '', '', '', ALICE, 'guess', 'guess', ALICE, 'guess', ALICE, ''])
        found.push((await ask(`${url}/any`, { key, headers })).status)
      expect(found).to.deep.equal([401, 401, 401, 401, 200, 401, 401, 200, 401, 429, 429])
      expect((await ask(`${url}/any`, { key: ALICE, headers: from('192.0.2.2') })).status).to.equal(200)
    })

    it('answers no more guesses than the limit that come at the same time, where it refuses everything', async () => {
      const bed = await openTestBed()
      const login: RequestHandler = (req, res) => {
        setTimeout(() => res.sendStatus(req.headers.authorization === `Bearer ${ALICE}` ? 200 : 401), 10)
      }
      const guard = guessGuard({ limit: 3, refuses: 'everything' })
      const url = await served(bed, guard, guard, login)
      const guesses = times(40, (index) => ask(`${url}/any`, { key: `guess-${index}`, headers: from('192.0.2.1') }))
      const right = times(40, () => ask(`${url}/any`, { key: ALICE, headers: from('192.0.2.2') }))
      expect(await statuses(guesses)).to.deep.equal({ 401: 3, 429: 37 })
      expect(await statuses(right)).to.deep.equal({ 200: 40 })
      const mixed = times(40, (index) =>
        ask(`${url}/any`, { key: index % 2 ? ALICE : '?', headers: from('192.0.2.3') }),
      )
      const found = await statuses(mixed)
      expect([found[401], found[429]]).to.deep.equal([3, 37 - (found[200] ?? 0)])
    })

    it('waits for the head of an answer, not for its end, and for nobody who has gone', async () => {
      const bed = await openTestBed()
      const open: Response[] = []
      const endless: RequestHandler = (req, res) => {
        open.push(res)
        if (req.path !== '/silent') res.write('and so on')
      }
      const url = await served(bed, guessGuard({ limit: 1, refuses: 'everything' }), endless)
      const over = new AbortController()
      const { signal } = over
      const headers = { authorization: 'Bearer a' }
      for (let call = 0; call < 3; call += 1) expect((await fetch(url, { headers, signal })).status).to.equal(200)
      const silent = ['/silent', '/silent?2'].map((path) => fetch(url + path, { headers, signal }).catch(() => 'gone'))
      while (open.length < 4) await new Promise((resolve) => setTimeout(resolve, 5))
      over.abort()
      expect(await Promise.all(silent)).to.deep.equal(['gone', 'gone'])
      expect((await fetch(url, { headers, signal: AbortSignal.timeout(5_000) })).status).to.equal(200)
      for (const res of open) res.destroy()
    })

    it('counts together with other processes, in a limiter that they share', async () => {
      const server = await startRedis()
      const client = new Redis(server.url)
      try {
        const beds = [await openStrictBed(), await openStrictBed()]
        const options = { storeClient: client, points: 4, duration: 60, inMemoryBlockOnConsumed: 4 }
        const urls = await Promise.all(
          beds.map((bed) => {
            const guard = guessGuard({ limiter: new RateLimiterRedis({ ...options, keyPrefix: 'guesses' }) })
            return served(bed, guard, quotaMiddleware({ quota: bed.quota }))
          }),
        )
        const guesses = times(20, (index) => ask(urls[index % 2]!, { key: 'sk-guess' }))
        expect(await statuses(guesses)).to.deep.equal({ 401: 4, 429: 16 })
      } finally {
        client.disconnect()
        await server.stop()
      }
    })
  })
}

describe('options of guards', () => {
  const limiter = new RateLimiterMemory({ points: 1, duration: 1 })
  const mistakes: readonly { make: () => unknown; says: string }[] = [
    { make: () => floodGuard({}), says: 'floodGuard().limit is undefined: use a whole number from 1' },
    { make: () => floodGuard({ limit: 0 }), says: 'floodGuard().limit is 0: use a whole number from 1' },
    { make: () => floodGuard({ limit: 1, windowMs: 500 }), says: 'floodGuard().windowMs is 500: use whole seconds' },
    { make: () => floodGuard({ limiter, limit: 1 }), says: 'floodGuard().limit is 1: the limiter says it' },
    {
      make: () => guessGuard({ limiter, windowMs: 1_000 }),
      says: 'guessGuard().windowMs is 1000: the limiter says it',
    },
    { make: () => guessGuard({ limiter: {} as typeof limiter }), says: 'guessGuard().limiter is {}: use a limiter of' },
    {
      make: () => guessGuard({ ipv6Subnet: 65 }),
      says: 'guessGuard().ipv6Subnet is 65: use a whole number from 32 to 64',
    },
    { make: () => guessGuard({ max: 5 } as object), says: 'guessGuard().max is 5: there is no such member' },
    {
      make: () => guessGuard({ refuses: 'all' as 'everything' }),
      says: 'guessGuard().refuses is "all": use unknown-keys, everything',
    },
    {
      make: () => {
        const timeless = new RateLimiterMemory({ points: 0, duration: 0 })
        return guessGuard({ limiter: timeless, refuses: 'everything' })
      },
      says: 'guessGuard().limiter.points is 0: use a limiter that has points',
    },
  ]
  for (const { make, says } of mistakes) {
    it(`that can't work are refused: ${says}`, () => {
      expect(make).to.throw(QuotaError, says).with.property('code', 'ERR_QUOTA_CONFIG')
    })
  }
})
