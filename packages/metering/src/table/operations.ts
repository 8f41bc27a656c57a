import type { Dialect } from '../dialect.ts'
import type { UsageShape } from '../usage/usage-shapes.ts'
import { CLOUD_OPERATIONS } from './operations-clouds.ts'
import { OPENAI_OPERATIONS } from './operations-openai.ts'
import { OTHER_OPERATIONS } from './operations-others.ts'
import type { RequestShape } from './request-shape.ts'

/** By what an operation is billed: what its answer states, or how often it is called. */
export type Bill = 'tokens' | 'seconds' | 'images' | 'searches' | 'calls' | 'nothing'

/** One wire API: what a call looks like, whoever serves it. Code goes by a row's members, never by its name. */
export interface Operation {
  readonly id: string
  /** `gen_ai.operation.name` of OpenTelemetry, or a word of that kind where it has none. */
  readonly operation: string
  /** `gen_ai.provider.name` of whoever devised it, where the host does not tell who serves it. */
  readonly provider: string
  /** In which words errors are answered. */
  readonly dialect: Dialect
  /** Last segments of the path, in lower case; of a Google path the verb, with its colon. Finds the row at once. */
  readonly ends: readonly string[]
  /** End of the path, below any mount point or version. */
  readonly route: RegExp
  readonly request: RequestShape
  readonly usage: UsageShape
  readonly bills: readonly [Bill, ...Bill[]]
  /** What is counted where the provider states nothing: prompt and answer, the prompt, or nothing, as it is no text. */
  readonly counts: 'text' | 'prompt' | 'nothing'
  /** How streams are asked to state usage when the caller did not ask; absent: they state it anyway. */
  readonly injects?: 'stream_options'
  /** Default: POST. */
  readonly method?: 'GET'
  readonly transport?: 'websocket'
}

/** Every operation that is known. Of two that match the first counts. */
export const OPERATIONS: readonly Operation[] = [...OPENAI_OPERATIONS, ...CLOUD_OPERATIONS, ...OTHER_OPERATIONS]
