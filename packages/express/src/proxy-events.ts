import type { ClientRequest, IncomingMessage } from 'node:http'
import type { Call, Denial } from '@tallygate/flow'
import type { Request, Response } from 'express'
import { contextIn } from './quota-context.ts'
import { sendDenial } from './send-denial.ts'

/** Errors by which no byte of a request has reached its provider. */
const UNREACHED: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'EPROTO',
  'CERT_HAS_EXPIRED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])
/** What a provider says of its account, and cookies: not for callers who don't own that account. */
const OF_THE_ACCOUNT =
  /^(?:x-ratelimit-|anthropic-ratelimit-|openai-organization|openai-project|anthropic-organization-id|set-cookie)/

/** What names the upstream, or is said to us. */
const OF_THE_HOP: ReadonlySet<string> = new Set(['proxy-authenticate', 'location', 'content-location'])

/** A body that was read already, in the shape in which a proxy takes one: it goes out in one piece with the head. */
class BodyInMemory {
  readonly #body: Buffer

  constructor(body: Buffer) {
    this.#body = body
  }

  pipe(proxyReq: ClientRequest): ClientRequest {
    return proxyReq.end(this.#body)
  }
}

/** The body of a request, where it is in memory, with its length said in the request's head. */
export function bodyInMemory(req: Request): BodyInMemory | undefined {
  const body = bodyOf(req)
  if (body === undefined) return undefined
  const { headers } = req
  if (headers['transfer-encoding'] !== undefined) delete headers['transfer-encoding']
  headers['content-length'] = String(body.length)
  return new BodyInMemory(body)
}

/** Whether a header of an answer is for callers, by its name in lower case. */
export function isForCallers(name: string, isSwapped: boolean): boolean {
  return !OF_THE_HOP.has(name) && !(isSwapped && OF_THE_ACCOUNT.test(name))
}

/** Takes out of an answer what is between two hops, or between us and the provider. */
export function cleanAnswer({ headers }: IncomingMessage, isSwapped: boolean): void {
  for (const name in headers) {
    if (!isForCallers(name, isSwapped)) delete headers[name]
  }
  // Hidden and not deleted: the agent goes by them when it decides whether, and how long, a connection can be used again,
  // and the proxy would make up what is missing. Of our own connection to the caller, the server tells by itself.
  hide(headers, 'connection', 'keep-alive')
  hide(headers, 'keep-alive', '')
  // A proxy in front of us must not collect a stream before it passes it on.
  if (headers['content-type']?.startsWith('text/event-stream') === true) headers['x-accel-buffering'] = 'no'
}

function hide(headers: IncomingMessage['headers'], name: 'connection' | 'keep-alive', otherwise: string): void {
  Object.defineProperty(headers, name, { value: headers[name] ?? otherwise, enumerable: false })
}

/** A call whose provider did not answer. */
export interface Failure {
  readonly error: Error
  /** Of the provider: for the log, and for no caller. */
  readonly host: string
  /** The provider has said nothing for too long. */
  readonly wasSilent: boolean
}

/** Answers a call whose provider did not, in the caller's dialect, and tells the log why. */
export async function failureOf({ error, host, wasSilent }: Failure, req: Request, res: Response): Promise<void> {
  // The caller has hung up, or the answer was under way: it ends as it can.
  const context = contextIn(req)
  if (res.destroyed || req.socket.destroyed || res.headersSent || context === undefined) {
    res.destroy()
    return
  }
  const cause = wasSilent ? 'it said nothing for too long' : error.message || (error as NodeJS.ErrnoException).code
  context.quota.logger.warn('a provider did not answer a call', { host, cause, attempt: context.attemptId })
  await sendDenial(await denialOf(error, context.call, wasSilent), {}, req, res, () => {})
}

function denialOf(error: Error, call: Call, wasSilent: boolean): Denial | Promise<Denial> {
  if (wasSilent) return call.brokeOff('provider-timeout', 'The provider did not answer in time.')
  if (UNREACHED.has((error as NodeJS.ErrnoException).code ?? '')) {
    return call.problem('provider-unreachable', 'The provider can not be reached.')
  }
  return call.brokeOff('provider-broke-off', 'The provider broke off before it answered.')
}

function bodyOf(req: Request): Buffer | undefined {
  if (Buffer.isBuffer(req.rawBody)) return req.rawBody
  if (req.complete && req.readableLength > 0) return req.read() as Buffer
  if (!req.readableDidRead || !req.readableEnded) return undefined
  const body: unknown = req.body
  if (Buffer.isBuffer(body)) return body
  return typeof body === 'object' && body !== null ? Buffer.from(JSON.stringify(body)) : undefined
}
