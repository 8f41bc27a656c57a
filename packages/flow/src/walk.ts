import type { Admission, Clock } from '@tallygate/core'
import type { Pepper } from '@tallygate/identity'
import type { TokenCounter } from '@tallygate/metering'
import type { Telemetry } from '@tallygate/telemetry'
import type { BoundLimits } from './bound-limits.ts'
import type { Call } from './call.ts'
import type { CallerRules } from './caller-rules.ts'
import type { DenialOptions } from './denial.ts'
import type { EndDelay } from './end-delay.ts'
import type { EntryWriter } from './entry-writer.ts'
import type { RateLimitStyle } from './rate-limit-fields.ts'
import type { Settler } from './settler.ts'
import type { SparedRetries } from './spared-retries.ts'

/** Everything that calls of one quota share on their walk. */
export interface Walk {
  readonly admission: Admission
  readonly clock: Clock
  readonly counter: TokenCounter
  readonly denials: DenialOptions
  readonly endDelay: EndDelay
  readonly injectsUsage: boolean
  /** Whether entries keep what the provider has stated, as it did. */
  readonly keepsRawUsage: boolean
  readonly limits: BoundLimits
  /** Name of the header, in lower case, that names the run that a call is part of. */
  readonly parentHeader: string
  readonly pepper: Pepper
  /** Those in force; a call keeps the ones that it began under. */
  readonly rules: CallerRules
  readonly settler: Settler
  /** Absent where every attempt counts. */
  readonly sparedRetries: SparedRetries | undefined
  readonly styles: readonly RateLimitStyle[]
  readonly telemetry: Telemetry
  readonly writer: EntryWriter
  /** Whether no new call may begin, as its entry could not be kept. */
  readonly isBlocked: boolean
  /** A call holds something from now on. */
  began(call: Call): void
  /** A call holds nothing any more. */
  ended(call: Call): void
}
