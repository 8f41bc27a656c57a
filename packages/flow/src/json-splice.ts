const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Bytes with a text in place of those from one index up to another. */
export function spliced(body: Buffer, from: number, to: number, text: string): Buffer {
  return Buffer.concat([body.subarray(0, from), Buffer.from(text), body.subarray(to)])
}

/** Where a JSON value stands: from its first byte up to the one behind its last. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** Where the value of a member of the object in a span stands. The text is valid JSON without duplicate keys. */
export function memberValue(body: Buffer, { from, to }: Span, name: string): Span | undefined {
  let depth = 0
  for (let at = from; at < to; at += 1) {
    const byte = body[at]!
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1
    else if (byte === QUOTE) {
      const end = endOfString(body, at)
      const colon = skipSpace(body, end)
      if (depth === 1 && body[colon] === COLON && keyIs(body, at, end, name)) {
        const value = skipSpace(body, colon + 1)
        return { from: value, to: endOfValue(body, value) }
      }
      at = end - 1
    }
  }
  return undefined
}

function keyIs(body: Buffer, from: number, to: number, name: string): boolean {
  return JSON.parse(body.toString('utf8', from, to)) === name
}

/** Adds a member behind the others of the object in a span. */
export function withMember(body: Buffer, { to }: Span, member: string, isFirst: boolean): Buffer {
  const end = body.lastIndexOf(CLOSE_BRACE, to - 1)
  return spliced(body, end, end, `${isFirst ? '' : ','}${member}`)
}

function endOfValue(body: Buffer, from: number): number {
  let depth = 0
  for (let at = from; at < body.length; at += 1) {
    const byte = body[at]!
    if (byte === QUOTE) {
      at = endOfString(body, at) - 1
      if (depth === 0) return at + 1
    } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (depth === 0) return at
      depth -= 1
      if (depth === 0) return at + 1
    } else if (depth === 0 && (byte === COMMA || byte <= 0x20)) return at
  }
  return body.length
}

/** Index behind the closing quote of the string that begins at `from`. */
function endOfString(body: Buffer, from: number): number {
  let end = body.indexOf(QUOTE, from + 1)
  while (isEscaped(body, end, from)) end = body.indexOf(QUOTE, end + 1)
  return end + 1
}

function isEscaped(body: Buffer, quote: number, from: number): boolean {
  let at = quote - 1
  while (at > from && body[at] === BACKSLASH) at -= 1
  return (quote - 1 - at) % 2 === 1
}

function skipSpace(body: Buffer, from: number): number {
  let at = from
  while (at < body.length && body[at]! <= 0x20) at += 1
  return at
}
