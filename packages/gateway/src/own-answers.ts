import { randomUUID } from 'node:crypto'
import { dialectOf, problemBody } from '@tallygate/metering'
import type { ErrorRequestHandler, RequestHandler } from 'express'
import type { Log } from './log.ts'

/** Answers what nothing else has answered, in the dialect of its path. */
export function notFound(message: string): RequestHandler {
  return (req, res) => answer(res, req.url, 'not-found', 404, message)
}

/** Answers a request that has failed here, without a word of the reason. */
export function internalError(log: Log): ErrorRequestHandler {
  return (error: unknown, req, res, _next) => {
    log.error({ error: error instanceof Error ? error.message : String(error) }, 'a request failed')
    if (res.headersSent) return void res.destroy()
    answer(res, req.url, 'internal', 500, 'Something went wrong here. The call was not made, or is not complete.')
  }
}

/** Answers whoever has shown no key of an administrator. */
export const unauthenticated: RequestHandler = (req, res) => {
  res.set('WWW-Authenticate', 'Bearer')
  answer(res, req.url, 'unauthenticated', 401, 'Send a key of an administrator: Authorization: Bearer …')
}

function answer(
  res: Parameters<RequestHandler>[1],
  url: string,
  kind: 'not-found' | 'internal' | 'unauthenticated',
  status: number,
  message: string,
): void {
  const requestId = randomUUID()
  const { contentType, body } = problemBody(dialectOf(url), { kind, status, message, requestId })
  res.status(status).set({ 'Content-Type': contentType, 'x-request-id': requestId }).end(body)
}
