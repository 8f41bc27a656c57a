/**
 * How the documents of an answer are put into its bytes: one JSON document, or several, one after the other or in an
 * array (`json`); server-sent events; a document a line; AWS event stream frames; WebSocket messages; or no documents.
 */
export type Framing = 'json' | 'sse' | 'ndjson' | 'eventstream' | 'messages' | 'opaque'

const JSON_TYPE = /^application\/(?:[\w.-]+\+)?json$/
const NDJSON_TYPE = /^(?:application|text)\/(?:x-)?(?:ndjson|jsonl|jsonlines|json-lines|json-seq|stream\+json)$/
const UNTOLD_TYPE = /^(?:|application\/octet-stream|binary\/octet-stream|text\/plain)$/

/** The framing that a media type says; `undefined` where it leaves it open. */
export function framingOf(contentType: string): Framing | undefined {
  // As most are written.
  if (contentType === 'text/event-stream') return 'sse'
  if (contentType === 'application/json') return 'json'
  const end = contentType.indexOf(';')
  const type = (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
  if (type === 'text/event-stream') return 'sse'
  if (NDJSON_TYPE.test(type)) return 'ndjson'
  if (JSON_TYPE.test(type)) return 'json'
  if (type === 'application/vnd.amazon.eventstream') return 'eventstream'
  return UNTOLD_TYPE.test(type) ? undefined : 'opaque'
}

const ZERO = 0x00
const BOM = 0xef
const OPEN_BRACKET = 0x5b
const OPEN_BRACE = 0x7b
/** First bytes of `data`, `event`, `id`, `retry` and of a comment: none of them begins an object or an array. */
const SSE_STARTS: ReadonlySet<number> = new Set([0x64, 0x65, 0x69, 0x72, 0x3a])

/**
 * What the first byte of a body, white space apart, says of a framing: some providers answer JSON where they announced
 * events, or events where they announced JSON.
 *
 * @param announced By the media type; `undefined`: it says nothing.
 */
export function framingAt(first: number, announced: Framing | undefined, contentType: string): Framing {
  if (announced === 'opaque' || announced === 'messages') return announced
  if (first === OPEN_BRACE || first === OPEN_BRACKET) return announced === 'ndjson' ? 'ndjson' : 'json'
  if (first === ZERO) return 'eventstream'
  // Plain text may begin with anything.
  const isPlainText = announced === undefined && /^text\/plain\b/i.test(contentType)
  if (SSE_STARTS.has(first) && !isPlainText) return 'sse'
  if (first === BOM && !isPlainText) return announced ?? 'json'
  return announced ?? 'opaque'
}

/** Index of the first byte that is no white space; -1 if there is none. */
export function firstByte(bytes: Buffer): number {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
  }
  return -1
}
