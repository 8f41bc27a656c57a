import { LineFramer } from '../framing/line-framer.ts'
import { SseFramer } from '../framing/sse-framer.ts'
import { ArrayFramer } from './array-framer.ts'
import type { StreamFraming } from './stream-ending.ts'

/** Cuts a stream into whole events, lines or elements, wherever the network cut it. Holds one, of at most 64 KiB. */
export interface StreamFramer {
  /** Bytes of the one that is not complete yet. */
  readonly held: Buffer
  /** True while one goes by that is too long to hold: its pieces come out as they are. */
  readonly isInLongEvent: boolean
  /** Whether the stream has come to its end, where its framing has one. */
  readonly isEnded?: boolean
  /** Returns those that a piece completes, as they came. */
  push(chunk: Buffer): { readonly events: Buffer }
}

export function streamFramer(framing: StreamFraming): StreamFramer {
  return framing === 'sse' ? new SseFramer() : framing === 'ndjson' ? new LineFramer() : new ArrayFramer()
}
