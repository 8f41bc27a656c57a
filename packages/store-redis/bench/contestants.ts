import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Charge, ReserveRequest } from '@tallygate/core'
import { RedisCounterStore } from '@tallygate/store-redis'
import express, { type NextFunction, type Request, type RequestHandler, type Response } from 'express'
import { rateLimit, type Options, type Store } from 'express-rate-limit'
import type { Redis } from 'ioredis'
import { RateLimiterRedis } from 'rate-limiter-flexible'

/** One way to count a call under some limits. */
export interface Contestant {
  readonly name: string
  readonly run: (index: number) => Promise<unknown>
}

const CALLERS = 10_000
/** Enough for every run: what is measured is counting. */
const QUOTA = 1_000_000_000
// Charges are made once: none of these windows is over before the benchmark is.
const SECONDS = [3_600, 86_400, 604_800, 1_209_600, 7_200, 172_800, 43_200, 21_600]

export function contestants(open: () => Redis): readonly Contestant[] {
  return [
    ...[1, 4, 8].map((limits) => ({ name: name('tallygate', limits), run: tallygate(open(), limits) })),
    { name: 'tallygate, 4 limits, one script for all', run: tallygate(open(), 4, { mostShapes: 0 }) },
    { name: 'tallygate, 4 limits, of which 2 slide', run: tallygate(open(), 4, {}, 2) },
    { name: 'tallygate, 4 limits, reserved and settled', run: tallygate(open(), 4, {}, 0, true) },
    { name: 'tallygate, 1 and 4 limits on one key in turn', run: inTurn(open()) },
    { name: 'tallygate, 1 and 4 limits in turn, settled', run: inTurn(open(), true) },
    ...[1, 4].map((limits) => ({ name: name('rate-limiter-flexible', limits), run: flexible(open(), limits) })),
    { name: 'Express', run: inExpress([]) },
    { name: 'Express with tallygate, 4 limits', run: inExpress([asMiddleware(tallygate(open(), 4))]) },
    { name: 'Express with rate-limiter-flexible, 4 limits', run: inExpress([asMiddleware(flexible(open(), 4))]) },
    { name: 'Express with express-rate-limit, 4 limits', run: inExpress(expressRateLimits(open(), 4)) },
  ]
}

function name(of: string, limits: number): string {
  return `${of}, ${limits} limit${limits === 1 ? '' : 's'}`
}

function tallygate(
  client: Redis,
  limits: number,
  options: { mostShapes?: number } = {},
  sliding = 0,
  isSettled = false,
): Contestant['run'] {
  const store = new RedisCounterStore({ client, ...options })
  // What does not change from call to call is made once, as in a host.
  const requests = Array.from({ length: CALLERS }, (_, caller) => requestOf(caller, 'standard', limits, sliding))
  let calls = 0
  return (index) => decide(store, { ...requests[index % CALLERS]!, id: `call-${(calls += 1)}` }, isSettled)
}

/** A limiter beside a plan, of one caller: each call of a pair is of another shape. */
function inTurn(client: Redis, isSettled = false): Contestant['run'] {
  const store = new RedisCounterStore({ client })
  const requests = Array.from({ length: CALLERS }, (_, index) =>
    index % 2 === 0 ? requestOf(index, 'limiter', 1) : requestOf(index - 1, 'standard', 4),
  )
  let calls = 0
  return (index) => decide(store, { ...requests[index % CALLERS]!, id: `call-${(calls += 1)}` }, isSettled)
}

async function decide(store: RedisCounterStore, request: ReserveRequest, isSettled: boolean): Promise<void> {
  const { outcome, nowMs } = await store.reserve(request)
  if (outcome !== 'granted') throw new Error(`expected a decision to be granted, and it was ${outcome}`)
  if (!isSettled) return
  const charges = request.charges.map((charge) => ({ charge, actual: charge.amount }))
  await store.settle({ id: request.id, owner: request.owner, charges, atMs: nowMs })
}

function requestOf(caller: number, plan: string, limits: number, sliding = 0): ReserveRequest {
  const partition = `tenant=default,key=k${caller}`
  const nowMs = Date.now()
  const charges = Array.from({ length: limits }, (_, at): Charge => {
    const durationMs = SECONDS[at]! * 1_000
    const startMs = Math.floor(nowMs / durationMs) * durationMs
    const counter = `${plan}/limit-${at}`
    return {
      counter: { owner: partition, partition, name: counter, key: `${partition} ${partition} ${counter}` },
      window:
        at < sliding
          ? { kind: 'sliding', bucketMs: durationMs / 10, buckets: 10 }
          : { kind: 'fixed', startMs, endMs: startMs + durationMs, nextEndMs: startMs + 2 * durationMs },
      amount: at % 2 === 0 ? 1 : 250,
      quota: QUOTA,
      trip: 'fits',
      effect: 'refuse',
      onChange: { quota: 'now', duration: 'now' },
      onExpiry: 'keep',
      alternative: 0,
      isRebuilt: false,
    }
  })
  return { id: '', owner: partition, charges, lifetimeMs: 60_000, context: '{"tenant":"default","call":"c1"}' }
}

/** As its documentation says for several limits: one limiter each, one after the other. */
function flexible(client: Redis, limits: number): Contestant['run'] {
  const limiters = SECONDS.slice(0, limits).map(
    (duration, at) => new RateLimiterRedis({ storeClient: client, keyPrefix: `rlf${at}`, points: QUOTA, duration }),
  )
  return async (index) => {
    for (const limiter of limiters) await limiter.consume(`k${index % CALLERS}`, 1)
  }
}

/** Its middlewares, on a store that counts in Redis as its own store for Redis does: one script a limit. */
function expressRateLimits(client: Redis, limits: number): RequestHandler[] {
  return SECONDS.slice(0, limits).map((duration, at) =>
    rateLimit({
      windowMs: duration * 1_000,
      limit: QUOTA,
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      identifier: `limit-${at}`,
      keyGenerator: (req) => String(req.headers['x-key']),
      store: hitStore(client, `erl${at}:`),
      validate: false,
    }),
  )
}

/** A limiter as a middleware. */
function asMiddleware(count: Contestant['run']): RequestHandler {
  return (req, _res, next) => {
    count(Number(String(req.headers['x-key']).slice(1))).then(() => next(), next)
  }
}

/** Calls through an Express application, without sockets: what is added to it is what limiters cost. */
function inExpress(middlewares: readonly RequestHandler[]): Contestant['run'] {
  const app = express()
  for (const middleware of middlewares) app.use(middleware)
  const ended = new WeakMap<object, (error?: unknown) => void>()
  app.get('/', (req) => ended.get(req)!())
  app.use((error: unknown, req: Request, _res: Response, _next: NextFunction) => ended.get(req)!(error))
  const socket = new Socket()
  return async (index) => {
    const req = new IncomingMessage(socket)
    Object.assign(req, { method: 'GET', url: '/', headers: { host: 'localhost', 'x-key': `k${index % CALLERS}` } })
    await new Promise<void>((resolve, reject) => {
      ended.set(req, (error) => (error === undefined ? resolve() : reject(error as Error)))
      app(req as Request, new ServerResponse(req) as Response)
    })
  }
}

const HIT = `
local left = redis.call('PTTL', KEYS[1])
if left <= 0 then
  redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
  return { 1, tonumber(ARGV[1]) }
end
return { redis.call('INCR', KEYS[1]), left }
`

function hitStore(client: Redis, prefix: string): Store {
  let windowMs = 0
  const digest = client.script('LOAD', HIT) as Promise<string>
  return {
    prefix,
    init: (options: Options) => void (windowMs = options.windowMs),
    async increment(key) {
      const [totalHits, left] = (await client.evalsha(await digest, 1, prefix + key, windowMs)) as [number, number]
      return { totalHits, resetTime: new Date(Date.now() + left) }
    },
    decrement: async (key) => void (await client.decr(prefix + key)),
    resetKey: async (key) => void (await client.del(prefix + key)),
  }
}
