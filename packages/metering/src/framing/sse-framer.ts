import { Framer } from './framer.ts'

const LF = 0x0a
const CR = 0x0d
const SMALL_BYTES = 4_096

/**
 * Cuts an event stream into whole events: lines end in LF, CR or CRLF, events in a blank line (WHATWG HTML, server-sent
 * events).
 */
export class SseFramer extends Framer {
  constructor() {
    super(endOfLastEvent)
  }
}

/**
 * Index behind the last blank line; 0 if there is none. A CR at the very end may be half of a CRLF: it ends nothing yet.
 *
 * @param from No blank line ends before this byte.
 */
export function endOfLastEvent(bytes: Buffer, from = 0): number {
  for (let at = bytes.length - 1; at > 0 && at >= from; at -= 1) {
    const byte = bytes[at]!
    if (byte !== LF && (byte !== CR || at === bytes.length - 1 || bytes[at + 1] === LF)) continue
    const lineEnd = byte === LF && bytes[at - 1] === CR ? at - 2 : at - 1
    if (lineEnd >= 0 && (bytes[lineEnd] === LF || bytes[lineEnd] === CR)) return at + 1
  }
  return 0
}

/** The event that an index lies in, with the blank line that ends it if there is one. The index is not in a line's end. */
export function eventAround(events: Buffer, at: number): { readonly from: number; readonly to: number } {
  const to = endOfEventAt(events, at)
  return { from: startOfLastEvent(events, at), to: to === -1 ? events.length : to }
}

/** Index at which the last of whole events begins, or the last one among the bytes up to an index. */
export function startOfLastEvent(events: Buffer, to = events.length): number {
  let end = to
  while (end > 0 && isLineEnd(events[end - 1])) end -= 1
  if (end === 0) return 0
  // Most lines end in LF, and are long: a search from line to line is quicker than a look at each byte.
  let lf = events.lastIndexOf(LF, end - 1)
  while (lf > 0 && !isLineEnd(events[lf - 1])) lf = events.lastIndexOf(LF, lf - 1)
  if ((lf <= 0 || events[lf - 1] === LF) && !hasCr(events, lf + 1, end)) return lf <= 0 ? 0 : lf + 1
  for (let at = end - 1; at > 0; at -= 1) {
    if (!isLineEnd(events[at])) continue
    const lineEnd = events[at] === LF && events[at - 1] === CR ? at - 2 : at - 1
    if (isLineEnd(events[lineEnd])) return at + 1
  }
  return 0
}

/** Whether some bytes end in a blank line of LF, as most events do. */
export function endsInBlankLine(bytes: Buffer): boolean {
  return bytes.length > 1 && bytes[bytes.length - 1] === LF && bytes[bytes.length - 2] === LF
}

function hasCr(bytes: Buffer, from: number, to: number): boolean {
  return indexOfCr(bytes, from, to) !== -1
}

/** Index of the first CR between two indices; -1: there is none. */
function indexOfCr(bytes: Buffer, from: number, to: number): number {
  // To look at a few more costs less than a view of those alone.
  const isSmall = bytes.length - from <= SMALL_BYTES
  const at = isSmall ? bytes.indexOf(CR, from) : bytes.subarray(from, to).indexOf(CR)
  if (at === -1) return -1
  return isSmall ? (at < to ? at : -1) : from + at
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LF || byte === CR
}

/** Index behind the first event that ends after an index; -1 if none does. A CR at the very end may be half of a CRLF. */
export function endOfEventAt(bytes: Buffer, at: number): number {
  let end = bytes.indexOf(LF, at)
  while (end !== -1 && !isLineEnd(bytes[end + 1])) end = bytes.indexOf(LF, end + 1)
  const cr = blankLineOfCr(bytes, at, end === -1 ? bytes.length : end)
  if (cr !== -1) end = cr
  if (end === -1) return -1
  return bytes[end + 1] === CR && bytes[end + 2] === LF ? end + 3 : end + 2
}

/** Index of the first CR that another follows before an index; -1 if none does. */
function blankLineOfCr(bytes: Buffer, from: number, to: number): number {
  let cr = indexOfCr(bytes, from, to)
  while (cr !== -1 && (cr + 1 === to || bytes[cr + 1] !== CR)) cr = indexOfCr(bytes, cr + 1, to)
  return cr
}
