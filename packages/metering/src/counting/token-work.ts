import type { Framing } from '../framing/framing.ts'
import type { UsageConfidence } from '@tallygate/core'
import type { UsageShape } from '../usage/usage-shapes.ts'

/** Bytes for one token, where nothing can be counted: English text has about 4. */
export const BYTES_PER_TOKEN = 4

/** What a worker is asked to count. Bodies go as bytes, and are neither kept nor logged. */
export type TokenTask = {
  readonly body: Uint8Array
  readonly model: string | undefined
  /** Who serves the model (`openrouter`, `vertex`): hosts have templates of their own. */
  readonly provider?: string | undefined
} & (
  | {
      /** A request, whatever its shape: it is read by its members. */
      readonly kind: 'prompt'
      readonly shape?: UsageShape | undefined
    }
  | {
      /** An answer as it came. */
      readonly kind: 'output'
      readonly shape: UsageShape
      readonly framing: Framing
      /** It broke off, or was cut: what ends an answer is not in it. Default: false. */
      readonly isCutOff?: boolean | undefined
      /** The request that it answers, where it is there: what a model writes around its words depends on it. */
      readonly request?: Uint8Array | undefined
    }
  | {
      /** An {@link OutputText} as JSON. */
      readonly kind: 'written'
      readonly shape: UsageShape
      readonly request?: Uint8Array | undefined
    }
  | {
      /** Text between two safe cuts of a longer one, without what is around answers. */
      readonly kind: 'text'
    }
)

/** How many tokens a text has. */
export interface TokenCount {
  /** The best guess. */
  readonly tokens: number
  /** Not fewer than the text can have: what was not counted is taken at one token a byte. */
  readonly bound: number
  /** Whether all of the text was counted. */
  readonly isComplete: boolean
  /** The model's own tokenizer; another's, calibrated; or a text of which not all could be seen or counted. */
  readonly confidence: Exclude<UsageConfidence, 'exact'>
  /** Something only the provider has belongs to it: an earlier answer, a tool that it runs, thoughts that it hides. */
  readonly isLowerBound: boolean
}

/** What passes between the counter and its worker. */
export type TokenRequest = { readonly id: number; readonly task: TokenTask; readonly deadlineMs: number }
export type TokenReply =
  | { readonly id: number; readonly count: TokenCount }
  | { readonly id: number; readonly error: string }
