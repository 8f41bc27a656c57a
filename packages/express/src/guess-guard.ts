import { assertOneOf, configError } from '@tallygate/core'
import { attemptId, CREDENTIAL_HEADERS, guardDenial, withoutQueryKey, type Denial } from '@tallygate/flow'
import type { Request, RequestHandler, Response } from 'express'
import { AddressGuard, type GuardOptions } from './address-guard.ts'
import { watchGuesses } from './guess-watch.ts'
import { sendDenial } from './send-denial.ts'
import { onHead, UndecidedGuesses, type Guesses } from './undecided-guesses.ts'

export interface GuessGuardOptions extends GuardOptions {
  /**
   * What is refused from an address that has guessed too often. `unknown-keys` (default): requests with a key that nobody
   * has handed out, as the middlewares of this package find; registered ones pass, as many callers can share an address.
   * `everything`: any request; each answer of 401 to a key counts as a guess, whoever gives it. Of one address, only so
   * many requests with a key go on at once as it has guesses left; more wait until those are being answered.
   */
  readonly refuses?: 'unknown-keys' | 'everything'
}

/**
 * Refuses with 429, in the dialect of the path, who tries one key after another: by default after 10 wrong keys a minute
 * from one address. Requests without a key are no guesses. Use it before what identifies callers.
 *
 * @throws QuotaError `ERR_QUOTA_CONFIG` for options that can't work.
 */
export function guessGuard(options: GuessGuardOptions = {}): RequestHandler {
  const { refuses = 'unknown-keys', skip, handler, limiter, limit, windowMs } = options ?? {}
  const usual = limiter === undefined ? { limit: limit ?? 10, windowMs: windowMs ?? 60_000 } : {}
  const guard = new AddressGuard({ ...options, ...usual }, 'guessGuard()', ['refuses'])
  assertOneOf(refuses, ['unknown-keys', 'everything'], 'guessGuard().refuses')
  if (refuses === 'everything' && limiter !== undefined && !(limiter.points >= 1))
    throw configError('guessGuard().limiter.points', limiter.points, 'use a limiter that has points, no wrapper')
  const shared = handler === undefined ? {} : { handler }

  const guessed = async (req: Request, requestId: string): Promise<Denial | undefined> => {
    const waitMs = await guard.consume(req)
    return waitMs === undefined ? undefined : refusal(req, waitMs, requestId)
  }
  const watch = { guessed, shared }
  const undecided = new UndecidedGuesses(guard.points)
  const entered = new WeakSet<Request>()
  const refusalAfter = (req: Request, { count, waitMs }: Guesses): Denial | undefined =>
    count < guard.points ? undefined : refusal(req, waitMs, attemptId())
  const admit = async (req: Request, res: Response): Promise<Denial | undefined> => {
    if (entered.has(req)) return undefined
    const address = hasKey(req) ? guard.addressOf(req) : undefined
    const ask = (): Promise<Guesses> => guard.counted(req)
    if (address === undefined) return refusalAfter(req, await ask())
    const guesses = await undecided.enter(address, ask, () => res.destroyed)
    if (guesses !== undefined) return refusalAfter(req, guesses)
    entered.add(req)
    onHead(res, (status) => {
      const counted = status === 401 ? guard.consume(req) : Promise.resolve()
      void counted.finally(() => undecided.leave(address))
    })
    return undefined
  }

  return function guessGuard(req, res, next) {
    const run = async (): Promise<void> => {
      if (skip !== undefined && (await skip(req, res))) return next()
      if (refuses === 'unknown-keys') {
        watchGuesses(req, watch)
        return next()
      }
      const denial = await admit(req, res)
      if (res.destroyed) return
      if (denial === undefined) return next()
      return sendDenial(denial, shared, req, res, next)
    }
    run().catch(next)
  }
}

function refusal(req: Request, waitMs: number, requestId: string): Denial {
  const message = 'Too many unknown keys came from your address. Check yours.'
  return guardDenial(req, { message, waitMs, retry: 'never', requestId })
}

function hasKey({ headers, url }: Request): boolean {
  return CREDENTIAL_HEADERS.some((name) => headers[name] !== undefined) || withoutQueryKey(url) !== url
}
