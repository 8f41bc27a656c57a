import type { Raw } from './reported-usage.ts'
import { USAGE_SHAPES, type Needle, type UsageShape } from './usage-shapes.ts'

/** How far from its end a piece is looked at for the event that ends its stream. */
export const TAIL_BYTES = 192

/** So far back a search for the last of several places begins. */
const FIRST_SEARCH_BYTES = 320
const OPEN_BRACE = 0x7b

/** Shapes whose streams state figures of which later ones take the place of earlier ones. */
const CUMULATIVE: ReadonlySet<UsageShape> = new Set<UsageShape>([
  'openai-chat',
  'openai-responses',
  'anthropic',
  'gemini',
])

/** Whether a stream of this shape can be read from its end. */
export function isCumulative(shape: UsageShape): boolean {
  return CUMULATIVE.has(shape)
}

/** Whether some bytes hold a member by which they could state usage, or end a stream. */
export function mayStateUsage(bytes: Buffer, shape: UsageShape): boolean {
  return usageAt(bytes, shape, 0) !== -1
}

/** Index of the first such member that begins at an index or behind it; -1 if there is none. */
export function usageAt(bytes: Buffer, shape: UsageShape, from: number): number {
  let first = -1
  for (const needle of USAGE_SHAPES[shape].needles) {
    const { bytes: text } = needle
    let found = bytes.indexOf(text, from)
    while (found !== -1 && !isFollowed(bytes, found + text.length, needle))
      found = bytes.indexOf(text, found + text.length)
    if (found !== -1 && (first === -1 || found < first)) first = found
  }
  return first
}

/** Index of the last such member that begins before an index; -1 if there is none. */
export function lastUsageAt(bytes: Buffer, shape: UsageShape, before: number): number {
  let last = -1
  for (const needle of USAGE_SHAPES[shape].needles) last = Math.max(last, lastNeedle(bytes, needle, before))
  return last
}

/** Searches forwards, from ever farther back: a search backwards takes ten times as long for a byte. */
function lastNeedle(bytes: Buffer, needle: Needle, before: number): number {
  const { bytes: text } = needle
  let last = -1
  for (let far = FIRST_SEARCH_BYTES, from = before; last === -1 && from > 0; far *= 4) {
    const end = from
    from = Math.max(0, before - far)
    for (let at = bytes.indexOf(text, from); at !== -1 && at < end; at = bytes.indexOf(text, at + text.length))
      if (isFollowed(bytes, at + text.length, needle)) last = at
  }
  return last
}

/** Whether what follows a needle can be figures. */
function isFollowed(bytes: Buffer, from: number, { isObject }: Needle): boolean {
  if (!isObject) return true
  let at = from
  while (isGap(bytes[at])) at += 1
  return at === bytes.length || bytes[at] === OPEN_BRACE
}

/** White space or the colon between a name and its value. */
function isGap(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x3a || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Whether a document is the last of its stream, by its members. */
export function endsStream(document: Raw, shape: UsageShape): boolean {
  return USAGE_SHAPES[shape].end.members?.some(([member, value]) => document[member] === value) === true
}

/** Bytes that stand near the end of a stream's last event; `undefined` where it has no such line. */
export function terminalMark(shape: UsageShape): Buffer | undefined {
  return USAGE_SHAPES[shape].end.line?.bytes
}

/** Whether the text of an event is that of the one that ends streams of this shape. */
export function isTerminal(event: string, shape: UsageShape): boolean {
  return USAGE_SHAPES[shape].end.line?.pattern.test(event) === true
}
