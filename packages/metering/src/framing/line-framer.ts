import { Framer } from './framer.ts'

const LF = 0x0a

/** Cuts a stream of a document a line into whole lines, which end in LF or CRLF. */
export class LineFramer extends Framer {
  constructor() {
    super((bytes, from) => endOfLastLine(bytes, Math.max(0, from)))
  }
}

function endOfLastLine(bytes: Buffer, from: number): number {
  const at = bytes.lastIndexOf(LF)
  return at < from ? 0 : at + 1
}

/** Index at which the last of whole lines that holds anything begins. */
export function startOfLastLine(lines: Buffer): number {
  let end = lines.length
  while (end > 0 && lines[end - 1]! <= 0x20) end -= 1
  return end === 0 ? 0 : lines.lastIndexOf(LF, end - 1) + 1
}

/** The line that an index lies in, with its end if it has one. */
export function lineAround(lines: Buffer, at: number): { readonly from: number; readonly to: number } {
  const end = lines.indexOf(LF, at)
  return { from: at === 0 ? 0 : lines.lastIndexOf(LF, at - 1) + 1, to: end === -1 ? lines.length : end + 1 }
}

/** The JSON documents in a text of a document a line; lines that are none are passed over. */
export function lineDocuments(text: string): unknown[] {
  return text.split('\n').flatMap((line) => {
    if (line.trim() === '') return []
    try {
      return [JSON.parse(line.startsWith('\ufeff') ? line.slice(1) : line)]
    } catch {
      return []
    }
  })
}
