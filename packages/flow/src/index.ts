export { Answer, type AnsweredCall, type AnswerFacts, type AnswerSink, type HeadChange } from './answer.ts'
export type { RecordedUsage } from './call-entry.ts'
export type { HoldRequest } from './call-holds.ts'
export type { CallerOptions } from './caller-rules.ts'
export { Call } from './call.ts'
export { defaultQuota } from './default-quota.ts'
export {
  denialOf,
  guardDenial,
  problemDenial,
  type Denial,
  type DenialContext,
  type DenialOptions,
  type GuardRefusal,
} from './denial.ts'
export { attemptId } from './attempt-id.ts'
export {
  addressKey,
  hostSubject,
  CREDENTIAL_HEADERS,
  withoutQueryKey,
  type CredentialSource,
} from '@tallygate/identity'
export { isFreeRoute, pathOf, type Dialect, type ProblemKind } from '@tallygate/metering'
export { FileOutbox, type FileOutboxOptions } from './file-outbox.ts'
export { injectIncludeUsage } from './inject-usage.ts'
export { consoleLogger, warnOnce, type Logger } from './logger.ts'
export type { CallRequest } from './metered-request.ts'
export type { AdjustOptions, RefundOptions } from './adjustments.ts'
export type { Drift } from './drift.ts'
export { createQuota, Quota } from './quota.ts'
export { isMetered, type QuotaOptions } from './quota-options.ts'
export { rateLimitFields, type Fields, type RateLimitStyle } from './rate-limit-fields.ts'
export { UsageChunkFilter, withoutUsage } from './usage-chunk-filter.ts'
export { usageOf, type EndedAnswer } from './usage-of.ts'
