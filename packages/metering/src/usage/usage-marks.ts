import { NEEDLES, RESPONSES_END, TERMINALS } from './usage-collector.ts'
import type { Raw } from './reported-usage.ts'
import type { UsageShape } from './usage-shapes.ts'

/** How far from its end a piece is looked at for the event that ends its stream. */
export const TAIL_BYTES = 192

const OPEN_BRACE = 0x7b

/** A needle without its first byte where that is a quote: a search for a rarer byte is five times as fast. */
const QUICK: Partial<Record<UsageShape, Buffer>> = {}

function quick(shape: UsageShape): Buffer {
  return (QUICK[shape] ??= withoutQuote(NEEDLES[shape].bytes))
}

function withoutQuote(bytes: Buffer): Buffer {
  return bytes[0] === 0x22 ? bytes.subarray(1) : bytes
}

/** The text without which a document states no usage. */
export function candidateOf(shape: UsageShape): string {
  return NEEDLES[shape].bytes.toString('latin1')
}

/** Index of the first member in some bytes by which they could state usage; -1 if there is none. */
export function usageAt(bytes: Buffer, shape: UsageShape): number {
  const needle = quick(shape)
  for (let found = bytes.indexOf(needle); found !== -1; found = bytes.indexOf(needle, found + needle.length))
    if (isFollowed(bytes, found + needle.length, shape)) return found
  return -1
}

/** As {@link usageAt}, for the last one that begins before an index. */
export function lastUsageAt(bytes: Buffer, shape: UsageShape, before: number): number {
  const needle = quick(shape)
  let found = before <= 0 ? -1 : bytes.lastIndexOf(needle, before - 1)
  while (found !== -1 && !isFollowed(bytes, found + needle.length, shape))
    found = found === 0 ? -1 : bytes.lastIndexOf(needle, found - 1)
  return found
}

/** Whether what follows a needle can be figures. */
function isFollowed(bytes: Buffer, from: number, shape: UsageShape): boolean {
  if (!NEEDLES[shape].isObject) return true
  let at = from
  while (isGap(bytes[at])) at += 1
  return bytes[at] === OPEN_BRACE || bytes[at] === undefined
}

/** White space or the colon between a name and its value. */
function isGap(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x3a || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Whether a document that states usage is the last of its stream. */
export function endsStream(document: Raw): boolean {
  return RESPONSES_END.has(document['type']) || document['done'] === true || document['is_finished'] === true
}

/** Whether the text of an event is that of the one that ends streams of this shape. */
export function isTerminal(event: string, shape: UsageShape): boolean {
  return TERMINALS[shape]?.line.test(event) === true
}

/** Bytes that the last event of a stream of this shape has near its end; `undefined` where there is no such event. */
export function terminalMark(shape: UsageShape): Buffer | undefined {
  return TERMINALS[shape]?.bytes
}

/** Whether streams of this shape end with the event that states their usage. */
export function terminalByUsage(shape: UsageShape): boolean {
  return shape === 'openai-responses'
}
