import type { ClientRequest } from 'node:http'
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

/**
 * Answers a call whose provider did not, in the caller's dialect.
 *
 * @param wasSilent The provider has said nothing for too long.
 */
export async function failureOf(error: Error, req: Request, res: Response, wasSilent: boolean): Promise<void> {
  // The caller has hung up, or the answer was under way: it ends as it can.
  const context = contextIn(req)
  if (res.destroyed || req.socket.destroyed || res.headersSent || context === undefined) {
    res.destroy()
    return
  }
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
