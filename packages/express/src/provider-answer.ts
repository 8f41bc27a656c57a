import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Response } from 'express'

/** What a provider says of its account, and cookies: not for callers who don't own that account. */
const OF_THE_ACCOUNT =
  /^(?:x-ratelimit-|anthropic-ratelimit-|openai-organization|openai-project|anthropic-organization-id|set-cookie)/
/** What is said to us, or names the upstream. */
const OF_THE_HOP: ReadonlySet<string> = new Set(['proxy-authenticate', 'location', 'content-location'])
/** Of the connection to the provider, with the trailers on it. Of the one to the caller, the server tells by itself. */
const OF_THE_CONNECTION: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'upgrade', 'trailer'])
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 304])
/** What the line of a status may say (RFC 9112 section 4). */
const REASON = /^[\t\x20-\x7e\x80-\xff]+$/

const CALLER = Symbol('response to the caller of an answer')
const IS_SWAPPED = Symbol('made on the account of the host')
const IS_PASSED = Symbol('head of an answer was passed on')
/** An answer on its way; shared functions find in it what they need. */
type Passing = IncomingMessage & { [CALLER]?: Response; [IS_SWAPPED]?: boolean; [IS_PASSED]?: boolean }

/** The head of a provider's answer. */
export type ProviderHead = Pick<IncomingMessage, 'headers' | 'statusCode' | 'statusMessage'>

/** Whether a header of an answer is for callers, by its name in lower case. */
export function isForCallers(name: string, isSwapped: boolean): boolean {
  return !OF_THE_HOP.has(name) && !(isSwapped && OF_THE_ACCOUNT.test(name))
}

/** Whether an answer has a status that an answer can have. */
export function isAnswer({ statusCode = 0 }: Pick<ProviderHead, 'statusCode'>): boolean {
  return statusCode >= 200
}

/** Whether an answer of a status has no body, whatever its head says of one. */
export function hasNoBody(statusCode: number): boolean {
  return WITHOUT_BODY.has(statusCode)
}

/** Lets a provider's answer go on to the caller, byte for byte: its head with the first of its bytes. */
export function passAnswer(proxyRes: Passing, res: Response, isSwapped: boolean): void {
  proxyRes[CALLER] = res
  proxyRes[IS_SWAPPED] = isSwapped
  // What came in one piece with its head is all there when the parser is done with that piece, or has failed at it.
  process.nextTick(pass, proxyRes)
}

/** Drops an answer that broke off at its head, so that another can stand in its place. False where it has begun to go on. */
export function dropAnswer(proxyRes: Passing): boolean {
  if (proxyRes[IS_PASSED] === true) return false
  // That must not end when this does.
  for (const event of ['readable', 'close', 'error']) proxyRes.removeAllListeners(event)
  proxyRes.on('error', () => {})
  return true
}

/**
 * Makes the head of the answer that of the provider's, but for what is between two hops, or between us and the provider.
 *
 * @param isSwapped Whether the call is made on the host's account.
 */
export function passHead(
  { headers, statusCode, statusMessage }: ProviderHead,
  res: Response,
  isSwapped: boolean,
): void {
  res.statusCode = statusCode!
  if (statusMessage !== STATUS_CODES[statusCode!] && REASON.test(statusMessage ?? ''))
    res.statusMessage = statusMessage!
  const takesChunks = res.req.httpVersion !== '1.0' && !hasNoBody(statusCode!)
  for (const name in headers) {
    if (OF_THE_CONNECTION.has(name) || !isForCallers(name, isSwapped)) continue
    if (name !== 'transfer-encoding' || takesChunks) setHeader(res, name, headers[name]!)
  }
  // A proxy in front of us must not collect a stream before it passes it on.
  if (headers['content-type']?.startsWith('text/event-stream') === true) res.setHeader('x-accel-buffering', 'no')
}

function setHeader(res: Response, name: string, value: string | string[]): void {
  try {
    res.setHeader(name, value)
  } catch {
    // Characters that no header may have: the rest of the answer is none the worse.
  }
}

function pass(proxyRes: Passing): void {
  // It broke off: an error is answered in its place.
  if (!proxyRes.complete && proxyRes.socket.destroyed) return
  // A head goes out with the first bytes behind it. Until then there is nothing that could not be taken back.
  if (!proxyRes.complete && proxyRes.readableLength === 0) return void proxyRes.once('readable', passBegun)
  passBegun.call(proxyRes)
}

function passBegun(this: Passing): void {
  const res = this[CALLER]!
  if (res.writableEnded || res.destroyed) return void this.destroy()
  this[IS_PASSED] = true
  if (!res.headersSent) passHead(this, res, this[IS_SWAPPED]!)
  if (this.complete && this.readableLength > 0) res.end(this.read())
  else this.pipe(res)
}
