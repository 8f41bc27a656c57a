import { warnOnce, type Denial } from '@tallygate/flow'
import type { Request } from 'express'
import { readBody } from './raw-body.ts'
import type { QuotaContext } from './quota-context.ts'

/** Largest body of a metered route, where the options set no other. */
const DEFAULT_LIMIT_BYTES = 16 * 1_048_576
const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i

export interface BodyOptions {
  /** Largest body of a metered route, in bytes. Default: 16 MiB. */
  readonly bodyLimitBytes?: number
}

/** What a body parser has made of a request, if one ran before. */
type Parsed = { readonly bytes: Buffer } | { readonly value: Readonly<Record<string, unknown>> } | undefined

/**
 * Lets a call read its request, once, and leaves the request as it was. Returns the denial of a request whose body can't
 * be what it says it is.
 */
export function readRequest(
  req: Request,
  { call, quota }: QuotaContext,
  { bodyLimitBytes = DEFAULT_LIMIT_BYTES }: BodyOptions,
): Denial | undefined | Promise<Denial | undefined> {
  // What a session says of itself stands in its address.
  if (call.metered.match === undefined || call.metered.isSession || call.metered.bytes > 0) return undefined
  const parsed = parsedBody(req)
  if (parsed !== undefined && 'bytes' in parsed) return call.read(parsed.bytes)
  if (parsed !== undefined) {
    warnOnce(
      quota.logger,
      'the body was parsed before it could be read: use express.json({ verify: keepRawBody }), or it is serialised again',
    )
    return call.readParsed(parsed.value)
  }
  const encoding = req.headers['content-encoding']
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    return call.unreadable('unsupported-media-type', 'The body is compressed. Send it as it is.')
  }
  const type = req.headers['content-type']
  if (type !== undefined && !JSON_TYPE.test(type) && !call.metered.accepts(type)) {
    return call.unreadable(
      'unsupported-media-type',
      'The body must be JSON: send it with "Content-Type: application/json".',
    )
  }
  const tooLarge = `The body is larger than ${bodyLimitBytes} bytes.`
  if (Number(req.headers['content-length'] ?? 0) > bodyLimitBytes) return call.unreadable('body-too-large', tooLarge)
  return readBody(req, bodyLimitBytes).then((body) => {
    if (body === 'too-large') return call.problem('body-too-large', tooLarge)
    if (body === 'broken-off') return call.problem('invalid-request', 'The body broke off before its end.')
    return call.read(body)
  })
}

function parsedBody(req: Request): Parsed {
  if (Buffer.isBuffer(req.rawBody)) return { bytes: req.rawBody }
  const body: unknown = req.body
  if (Buffer.isBuffer(body)) return { bytes: body }
  if (!req.readableDidRead) return undefined
  if (typeof body === 'string') return { bytes: Buffer.from(body) }
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return { value: body as Readonly<Record<string, unknown>> }
  return undefined
}
