import { frameDocuments } from './aws-frame.ts'
import type { Framing } from './framing.ts'
import { lineDocuments } from './line-framer.ts'
import { sseDocuments } from './sse-event.ts'

/**
 * The JSON documents of an answer, or of its beginning, that is here as a whole; what was cut off or is no JSON is left
 * out. WebSocket messages are one a line.
 */
export function documentsOf(framing: Framing, bytes: Uint8Array): readonly unknown[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (framing) {
    case 'sse':
      return sseDocuments(buffer.toString('utf8'))
    case 'ndjson':
    case 'messages':
      return lineDocuments(buffer.toString('utf8'))
    case 'eventstream':
      return frameDocuments(buffer)
    case 'json':
      return jsonDocuments(buffer.toString('utf8'))
    case 'opaque':
      return []
  }
}

/** One document, those of an array, or those that follow each other on lines of their own. */
function jsonDocuments(text: string): readonly unknown[] {
  let document: unknown
  try {
    document = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
  } catch {
    return lineDocuments(text)
  }
  return Array.isArray(document) ? document : [document]
}
