import { eventAround, sseDocuments, SseFramer } from '@tallygate/metering'

/** Without its first quote: a search for a rarer byte is five times as fast. */
const USAGE = Buffer.from('usage"')
const QUOTE = 0x22
const NULL_BYTES = 4
/** So few are copied sooner than a call for it takes. */
const FEW_BYTES = 32
const LF = 0x0a
const CR = 0x0d
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const NOTHING = Buffer.alloc(0)

/** Takes what we asked for out of an event stream, wherever the network cut it: events leave when they are complete. */
export class UsageChunkFilter {
  readonly #framer = new SseFramer()

  /** Whole events that this piece completes. */
  push(bytes: Buffer): Buffer {
    return this.#framer.push(bytes).events
  }

  /** What is left at the end of a stream that does not end in a blank line. */
  get rest(): Buffer {
    return this.#framer.held
  }
}

/**
 * Takes out of whole events of a chat completion what is there only because we asked for usage: the chunk that carries
 * it, and the member `"usage":null` of all others. The caller gets the bytes it would have got without us.
 */
export function withoutUsage(events: Buffer): Buffer {
  let kept: Buffer | undefined
  let length = 0
  let from = 0
  for (let found = events.indexOf(USAGE); found !== -1; found = events.indexOf(USAGE, found + USAGE.length)) {
    const span = events[found - 1] === QUOTE ? spanToRemove(events, found - 1, from) : undefined
    if (span === undefined || span.from < from) continue
    kept ??= Buffer.allocUnsafe(events.length)
    length = copyTo(kept, length, events, from, span.from)
    from = span.to
  }
  if (kept === undefined) return events
  length = copyTo(kept, length, events, from, events.length)
  return length === 0 ? NOTHING : kept.subarray(0, length)
}

/** Copies bytes from one index up to another. Returns where those end that were copied to. */
function copyTo(target: Buffer, at: number, source: Buffer, from: number, to: number): number {
  if (to - from > FEW_BYTES) return at + source.copy(target, at, from, to)
  for (let index = from; index < to; index += 1) target[at + index - from] = source[index]!
  return at + to - from
}

/** What is to go. */
interface Removal {
  readonly from: number
  readonly to: number
}

/** What of the events a `"usage"` at `found` stands for, if it is to go. What is before `left` has gone already. */
function spanToRemove(events: Buffer, found: number, left: number): Removal | undefined {
  const colon = skipSpace(events, found + 1 + USAGE.length)
  if (events[colon] !== COLON) return undefined
  const value = skipSpace(events, colon + 1)
  if (events[value] === OPEN_BRACE) {
    const event = eventAround(events, found)
    return isUsageChunk(events.toString('utf8', event.from, event.to)) ? event : undefined
  }
  if (!isNull(events, value)) return undefined
  const end = value + NULL_BYTES
  const brace = closingBrace(events, end)
  if (brace === 'nested' || (brace === 'unknown' && !isNullInDocument(events, found))) return undefined
  return memberAround(events, found, end, left)
}

function isNull(events: Buffer, at: number): boolean {
  return events[at] === 0x6e && events[at + 1] === 0x75 && events[at + 2] === 0x6c && events[at + 3] === 0x6c
}

/** A chunk with usage and without choices, as OpenAI sends it last; one with choices belongs to the answer. */
function isUsageChunk(event: string): boolean {
  const [document] = sseDocuments(event) as { usage?: unknown; choices?: unknown }[]
  return (
    typeof document?.usage === 'object' &&
    document.usage !== null &&
    Array.isArray(document.choices) &&
    document.choices.length === 0
  )
}

/**
 * Index of the brace that ends the document, of a member at its top: it ends the line. Where data is on several lines, only
 * the document can tell.
 */
function closingBrace(events: Buffer, from: number): number | 'nested' | 'unknown' {
  let depth = 0
  for (let at = from; at < events.length; at += 1) {
    const byte = events[at]!
    if (byte === QUOTE) at = endOfString(events, at)
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      depth -= 1
      if (depth < 0) return byte === CLOSE_BRACE && isLineEnd(events[at + 1]) ? at : 'nested'
    } else if (isLineEnd(byte)) break
  }
  return 'unknown'
}

/** Whether the document that an index lies in says at its top that usage is null. */
function isNullInDocument(events: Buffer, at: number): boolean {
  const event = eventAround(events, at)
  const [document] = sseDocuments(events.toString('utf8', event.from, event.to)) as { usage?: unknown }[]
  return document?.usage === null
}

/** Index of the quote that ends the string which begins at an index. */
function endOfString(events: Buffer, from: number): number {
  let at = from + 1
  while (at < events.length && events[at] !== QUOTE) at += events[at] === BACKSLASH ? 2 : 1
  return at
}

/** A member with the comma that parts it from the others. */
function memberAround(events: Buffer, from: number, to: number, left: number): Removal {
  let before = from - 1
  while (isBlank(events[before])) before -= 1
  if (before >= left && events[before] === COMMA) return { from: before, to }
  const after = skipSpace(events, to)
  return events[after] === COMMA ? { from, to: after + 1 } : { from, to }
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09
}

function skipSpace(events: Buffer, from: number): number {
  let at = from
  while (isBlank(events[at])) at += 1
  return at
}
