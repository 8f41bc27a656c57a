import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Keeps the bytes of a body that a parser takes: `express.json({ verify: keepRawBody })`. With them the request is
 * metered and forwarded exactly as it came, also behind the parser.
 */
export function keepRawBody(req: IncomingMessage, _res: ServerResponse, bytes: Buffer): void {
  ;(req as { rawBody?: Buffer }).rawBody = bytes
}

/** Why a body was not read. */
export type BodyFault = 'too-large' | 'broken-off'

/**
 * Reads a body to its end and puts it back, so that whatever comes next (a parser, a proxy) finds the stream as it was.
 * Reading by exact size never lets the stream end before.
 */
export async function readBody(req: IncomingMessage, limitBytes: number): Promise<Buffer | BodyFault> {
  // A body that came in one piece with its head is here when the parser is done with that piece.
  if (!req.complete) await Promise.resolve()
  if (req.complete && req.readableLength > 0 && req.readableLength <= limitBytes) {
    const body = req.read() as Buffer
    req.unshift(body)
    return body
  }
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    const finish = (result: Buffer | BodyFault): void => {
      req.off('readable', take).off('error', fail).off('close', fail)
      resolve(result)
    }
    const fail = (): void => finish('broken-off')
    const take = (): void => {
      while (req.readableLength > 0) {
        const chunk = req.read(req.readableLength) as Buffer | null
        if (chunk === null) break
        chunks.push(chunk)
        size += chunk.length
        if (size > limitBytes) return finish('too-large')
      }
      if (!req.complete || req.readableLength > 0) return
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      if (size > 0) req.unshift(body)
      finish(body)
    }
    req.on('readable', take).on('error', fail).on('close', fail)
    if (req.complete) take()
  })
}

/** Replaces the body that {@link readBody} has put back, for whatever comes next. */
export function replaceBody(req: IncomingMessage, body: Buffer): void {
  if (req.readableLength > 0) req.read(req.readableLength)
  req.unshift(body)
  if (req.headers['content-length'] !== undefined) req.headers['content-length'] = String(body.length)
}
