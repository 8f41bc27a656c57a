const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const NAME = 'stream_options'
const ASKED = '{"include_usage":true}'

/**
 * Asks an OpenAI-shaped stream to state its usage, by one member spliced into the bytes of the request; everything else
 * stays as the caller wrote it.
 *
 * @param body A JSON object without duplicate keys, as `parseJsonBody` has found it.
 * @returns The changed bytes, or `undefined` where the caller asks for usage already.
 */
export function injectIncludeUsage(body: Buffer, parsed: Readonly<Record<string, unknown>>): Buffer | undefined {
  const options = parsed[NAME]
  const isObject = typeof options === 'object' && options !== null && !Array.isArray(options)
  if (isObject && (options as Record<string, unknown>)['include_usage'] === true) return undefined
  if (options === undefined) {
    const end = body.lastIndexOf(CLOSE_BRACE)
    const comma = Object.keys(parsed).length === 0 ? '' : ','
    return spliced(body, end, end, `${comma}"${NAME}":${ASKED}`)
  }
  const span = memberValue(body, 0, body.length, NAME)
  if (span === undefined) return undefined
  if (!isObject) return spliced(body, span.from, span.to, ASKED)
  const asked = memberValue(body, span.from, span.to, 'include_usage')
  if (asked !== undefined) return spliced(body, asked.from, asked.to, 'true')
  const comma = Object.keys(options).length === 0 ? '' : ','
  return spliced(body, span.to - 1, span.to - 1, `${comma}"include_usage":true`)
}

function spliced(body: Buffer, from: number, to: number, text: string): Buffer {
  return Buffer.concat([body.subarray(0, from), Buffer.from(text), body.subarray(to)])
}

/** Where the value of a member of the object in `from` to `to` stands. */
function memberValue(body: Buffer, from: number, to: number, name: string): { from: number; to: number } | undefined {
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
