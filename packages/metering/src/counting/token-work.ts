import type { Framing } from '../framing/framing.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'

/** Bytes for one token, where nothing can be counted: English text has about 4. */
export const BYTES_PER_TOKEN = 4

/** What a worker is asked to count. Bodies go as bytes, and are neither kept nor logged. */
export type TokenTask =
  | {
      readonly kind: 'output'
      readonly shape: UsageShape
      readonly framing: Framing
      readonly body: Uint8Array
      readonly model: string | undefined
    }
  | {
      readonly kind: 'prompt'
      readonly shape: UsageShape
      readonly body: Uint8Array
      readonly model: string | undefined
    }

/** How many tokens a text has. */
export interface TokenCount {
  /** The best guess. */
  readonly tokens: number
  /** Not fewer than the text can have: what was not counted is taken at one token a byte. */
  readonly bound: number
  /** Whether all of the text was counted. */
  readonly isComplete: boolean
}

/** What passes between the counter and its worker. */
export type TokenRequest = { readonly id: number; readonly task: TokenTask; readonly deadlineMs: number }
export type TokenReply =
  | { readonly id: number; readonly count: TokenCount }
  | { readonly id: number; readonly error: string }
