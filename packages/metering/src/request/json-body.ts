const BACKSLASH = 0x5c
const COLON = 0x3a

/** Why a body is not taken. */
export type JsonBodyFault = 'not-json' | 'not-an-object' | 'duplicate-key'

export type JsonBody =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly fault: JsonBodyFault }

/**
 * Parses a request body that must be a JSON object without duplicate keys (RFC 8259 section 4): of two members with one
 * name, we could meter one while the provider obeys the other.
 */
export function parseJsonBody(bytes: Buffer): JsonBody {
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { ok: false, fault: 'not-json' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { ok: false, fault: 'not-an-object' }
  if (keysWritten(text) !== keysParsed(value)) return { ok: false, fault: 'duplicate-key' }
  return { ok: true, value: value as Readonly<Record<string, unknown>> }
}

/** Number of member names in a valid JSON text: strings with a colon behind them. */
function keysWritten(text: string): number {
  let keys = 0
  let at = text.indexOf('"')
  while (at !== -1) {
    let end = text.indexOf('"', at + 1)
    while (isEscaped(text, end, at)) end = text.indexOf('"', end + 1)
    let next = end + 1
    while (text.charCodeAt(next) <= 0x20) next += 1
    if (text.charCodeAt(next) === COLON) keys += 1
    at = text.indexOf('"', next)
  }
  return keys
}

/** Whether the quote at `end` has an odd number of backslashes before it, down to the opening one at `from`. */
function isEscaped(text: string, end: number, from: number): boolean {
  let at = end - 1
  while (at > from && text.charCodeAt(at) === BACKSLASH) at -= 1
  return (end - 1 - at) % 2 === 1
}

/** Number of members that a parsed value has, at all depths. Goes by a list, not by recursion: bodies can be deep. */
function keysParsed(root: object): number {
  let keys = 0
  const open: object[] = [root]
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (Array.isArray(value)) {
      for (const member of value) if (typeof member === 'object' && member !== null) open.push(member as object)
      continue
    }
    // Own members only: what JSON.parse makes has no others.
    for (const name in value) {
      keys += 1
      const member = (value as Record<string, unknown>)[name]
      if (typeof member === 'object' && member !== null) open.push(member)
    }
  }
  return keys
}
