import type { Denial } from '@tallygate/flow'
import type { NextFunction, Request, Response } from 'express'
import { afterGuess } from './guess-watch.ts'
import type { SharedOptions } from './middleware-options.ts'

const FOR_QUOTA: ReadonlySet<string> = new Set(['rate-limited', 'quota-exhausted', 'too-large-for-quota'])

/** Answers a denied request: as a guard says who counts its guesses, by the handler of the options, else as the denial says. */
export async function sendDenial(
  denied: Denial,
  options: SharedOptions,
  req: Request,
  res: Response,
  next: NextFunction,
): Promise<void> {
  const guess = denied.kind === 'unauthenticated' ? await afterGuess(req) : undefined
  const { denial, shared } = guess ?? { denial: denied, shared: options }
  const { handler, message, statusCode } = shared
  if (res.headersSent || res.destroyed) return
  const isForQuota = FOR_QUOTA.has(denial.kind)
  const status = isForQuota ? (statusCode ?? denial.status) : denial.status
  const body =
    isForQuota && typeof message === 'function'
      ? await (message as (req: Request, res: Response) => unknown)(req, res)
      : message
  if (handler !== undefined) {
    await handler(req, res, next, { denial, statusCode: status, message: body ?? denial.message })
    return
  }
  res.status(status)
  const { 'Content-Type': contentType, 'Content-Length': _length, ...headers } = denial.headers
  res.set(headers)
  // What was not read of the body would be read to its end before the connection could be used again.
  if (denial.kind === 'body-too-large') res.set('Connection', 'close')
  if (isForQuota && body !== undefined) res.send(body)
  else res.set('Content-Type', contentType).end(denial.body)
}
