import type { Request } from 'express'

/** The body of a request, where it is in memory, with its length said in the request's head. */
export function bodyInMemory(req: Request): Buffer | undefined {
  const body = bodyOf(req)
  if (body === undefined) return undefined
  const { headers } = req
  if (headers['transfer-encoding'] !== undefined) delete headers['transfer-encoding']
  headers['content-length'] = String(body.length)
  return body
}

function bodyOf(req: Request): Buffer | undefined {
  if (Buffer.isBuffer(req.rawBody)) return req.rawBody
  if (req.complete && req.readableLength > 0) return req.read() as Buffer
  if (!req.readableDidRead || !req.readableEnded) return undefined
  const body: unknown = req.body
  if (Buffer.isBuffer(body)) return body
  return typeof body === 'object' && body !== null ? Buffer.from(JSON.stringify(body)) : undefined
}
