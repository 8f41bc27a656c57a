import { crc32 } from 'node:zlib'

/**
 * A message of an AWS event stream: total length, length of headers, CRC of these, headers, payload, CRC of all.
 * Source: smithy.io, Amazon Event Stream specification.
 */
export interface AwsFrame {
  /** Headers that are texts, by name. */
  readonly headers: ReadonlyMap<string, string>
  readonly payload: Buffer
}

export const PRELUDE_BYTES = 12
const CRC_BYTES = 4
/** Of a frame without headers and payload. */
const LEAST_BYTES = PRELUDE_BYTES + CRC_BYTES
const MOST_HEADER_BYTES = 131_072
const MOST_BYTES = 25_165_824 + MOST_HEADER_BYTES + LEAST_BYTES
const TEXT_TYPE = 7
/** Bytes of a header's value by its type, where that tells; those of types 6 and 7 say their length. */
const VALUE_BYTES: Readonly<Record<number, number>> = { 0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16 }

/** Length of the frame that begins with these bytes; `undefined` where its prelude is damaged, or says the impossible. */
export function frameLength(prelude: Buffer): number | undefined {
  const total = prelude.readUInt32BE(0)
  const headers = prelude.readUInt32BE(4)
  if (total > MOST_BYTES || headers > MOST_HEADER_BYTES || total < LEAST_BYTES + headers) return undefined
  return crc32(prelude.subarray(0, 8)) === prelude.readUInt32BE(8) ? total : undefined
}

/** What is in a whole frame; `undefined` where it is damaged. */
export function parseFrame(frame: Buffer): AwsFrame | undefined {
  const end = frame.length - CRC_BYTES
  if (crc32(frame.subarray(0, end)) !== frame.readUInt32BE(end)) return undefined
  const payloadAt = PRELUDE_BYTES + frame.readUInt32BE(4)
  const headers = parseHeaders(frame.subarray(PRELUDE_BYTES, payloadAt))
  return headers === undefined ? undefined : { headers, payload: frame.subarray(payloadAt, end) }
}

function parseHeaders(bytes: Buffer): ReadonlyMap<string, string> | undefined {
  const headers = new Map<string, string>()
  let at = 0
  while (at < bytes.length) {
    const typeAt = at + 1 + bytes[at]!
    const type = bytes[typeAt]
    if (type === undefined) return undefined
    const isSized = type === TEXT_TYPE || type === TEXT_TYPE - 1
    const valueAt = typeAt + (isSized ? 3 : 1)
    const length = isSized && valueAt <= bytes.length ? bytes.readUInt16BE(typeAt + 1) : VALUE_BYTES[type]
    if (length === undefined || valueAt + length > bytes.length) return undefined
    if (type === TEXT_TYPE)
      headers.set(bytes.toString('utf8', at + 1, typeAt), bytes.toString('utf8', valueAt, valueAt + length))
    at = valueAt + length
  }
  return headers
}

/**
 * The document that a frame carries; `undefined` for an exception, or what is no JSON. Bedrock wraps what a model of its
 * own sends: `{"bytes": base64}`.
 *
 * @param isWanted Whether a document is to be parsed, by its bytes.
 */
export function frameDocument({ headers, payload }: AwsFrame, isWanted: (json: Buffer) => boolean = always): unknown {
  const kind = headers.get(':message-type')
  if (kind !== undefined && kind !== 'event') return undefined
  if (headers.get(':event-type') !== 'chunk') return isWanted(payload) ? parsed(payload) : undefined
  const wrapped = parsed(payload)
  if (typeof wrapped !== 'object' || wrapped === null || !('bytes' in wrapped)) return wrapped
  const { bytes } = wrapped
  const inner = typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : Buffer.alloc(0)
  return isWanted(inner) ? parsed(inner) : undefined
}

function always(): boolean {
  return true
}

function parsed(json: Buffer): unknown {
  try {
    return JSON.parse(json.toString('utf8'))
  } catch {
    return undefined
  }
}

/** The documents of the whole frames in some bytes, which begin with a frame, as far as none is damaged. */
export function frameDocuments(bytes: Buffer): unknown[] {
  const found: unknown[] = []
  for (let at = 0; at + PRELUDE_BYTES <= bytes.length;) {
    const length = frameLength(bytes.subarray(at))
    if (length === undefined || at + length > bytes.length) break
    const frame = parseFrame(bytes.subarray(at, at + length))
    const document = frame === undefined ? undefined : frameDocument(frame)
    if (document !== undefined) found.push(document)
    at += length
  }
  return found
}
