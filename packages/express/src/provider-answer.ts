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

/** Lets a provider's answer go on to the caller, byte for byte. */
export function passAnswer(proxyRes: IncomingMessage, res: Response, isSwapped: boolean): void {
  // What came in one piece with its head is all there when the parser is done with that piece, or has failed at it.
  process.nextTick(pass, proxyRes, res, isSwapped)
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

function pass(proxyRes: IncomingMessage, res: Response, isSwapped: boolean): void {
  if (!proxyRes.complete && proxyRes.socket.destroyed) {
    // An error is answered in its place, which must not end when it does.
    proxyRes
      .removeAllListeners('close')
      .removeAllListeners('error')
      .on('error', () => {})
    return
  }
  if (res.writableEnded || res.destroyed) return void proxyRes.destroy()
  if (!res.headersSent) passHead(proxyRes, res, isSwapped)
  if (proxyRes.complete && proxyRes.readableLength > 0) res.end(proxyRes.read())
  else proxyRes.pipe(res)
}
